"""The report and the Prefect UI in a real browser."""

from pathlib import Path
from typing import Any

from browser import Page
from command import Command, ask
from planted import PLANTED

from flows import artifacts
from tasks.stages import STAGE_NAMES


def test_the_report_shows_everything_without_a_network(
    page: Page, first_run: dict[str, Any], tmp_path: Path
) -> None:
    """Ledger, loss curve, scores and examples as pictures and tables; no request to anywhere."""
    url = Path(first_run["report"]).as_uri()
    page.text_with(url, "ledger", "loss", "scores", "held-out", "<mask>", "tokens")
    assert page.count("svg, img") >= 2
    assert page.count("table") >= 2
    assert not page.problems
    assert [to for to in page.requests if not to.startswith(("file:", "data:"))] == []
    page.screenshot(tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 20_000


def test_the_prefect_ui_shows_the_run_and_its_stages(
    page: Page, first_run: dict[str, Any], roberta: Command, tmp_path: Path
) -> None:
    """Whoever watches the pipeline finds its run, every stage and how it ended."""
    assert roberta.api is not None
    url = f"{roberta.api.removesuffix('/api')}/runs/flow-run/{first_run['run']}"
    page.text_with(url, "tiny", "completed", *STAGE_NAMES)
    page.screenshot(tmp_path / "run.png")


def test_planted_markup_is_shown_and_not_obeyed(page: Page, api: str) -> None:
    """Text of corpora is foreign: no script, no link, no picture, no broken table."""
    guesses = [{"token": text, "score": 0.5} for text in PLANTED]
    shown = artifacts.fills_page({"examples": [{"text": t, "top": guesses} for t in PLANTED]})
    body = {"key": "tiny-planted", "type": "markdown", "data": shown, "description": "planted"}
    made = ask(api, "artifacts/", body)
    text = page.text_with(
        f"{api.removesuffix('/api')}/artifacts/artifact/{made['id']}",
        *("<script>alert(1)</script>", "[x](javascript:alert(1))", "**bold**", "a@evil.example"),
    )
    assert "&#" not in text
    assert page.count("td") == 2 * len(PLANTED)
    assert page.count("[href*=evil], [href^='javascript'], [href^='mailto']") == 0
    assert page.count("td img, td script, td em, td strong, td del, td code, td h1, td li") == 0
    assert not [url for url in page.requests if "127.0.0.1:9/" in url or "evil" in url]
