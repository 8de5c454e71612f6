"""Tasks, run: each gets its own files and results, in the order of the config, and its own cost."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tasks.config import EvaluateConfig
from tasks.config.evaluate import MinimalPairsConfig
from tasks.engine.ledger import Ledger
from tasks.engine.outside import outside_file
from tasks.engine.units import Unit, UnitReport, UnitResult
from tasks.errors import UserError
from tasks.evaluation.running import check_asked, costs, outside_files, run_tasks
from tasks.evaluation.table import Asked, asked_by, asked_of
from tasks.evaluation.task import Subject


def asked(folder: Path, *names: str) -> list[Asked]:
    """Tasks of pairs, each with a file of its own name."""
    found = []
    for name in names:
        path = folder / f"{name}.txt"
        path.write_text(f"{name} good\n{name} bad\n")
        found.append(MinimalPairsConfig(task="minimal_pairs", name=name, data=str(path)))
    return asked_of(found, "tasks")


def noted(function: Callable[..., UnitReport], units: Sequence[Unit]) -> list[UnitResult]:
    """Results without computing: one right pair each."""
    assert function.__name__ == "score_pairs"
    counts = {"groups": {}, "pairs": 1, "right": 1, "ties": 0, "too_long": 0}
    return [
        UnitResult(
            unit.label,
            "k",
            {},
            Ledger(),
            {"name": "x", "paradigms": [{"paradigm": unit.payload["name"], **counts}]},
            reused=False,
        )
        for unit in units
    ]


def test_a_task_reads_its_own_files_alone(tmp_path: Path) -> None:
    """Also where another's name begins with its own."""
    tasks = asked(tmp_path, "pairs", "pairs.more")
    files = outside_files(tasks)
    assert sorted(files) == ["pairs.more/pairs.more", "pairs/pairs"]
    first, second = run_tasks(tasks, files, Subject({}), noted)
    assert (list(first.files), list(second.files)) == (["pairs"], ["pairs.more"])
    assert [result.label for result in first.results] == ["pairs/pairs"]
    assert first.files["pairs"] == outside_file(tmp_path / "pairs.txt")
    (row,) = second.scores
    assert (row["task"], row["value"], row["n"]) == ("pairs.more", 1.0, 1)


def test_what_has_no_summary_has_no_scores() -> None:
    (task,) = asked_by(EvaluateConfig())
    (done,) = run_tasks([task], {}, Subject({}), lambda *_: [])
    assert (done.summary, done.scores) == (None, [])


def test_every_task_is_checked_before_any_runs(tmp_path: Path) -> None:
    """The last one's mistake too, with its field."""
    tasks = asked(tmp_path, "one", "two")
    check_asked(tasks)
    (tmp_path / "two.txt").write_text("alone\n")
    with pytest.raises(UserError, match=r"tasks\.two\.data: two"):
        check_asked(tasks)


def test_shorthands_come_first_and_settings_are_passed_on() -> None:
    """`blimp` is a task of pairs by that name, with all that was set of it."""
    task = {"task": "neighbours", "name": "near"}
    config = EvaluateConfig.model_validate(
        {"blimp": {"data": "sets", "max_pairs": 7}, "examples": ["A <mask>."], "tasks": [task]}
    )
    found = asked_by(config)
    assert [(each.name, each.where) for each in found] == [
        ("held_out", "evaluate.held_out"),
        ("blimp", "evaluate.blimp"),
        ("examples", "evaluate.examples"),
        ("near", "evaluate.tasks.near"),
    ]
    pairs: Any = found[1].settings
    assert (pairs.data, pairs.max_pairs, pairs.name) == ("sets", 7, "blimp")
    assert asked_by(EvaluateConfig(held_out=None)) == []


def test_a_tasks_cost_is_that_of_its_units() -> None:
    """Counted and summed up by name; a label without a slash is a task's own."""
    units = [
        {"label": label, "provenance": {"seconds": seconds}}
        for label, seconds in (("a/x", 1.25), ("b/y", 2), ("a/z/1", 0.5004), ("c", 3))
    ]
    assert costs(units) == {
        "a": {"units": 2, "seconds": 1.75},
        "b": {"units": 1, "seconds": 2.0},
        "c": {"units": 1, "seconds": 3.0},
    }
