"""Minimal pairs summed up: the mean of paradigms, by what the files group them by."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.config.evaluate import MinimalPairsConfig
from tasks.engine.ledger import Ledger
from tasks.engine.outside import outside_file
from tasks.engine.units import UnitResult
from tasks.errors import UserError
from tasks.evaluation.intervals import wilson, wilson_of_mean
from tasks.evaluation.minimal_pairs import (
    count_paradigms,
    fitting_pairs,
    pair_rights,
    pair_scores,
    pair_texts,
    summarise_pairs,
)
from tasks.evaluation.pair_files import MinimalPair, read_pairs


def unit(name: str, paradigms: dict[str, tuple[int, int, str]]) -> UnitResult:
    """A file's result: paradigms with (right, pairs, field)."""
    told = [
        {
            **{"paradigm": paradigm, "groups": {"field": field}, "pairs": pairs},
            **{"right": right, "ties": 0, "too_long": 1},
        }
        for paradigm, (right, pairs, field) in paradigms.items()
    ]
    summary = {"name": name, "paradigms": told}
    return UnitResult(f"blimp/{name}", "key", {}, Ledger(), summary, reused=False)


def test_every_paradigm_counts_alike_however_many_pairs_it_has() -> None:
    """The unweighted mean, as BabyLM counts it; groups likewise; one in two files counts once."""
    found = summarise_pairs(
        [
            unit("a", {"a": (1, 2, "syntax"), "shared": (1, 1, "semantics")}),
            unit("b", {"b": (10, 10, "syntax"), "shared": (0, 9, "semantics")}),
        ],
    )
    assert found["files"] == {"a": 0.5, "shared": 0.1, "b": 1.0}
    assert found["accuracy"] == pytest.approx((0.5 + 0.1 + 1.0) / 3)
    assert (found["pairs"], found["right"], found["too_long"]) == (22, 12, 4)
    syntax = found["groups"]["field"]["syntax"]
    assert (syntax["accuracy"], syntax["paradigms"], syntax["pairs"]) == (0.75, 2, 12)


def test_pairs_of_a_file_are_parted_by_the_paradigms_it_names() -> None:
    """One that it names for all is the file; a pair that is too long is in no share."""
    pairs = [MinimalPair("a", "b", name) for name in ("x", "y", "x", "")]
    told = count_paradigms(pairs, [(1.0, 0.0), None, (0.0, 0.0), (0.0, 1.0)], "file")
    counts = {each["paradigm"]: each for each in told}
    assert list(counts) == ["x", "y", "file"]
    assert (counts["x"]["right"], counts["x"]["ties"], counts["x"]["pairs"]) == (1, 1, 2)
    assert (counts["y"]["pairs"], counts["y"]["too_long"]) == (0, 1)
    same = count_paradigms(pairs[::2], [(1.0, 0.0), (1.0, 0.0)], "file")
    assert [each["paradigm"] for each in same] == ["file"]


def test_no_more_pairs_are_read_than_asked_for(tmp_path: Path) -> None:
    """The first ones."""
    (tmp_path / "a.txt").write_text("".join(f"good {n}\nbad {n}\n" for n in range(5)))
    read = MinimalPairsConfig(task="minimal_pairs", name="a", data="a.txt")
    found = read_pairs(tmp_path / "a.txt", read, "a", max_pairs=2)
    assert [pair.good for pair in found] == ["good 0", "good 1"]


def settings(**changes: Any) -> MinimalPairsConfig:
    values = {"task": "minimal_pairs", "name": "a", "data": "a", **changes}
    return MinimalPairsConfig.model_validate(values)


def test_a_pair_fits_with_its_longer_sentence_up_to_the_models_rows() -> None:
    """One of just that length is read; a file of such pairs alone too."""
    assert fitting_pairs([(8, 3), (3, 8), (9, 3), (3, 9)], 8, "f") == [True, True, False, False]
    assert fitting_pairs([(8, 8)], 8, "f") == [True]
    with pytest.raises(UserError, match="longest has 12 .* shortest 9, and the model reads .* 8"):
        fitting_pairs([(9, 1), (1, 12)], 8, "f")


def test_a_paradigm_of_which_no_pair_was_read_is_in_no_mean() -> None:
    """Its pairs are counted as too long; it is no file with a score."""
    read, unread = unit("a", {"a": (1, 4, "x")}), unit("b", {"b": (0, 0, "y")})
    found = summarise_pairs([read, unread])
    assert (found["accuracy"], found["files"], found["too_long"]) == (0.25, {"a": 0.25}, 2)
    assert found["interval"] == wilson(0.25, 4)
    assert found["paradigms"]["b"]["accuracy"] is None
    assert found["groups"]["field"]["y"]["interval"] is None


def test_the_score_is_the_mean_with_its_interval_beside_guessing() -> None:
    """Over all pairs that were scored."""
    found = summarise_pairs([unit("a", {"a": (3, 4, "x")}), unit("b", {"b": (5, 10, "y")})])
    (score,) = pair_scores("mine", found)
    assert score == {
        **{"task": "mine", "measure": "accuracy", "value": 0.625, "n": 14},
        **{"interval": wilson_of_mean([(3, 4), (5, 10)]), "chance": 0.5, "better": "higher"},
    }


def test_groups_stand_in_the_order_of_their_values() -> None:
    """Each with the interval of its own paradigms."""
    parts = {"b": (3, 4, "z"), "c": (5, 10, "y"), "d": (1, 2, "z")}
    groups = summarise_pairs([unit("a", parts)])["groups"]["field"]
    assert list(groups) == ["y", "z"]
    assert (groups["y"]["interval"], groups["y"]["paradigms"]) == (wilson(0.5, 10), 1)
    assert groups["z"]["interval"] == wilson_of_mean([(3, 4), (1, 2)])


def test_the_text_that_gives_a_pair_away_is_its_good_sentence(tmp_path: Path) -> None:
    """Of the pairs that are asked, file by file in the order of their names."""
    for name in ("b", "a"):
        (tmp_path / f"{name}.txt").write_text(f"{name} good\n{name} bad\nmore\nmor\n")
    files = {name: outside_file(tmp_path / f"{name}.txt") for name in ("b", "a")}
    assert list(pair_texts(settings(max_pairs=1), files)) == ["a good", "b good"]
    assert list(pair_texts(settings(), files)) == ["a good", "more", "b good", "more"]


def test_a_pair_is_right_where_the_good_sentence_is_strictly_likelier(tmp_path: Path) -> None:
    """A tie is wrong, and what is too long is neither; each under its paradigm, in order."""
    record = {
        "pair_paradigms": ["x", "y", "x", "x"],
        "scores": [[-1.0, -2.0], [-2.0, -1.0], [-1.0, -1.0], None],
    }
    (tmp_path / "r.json").write_text(json.dumps(record))
    result = UnitResult(
        "a/r", "k", {".json": outside_file(tmp_path / "r.json")}, Ledger(), {}, reused=False
    )
    rights = [("x", True), ("y", False), ("x", False), ("x", None)]
    assert pair_rights([result]) == rights
