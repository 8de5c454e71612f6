"""Minimal pairs summed up: the mean of paradigms, by what the files group them by."""

from pathlib import Path

import pytest

from tasks.config.evaluate import MinimalPairsConfig
from tasks.engine.ledger import Ledger
from tasks.engine.units import UnitResult
from tasks.evaluation.minimal_pairs import count_paradigms, summarise_pairs
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
        "blimp",
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
