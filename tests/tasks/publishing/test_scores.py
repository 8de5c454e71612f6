"""Scores as rows: what each is called, made of and held beside, from an evaluation's summary."""

from typing import Any

import pytest

from tasks.publishing.anchors import anchors_of, read_anchors
from tasks.publishing.scores import Score, scores_of


def row(**changes: Any) -> dict[str, Any]:
    return {
        "task": "t",
        "measure": "accuracy",
        "value": 0.5,
        "n": 10,
        "better": "higher",
        **changes,
    }


def score(**changes: Any) -> Score:
    (found,) = scores_of({"scores": [row(**changes)]})
    return found


@pytest.mark.parametrize(
    ("unit", "few"), [("tokens", 2000), ("pairs", 1000), ("items", 500), ("words", 500)]
)
def test_a_figure_of_fewer_items_is_rough(unit: str, few: int) -> None:
    """From that number on it is none; where nobody says how many, nothing is claimed."""
    rough = [Score("t", "m", 0.5, items, unit).is_rough for items in (0, 1, few - 1, few)]
    assert rough == [False, True, True, False]


def test_a_row_of_the_table_is_taken_as_it_is() -> None:
    interval = {"low": 0.4, "high": 0.6, "method": "bootstrap"}
    found = score(task="my_task", measure="f1_macro", interval=interval, chance=0.25)
    assert found == Score(
        "my task", "f1 macro", 0.5, 10, "items", True, (0.4, 0.6), (0.25, "guessing"), True,
        "bootstrap",
    )  # fmt: skip
    assert (score().interval, score().method, score().baseline) == (None, "", None)
    assert score(chance=0.0).baseline == (0.0, "guessing")
    assert score(n=None).items == 0


@pytest.mark.parametrize(
    ("changes", "is_share"),
    [
        ({}, True),
        ({"value": 1.0}, True),
        ({"value": 0}, True),
        ({"value": 1.01}, False),
        ({"value": -0.1}, False),
        ({"better": "lower"}, False),
        ({"measure": "mcc"}, False),
        ({"measure": "spearman"}, False),
        ({"measure": "pearson"}, False),
    ],
)
def test_a_share_lies_between_nought_and_one_and_more_is_better(
    changes: dict[str, Any], is_share: bool
) -> None:
    """And no correlation is one."""
    assert score(**changes).is_share is is_share
    assert score(**changes).higher_is_better is (changes.get("better") is None)


def test_known_tasks_have_their_names_and_units() -> None:
    assert (score(task="blimp").task, score(task="blimp").shown_items) == ("BLiMP", "10 pairs")
    assert score(task="held_out").shown_items == "10 tokens"
    assert score(task="minimal_pairs").task == "minimal pairs"


def test_rows_without_a_number_are_left_out() -> None:
    """And what stands beside the table is no score of it."""
    rows = [row(value=None), row(value="0.5"), row(value=1)]
    assert [each.value for each in scores_of({"scores": rows})] == [1.0]
    blimp = {"accuracy": 0.75, "pairs": 8}
    assert scores_of({"blimp": blimp}) == []
    assert scores_of({"scores": [], "blimp": blimp}) == []
    assert scores_of({"scores": None, "blimp": blimp}) == []


UNIGRAM = {"mask": {"accuracy": 0.1, "perplexity": 400.0}, "all": {"perplexity": 300.0}}


@pytest.mark.parametrize(
    ("measure", "beside"),
    [
        ("accuracy at <mask>", (0.1, "unigram")),
        ("perplexity at <mask>", (400.0, "unigram")),
        ("perplexity", (300.0, "unigram")),
        ("bits per byte at <mask>", (0.9, "guessing")),
    ],
)
def test_beside_held_out_text_stands_the_unigram_on_the_same_tokens(
    measure: str, beside: tuple[float, str]
) -> None:
    """At masks or at all chosen tokens; of what it has none, guessing stays."""
    rows = [row(task="held_out", measure=measure, chance=0.9)]
    (found,) = scores_of({"held_out": {"unigram": UNIGRAM}, "scores": rows})
    assert found.baseline == beside
    rows = [row(measure=measure, chance=0.9)]
    (other,) = scores_of({"held_out": {"unigram": UNIGRAM}, "scores": rows})
    assert other.baseline == (0.9, "guessing")


def test_figures_are_shown_in_their_kind() -> None:
    """A share as per cent with its ends, anything else as a number."""
    share = Score("t", "accuracy", 0.5, 1234, "pairs", True, (0.4, 0.6), (0.25, "guessing"))
    assert (share.shown(), share.shown(0.125)) == ("50.0%", "12.5%")
    assert share.shown_interval == "40.0 to 60.0%"
    assert (share.shown_items, share.shown_baseline) == ("1,234 pairs", "25.0% guessing")
    number = Score("t", "perplexity", 1234.5, is_share=False, interval=(1.0, 2.0))
    assert (number.shown(), number.shown_interval) == ("1,234.50", "1.00 to 2.00")
    assert (number.shown_items, number.shown_baseline) == ("", "")
    assert number.to_json() == {
        **{"name": "t, perplexity", "value": 1234.5, "interval": [1.0, 2.0]},
        **{"items": 0, "unit": "items", "baseline": None},
    }
    assert share.to_json()["baseline"] == 0.25


def test_published_scores_are_found_by_the_tasks_name_however_spelt() -> None:
    """Each a share with its source; of an unknown task there are none."""
    known = read_anchors()["BLiMP"]
    assert anchors_of("BLiMP", "accuracy") == anchors_of("my-blimp", "accuracy") == known
    assert anchors_of("something else", "accuracy") == ()
    for anchor in (each for rows in read_anchors().values() for each in rows):
        assert 0 < anchor.value < 1
        assert anchor.source
        assert anchor.name == f"{anchor.model}, {anchor.trained_on}"


@pytest.mark.parametrize(
    ("task", "measure", "others"),
    [
        ("squad-1.1", "f1", ["exact match", "accuracy"]),
        ("sst-2", "accuracy", ["macro f1", "f1", "mcc"]),
        ("blimp", "accuracy", ["f1"]),
    ],
)
def test_no_published_score_stands_beside_one_of_another_measure(
    task: str, measure: str, others: list[str]
) -> None:
    """SQuAD's F1 is no exact match, and SST-2's accuracy no mean F1 of its classes."""
    assert anchors_of(task, measure) != ()
    assert [anchors_of(task, other) for other in others] == [()] * len(others)
