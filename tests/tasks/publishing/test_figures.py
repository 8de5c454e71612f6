"""The figures of report and card, and what the report sets beside each score, piece by piece."""

import re
from pathlib import Path
from typing import Any

import pytest

from tasks.publishing import figures
from tasks.publishing.charts import curve_chart, lengths_chart, loss_chart, thinned
from tasks.publishing.figures import held_out_curve, read_steps
from tasks.publishing.render import _row, _shown_portrait
from tasks.publishing.scores import Score
from tasks.publishing.svg import Plot


def kind(tokens: int, loss: float | None) -> dict[str, Any]:
    known = None if loss is None else 1000.0 * (loss + 1)
    return {"tokens": tokens, "loss": loss, "perplexity": known, "accuracy": known and 0.25}


def test_the_held_out_table_has_a_row_for_each_kind_and_the_whole() -> None:
    """Unigram's figures stand at masks and over all; a dash is what was not measured."""
    held_out = {
        **kind(0, 2.0),
        "masked_tokens": 1234,
        "by_kind": {"mask": kind(1000, 1.0), "random": kind(0, None), "kept": kind(234, 0.0)},
        "unigram": {"mask": kind(0, 5.0), "all": kind(0, 4.0)},
    }
    rows = figures._held_out_table(held_out)
    assert [(row["read"], row["tokens"], row["perplexity"]) for row in rows] == [
        ("<mask>", "1,000", "2,000.0"),
        ("another, random token", "0", "–"),
        ("the token itself", "234", "1,000.0"),
        ("all chosen tokens", "1,234", "3,000.0"),
    ]
    assert [row["unigram_perplexity"] for row in rows] == ["6,000.0", "–", "–", "5,000.0"]
    assert [row["accuracy"] for row in rows] == ["25.0%", "–", "25.0%", "25.0%"]
    assert figures._held_out_table(None) == []


def test_the_example_is_the_first_text_with_one_mask() -> None:
    """In RoBERTa's spelling; else one of ours."""
    texts = ["<mask> and [MASK]", "A [MASK].", "B <mask>."]
    assert figures._example_text({"examples": [{"text": text} for text in texts]}) == "A <mask>."
    for none in ({}, {"examples": [{"text": "<mask><mask>"}]}):
        assert figures._example_text(none) == "The capital of France is <mask>."


def test_the_longest_input_is_the_models_own_or_a_rows() -> None:
    assert figures._longest_input({"model": {"max_row_tokens": 512}}, 128) == 512
    assert figures._longest_input({"model": {"max_row_tokens": None}}, 128) == 128
    assert figures._longest_input({"model": {}}, 128) == 128


def test_masks_are_alike_where_a_training_hides_as_held_out_rows_are_hidden() -> None:
    assert figures._masks_alike({})
    assert not figures._masks_alike({"rate": 0.4})


def test_each_source_has_its_own_licence() -> None:
    """In the config's order, and no source without a place for one."""
    download = {"summary": {"sources": [{"name": "a"}, {"name": "b"}]}}
    assert figures._sources(download, ["mit", None]) == [
        {"name": "a", "licence": "mit"},
        {"name": "b", "licence": None},
    ]
    with pytest.raises(ValueError, match="zip"):
        figures._sources(download, ["mit"])


def test_a_trainings_losses_are_read_step_by_step(tmp_path: Path) -> None:
    path = tmp_path / "losses.jsonl"
    path.write_text('{"step": 1, "loss": 3.5}\n{"step": 2, "loss": 2.5, "held_out_loss": 0.0}\n')
    assert [(line["step"], line["loss"]) for line in read_steps(path)] == [(1, 3.5), (2, 2.5)]
    assert held_out_curve(read_steps(path)) == [(2.0, 0.0)], "nought is a loss too"


