"""The report and the Prefect UI in a real browser."""

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from command import Command

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A headless browser's command line."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("no Chromium on this machine")
    profile = tmp_path_factory.mktemp("profile")
    return [
        program,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={profile}",
        "--window-size=1200,2400",
        "--enable-logging=stderr",
    ]


def dom(browser: list[str], url: str, milliseconds: int = 2000) -> tuple[str, str]:
    """The page as it is after its scripts ran, and what its console said."""
    command = [*browser, f"--virtual-time-budget={milliseconds}", "--dump-dom", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, "\n".join(console)


def test_the_report_shows_everything_without_a_network(
    browser: list[str], first_run: dict[str, Any], tmp_path: Path
) -> None:
    """Ledger, loss curve, scores and examples as pictures and tables; no request to anywhere."""
    report = Path(first_run["report"])
    text = report.read_text(encoding="utf-8")
    assert 'src="http' not in text
    assert 'href="http' not in text.replace('href="https://arxiv.org', "")
    page, console = dom(browser, report.as_uri())
    assert not console
    assert page.count("<svg") + page.count("<img") >= 2
    for word in ("Ledger", "Loss", "Scores", "held-out", "&lt;mask&gt;", "tokens"):
        assert word.lower() in page.lower(), word
    shot = tmp_path / "report.png"
    subprocess.run([*browser, f"--screenshot={shot}", report.as_uri()], check=True, timeout=120)
    assert shot.stat().st_size > 20_000


def test_the_prefect_ui_shows_the_run(
    browser: list[str], first_run: dict[str, Any], roberta: Command
) -> None:
    """Whoever watches the pipeline finds its run and its stages."""
    assert roberta.api is not None
    url = f"{roberta.api.removesuffix('/api')}/runs/flow-run/{first_run['run']}"
    end = time.monotonic() + 60
    while True:
        page, _ = dom(browser, url, 15_000)
        if "tiny" in page and "pretrain" in page:
            return
        assert time.monotonic() < end, page[:3000]
