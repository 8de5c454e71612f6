"""The report: whatever was planted is text, sums add up, and pictures are true."""

import re

import pytest

from tasks.cleaning import filters, split
from tasks.publishing.charts import flow_chart, lengths_chart, loss_chart, scores_chart
from tasks.publishing.reasons import TOLD, reasons_told
from tasks.publishing.render import account_of
from tasks.publishing.svg import Plot, shown, ticks
from tasks.publishing.templates import template


def test_whatever_a_report_shows_is_text() -> None:
    """All values but our own drawings are escaped, by the template's environment itself."""
    report = template("report.html.j2")
    planted = {"x": "<script>alert(1)</script>", "y": "' onload='a"}
    shown = report.environment.from_string("<b title='{{ y }}'>{{ x }}</b>").render(planted)
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "' onload" not in shown
    is_escaped = report.environment.autoescape
    assert callable(is_escaped)
    assert [is_escaped(name) for name in ("report.html.j2", "leaderboard.html.j2")] == [True] * 2
    assert not is_escaped("card.md.j2"), "Markdown has escapes of its own"
    assert report.environment.loader is not None
    source, _, _ = report.environment.loader.get_source(report.environment, "report.html.j2")
    assert source.count("|safe") + source.count("| safe") == 1, "only drawings of our own"


def stage(name: str, taken: int, kept: int, **dropped: int) -> dict[str, object]:
    return {"name": name, "documents": {"in": taken, "kept": kept, "dropped": dropped}}


CLEANED = {"train": {"documents": 70}, "held_out": {"documents": 5}}


def test_the_account_adds_up_or_says_that_it_does_not() -> None:
    """Found, less what was dropped, more what was cut, is what is trained on and held out."""
    stages = [stage("download", 100, 60, empty=40), stage("clean", 60, 75, spans=-20, short=5)]
    account = account_of({"stages": stages, "balanced": True}, CLEANED)
    assert (account["found"], account["num_dropped"], account["gained"]) == (100, 45, 20)
    assert list(account["dropped"]) == ["empty", "short"]
    assert account["agrees"]
    one_more = {**CLEANED, "held_out": {"documents": 6}}
    assert not account_of({"stages": stages, "balanced": True}, one_more)["agrees"]
    assert not account_of({"stages": stages, "balanced": False}, CLEANED)["agrees"]


def test_the_rivers_widths_are_the_documents() -> None:
    """Half of them dropped is half of the height, and what leaves below says how many."""
    svg = flow_chart(
        [stage("download", 100, 50, **{"<b>": 50}), stage("pack", 50, 50)], "documents"
    )
    heights = [float(h) for h in re.findall(r'class="node"[^>]* height="([\d.]+)"', svg)]
    assert heights == pytest.approx([2 * heights[1], heights[1], heights[1]], abs=0.2)
    assert "50 dropped" in svg
    assert "100 documents came in" in svg
    assert "<b>" not in svg


@pytest.mark.parametrize("dropped", [{}, {"empty": 7}])
def test_the_river_leaves_no_room_that_nothing_is_in(dropped: dict[str, int]) -> None:
    """Below it what is dropped, and where nothing is, the picture's end."""
    svg = flow_chart([stage("download", 10, 10 - sum(dropped.values()), **dropped)], "documents")
    height = int(re.findall(r'viewBox="0 0 \d+ (\d+)"', svg)[0])
    lowest = max(float(y) for y in re.findall(r'<text x="[\d.]+" y="([\d.]+)"', svg))
    assert height - 16 < lowest < height


def test_a_line_is_where_its_figures_are() -> None:
    """Ends of the axes are ends of the picture; a loss that falls goes down."""
    plot = Plot((0, 10), (0, 1), height=120, left=40).line([(0, 1), (5, 0.5), (10, 0)], "main")
    (path,) = re.findall(r'points="([^"]*)"', plot.svg("a line"))
    assert path == "40.0,22.0 334.0,53.0 628.0,84.0"
    assert loss_chart([1], [3.0]).count("<polyline") == 1, "one step is a picture too"


def test_the_held_out_loss_is_a_line_of_its_own_within_the_picture() -> None:
    """Higher than any loss of the training, and still inside; one point makes no line."""
    steps, losses = [1, 2, 3, 4], [3.0, 2.5, 2.0, 1.8]
    drawn = loss_chart(steps, losses, [(2.0, 3.4), (4.0, 3.6)])
    (path,) = re.findall(r'class="line held" points="([^"]*)"', drawn)
    heights = [float(pair.split(",")[1]) for pair in path.split()]
    assert 0 < heights[1] < heights[0] < 220
    assert "held" not in loss_chart(steps, losses, [(4.0, 3.6)])
    assert loss_chart(steps, losses) == loss_chart(steps, losses, [])


def test_no_line_touches_what_the_picture_is_high_for() -> None:
    """Its name stands above the highest figure that there can be."""
    plot = Plot((0, 1), (0, 1)).grid("step", "loss (nats)").line([(0, 1), (1, 1)], "main")
    (line,) = re.findall(r'points="[\d.]+,([\d.]+) ', plot.svg("loss"))
    (label,) = re.findall(r'y="([\d.]+)"[^>]*>loss \(nats\)', plot.svg("loss"))
    assert 10 < float(label) < float(line) - 5


def test_every_reason_of_the_ledger_has_a_line_that_explains_it() -> None:
    """Those of the stages, and in a report only those that its ledger names."""
    ours = {*filters.REASONS, *split.REASONS.values(), "empty", "rewritten", "cut_into_spans"}
    assert ours < set(TOLD)
    clean = {**stage("clean", 9, 8, symbols=1), "bytes": {"dropped": {"rewritten": 3}}}
    assert list(reasons_told([clean, {"name": "pack"}])) == ["symbols", "rewritten"]
    assert reasons_told([stage("clean", 9, 8, made_up=1)]) == {}


def test_names_in_pictures_are_text() -> None:
    """In labels, in what is told on pointing, and in what is read aloud."""
    evil = "<script>'\"&</script>"
    drawn = scores_chart({evil: 0.5, "plain": 0.75}, chance=0.5)
    drawn += Plot((0, 1), (0, 1)).grid(evil, evil).svg(evil)
    drawn += lengths_chart({3: 4, 5: 1})
    assert "<script" not in drawn
    assert "&lt;script&gt;" in drawn


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 0), (3, 3.001), (0, 9e9), (1e-7, 9e-7)])
def test_axes_have_numbers_whatever_the_range(low: float, high: float) -> None:
    """A training of one step, or with a loss that does not move."""
    marks = ticks(low, high)
    assert 1 <= len(marks) <= 7
    assert all(low - 1e-9 <= mark <= high + 1e-9 for mark in marks)
    assert len({shown(mark) for mark in marks}) == len(marks)