def test_earlier_models_and_published_ones_stand_beside_their_own_score() -> None:
    """By task and measure; four published ones at most, and none beside what is no share."""
    earlier = [
        {"finished": "May", "scores": [{"name": "BLiMP, accuracy", "value": 0.5}]},
        {"finished": "June", "scores": [{"name": "BLiMP, loss", "value": 0.7}]},
    ]
    found = _row(Score("BLiMP", "accuracy", 0.6), earlier)
    assert found["earlier"] == [{"name": "May", "value": 0.5, "shown": "50.0%"}]
    assert len(found["anchors"]) == 4
    assert _row(Score("BLiMP", "macro f1", 0.6), earlier)["anchors"] == ()
    loss = _row(Score("BLiMP", "loss", 0.6, is_share=False), earlier)
    assert loss["anchors"] == ()
    assert loss["earlier"] == [{"name": "June", "value": 0.7, "shown": "0.70"}]


def test_samples_and_tokens_show_what_nobody_sees() -> None:
    """A space in a token is a dot; in a sample it is a space."""
    portrait = {"samples": {"odd": ["a\x1b b"]}, "tokens": {"longest": [" a\u202e"]}, "files": 3}
    shown = _shown_portrait(portrait)
    assert shown == {
        **{"samples": {"odd": ["a\\x1b b"]}, "tokens": {"longest": ["·a\\u202e"]}, "files": 3},
        "has_escapes": True,
    }
    plain = _shown_portrait({**portrait, "tokens": {"longest": [" a"]}})
    assert plain is not None
    assert not plain["has_escapes"], "nothing to be explained"
    assert _shown_portrait(None) is None


def test_points_are_means_of_as_many_as_they_stand_for() -> None:
    """No more than asked for, the last of fewer; few points stay as they are."""
    points = [(float(n), float(n * n)) for n in range(7)]
    assert thinned(points, most=3) == [(1.0, 5 / 3), (4.0, 50 / 3), (6.0, 36.0)]
    assert thinned(points, most=7) == points
    assert [len(thinned([(0.0, 0.0)] * n)) for n in (0, 300, 301, 601)] == [0, 300, 151, 201]


def points_of(svg: str, name: str) -> list[tuple[float, float]]:
    (path,) = re.findall(rf'class="line {name}" points="([^"]*)"', svg)
    pairs = [pair.split(",") for pair in path.split()]
    return [(float(x), float(y)) for x, y in pairs]


def test_the_running_mean_is_of_the_last_few_points() -> None:
    """Of sixty points two, as far as there are two; the pale line is the losses themselves."""
    losses = [4.0 if n % 2 else 2.0 for n in range(60)]
    svg = loss_chart(list(range(1, 61)), losses)
    smooth, pale = points_of(svg, "main"), points_of(svg, "pale")
    assert len(smooth) == len(pale) == 60
    assert smooth[0][1] == pale[0][1]
    assert {y for _, y in smooth[1:]} == {smooth[1][1]}
    assert smooth[1][1] == pytest.approx((pale[0][1] + pale[1][1]) / 2, abs=0.1)


def test_a_curve_begins_at_nought_and_has_room_above() -> None:
    """Its highest point stands below the top; nothing but nought is a picture too."""
    plot = Plot((0, 10.0), (0.0, 2.0 * 1.12), 140)
    svg = curve_chart([(0.0, 1.0), (10.0, 2.0)], "rate", 10.0)
    assert points_of(svg, "main") == [(plot.x(0), plot.y(1.0)), (plot.x(10), plot.y(2.0))]
    assert "<polyline" in curve_chart([(0.0, 0.0)], "rate", 1.0)


def test_every_power_between_the_shortest_and_the_longest_has_a_bar() -> None:
    """Those that no document is of too; each says how many and from where to where."""
    svg = lengths_chart({3: 4, 5: 1000})
    told = re.findall(r"<title>([^<]*)</title>", svg)
    assert told == [
        "4 documents of 8 to 16 characters",
        "0 documents of 16 to 32 characters",
        "1,000 documents of 32 to 64 characters",
    ]
    assert re.findall(r'text-anchor="end">([^<]*)<', svg) == ["0", "500", "1,000"], "the y axis"
    heights = [float(height) for height in re.findall(r'class="kept"[^>]* height="([\d.]+)"', svg)]
    assert heights[1] == 0
    assert heights[2] > 200 * heights[0]
