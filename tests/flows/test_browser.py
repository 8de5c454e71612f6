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
    text = page.text_with(url, "ledger", "loss", "scores", "held-out", "<mask>", "tokens")
    sentence = (
        r"accounted for: ([\d,]+) read(?:, ([\d,]+) more by cutting long ones)?, "
        r"(?:([\d,]+)|none) dropped, which leaves ([\d,]+) kept"
    )
    (amounts,) = re.findall(sentence, text)
    read, gained, dropped, kept = (int(each.replace(",", "") or 0) for each in amounts)
    assert read + gained - dropped == kept > 0
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


def test_the_printed_report_stays_on_its_paper(page: Page, first_run: dict[str, Any]) -> None:
    """On A4 no table runs over its card, bars keep their colours, no heading ends a page."""
    page.call("Emulation.setEmulatedMedia", media="print")
    page.set_size(718, 1000)  # A4 less the browser's margins
    page.text_with(Path(first_run["report"]).as_uri(), "ledger")
    over = page.value(
        """[...document.querySelectorAll("section table, section svg")].filter(
        one => one.getBoundingClientRect().right
        > one.closest("section").getBoundingClientRect().right - 8).map(one => one.outerHTML)"""
    )
    assert over == []
    bars, heads, tables = page.value(
        """[".range i", "h2", ".scroll"].map(one => getComputedStyle(document.querySelector(one)))
        .map((one, n) => [one.printColorAdjust, one.breakAfter, one.breakInside][n])"""
    )
    assert (bars, heads, tables) == ("exact", "avoid", "avoid")


def test_what_scrolls_within_itself_has_a_shadow_at_the_edge(
    page: Page, first_run: dict[str, Any]
) -> None:
    """Only where there is more: the paper that scrolls along covers it at the end."""
    page.set_size(400, 900)
    page.text_with(Path(first_run["report"]).as_uri(), "ledger")
    styles = page.value(
        """[...document.querySelectorAll(".scroll")].map(one => getComputedStyle(one)
        .backgroundAttachment)"""
    )
    assert set(styles) == {"local, local, scroll, scroll"}


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
    assert re.fullmatch(r"step \d+: \d\.\d+(, held out at \d+: \d\.\d+)?", told)
    line = """document.querySelector("svg[data-plot] polyline").getAttribute("points")"""
    before, all_marks = page.value(line), marks_of(page)
    page.mouse("mousePressed", x, y)
    page.mouse("mouseReleased", x + part, y)
    assert 0 < len(page.value(line)) < len(before)
    assert page.value("""document.querySelector("svg[data-plot] .told").textContent""") == ""
    assert_marks_are_true(page, marks_of(page))
    page.value(
        """document.querySelector("svg[data-plot]").dispatchEvent(new MouseEvent("dblclick"))"""
    )
    assert page.value(line) == before
    assert marks_of(page) == all_marks
    assert not page.problems


def marks_of(page: Page) -> list[list[float]]:
    """Step and place of each number at the x axis."""
    found = page.value(
        """[...document.querySelector("svg[data-plot]").querySelectorAll(".tick")].map(
        one => [+one.textContent.replace(",", ""), +one.getAttribute("x")])"""
    )
    return sorted(found)


def assert_marks_are_true(page: Page, marks: list[list[float]]) -> None:
    """Pointed at, the picture names the step that the axis has there, or next to it."""
    assert len(marks) > 1
    left, top, scale, height = page.value(
        """(({x, y, width, height}) => [x, y, width / 640, height])(
        document.querySelector("svg[data-plot]").getBoundingClientRect())"""
    )
    for step, place in marks:
        page.mouse("mouseMoved", left + place * scale, top + height / 2)
        told = page.value("""document.querySelector("svg[data-plot] .told").textContent""")
        assert abs(int(told.split(":")[0].removeprefix("step ")) - step) <= 1


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
