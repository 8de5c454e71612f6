"""The report and the Prefect UI in a real browser."""

import re
from pathlib import Path
from typing import Any

import pytest
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_reads_on_a_phone_and_in_the_dark(
    page: Page, first_run: dict[str, Any], tmp_path: Path, scheme: str
) -> None:
    """At 400 pixels nothing scrolls sideways but tables and pictures within their cards."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.call("Emulation.setEmulatedMedia", features=features)
    url = Path(first_run["report"]).as_uri()
    for width in (1280, 400):
        page.set_size(width, 900)
        page.text_with(url, "what went in", "what it cost", "every document is accounted for")
        wide = page.value(
            """[...document.querySelectorAll("body *")].filter(one => !one.closest(".scroll > *")
            && one.getBoundingClientRect().right > innerWidth).map(one => one.outerHTML)"""
        )
        assert wide == []
        assert page.value("document.documentElement.scrollWidth <= innerWidth")
    paper, ink = page.value(
        """[getComputedStyle(document.querySelector("section")).backgroundColor,
        getComputedStyle(document.querySelector("td")).color]"""
    )
    dark, bright = sorted((paper, ink), key=_brightness)
    assert _brightness(dark) < 60 < 195 < _brightness(bright)
    assert (paper == dark) is (scheme == "dark")


def _brightness(colour: str) -> float:
    """From 0 to 255, of `rgb(r, g, b)`."""
    return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 3


def test_a_picture_of_the_report_tells_its_figures_and_zooms(
    page: Page, first_run: dict[str, Any]
) -> None:
    """Pointing at the loss names a step and its loss; a dragged span fills the picture."""
    page.set_size(1280, 900)
    page.text_with(Path(first_run["report"]).as_uri(), "training")
    page.value("""document.querySelector("svg[data-plot]").scrollIntoView()""")
    box = page.value(
        """(({x, y, width, height}) => [x + width / 2, y + height / 2, width / 8])(
        document.querySelector("svg[data-plot]").getBoundingClientRect())"""
    )
    x, y, part = box
    page.mouse("mouseMoved", x, y)
    told = page.value("""document.querySelector("svg[data-plot] .told").textContent""")
    assert re.fullmatch(r"step \d+: \d\.\d+", told)
    line = """document.querySelector("svg[data-plot] polyline").getAttribute("points")"""
    before = page.value(line)
    page.mouse("mousePressed", x, y)
    page.mouse("mouseReleased", x + part, y)
    assert 0 < len(page.value(line)) < len(before)
    assert not page.problems


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
