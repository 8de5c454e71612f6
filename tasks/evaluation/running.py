"""Running the tasks that were asked for, and making one summary of them; see docs/evaluation.md."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.engine.units import StoredFile, UnitResult
from tasks.evaluation.table import Asked
from tasks.evaluation.task import Map, ScoreRow, Subject


@dataclass(frozen=True)
class Done:
    """A task that was scored: what was asked, its results and its summary."""

    asked: Asked
    files: Mapping[str, StoredFile]
    results: Sequence[UnitResult]
    summary: Mapping[str, Any] | None

    @property
    def scores(self) -> list[ScoreRow]:
        """Its rows of the common table."""
        if self.summary is None:
            return []
        return list(self.asked.task.scores(self.asked.name, self.summary))


def outside_files(asked: Iterable[Asked]) -> dict[str, StoredFile]:
    """Every file that the tasks read, labelled by task and name.

    Raises:
        UserError: one is missing.
    """
    return {
        f"{each.name}/{label}": file
        for each in asked
        for label, file in each.task.files(each.settings, each.where).items()
    }


def check_asked(asked: Iterable[Asked]) -> None:
    """Refuse what could not be scored, before anything runs for hours.

    Raises:
        UserError: names the first one.
    """
    for each in asked:
        each.task.check(each.settings, each.where)


def run_tasks(
    asked: Sequence[Asked], files: Mapping[str, StoredFile], subject: Subject, run: Map
) -> list[Done]:
    """Score a model on every task.

    Args:
        asked: The tasks.
        files: What `outside_files` gave.
        subject: The model.
        run: Runs units of a function and returns their results in order.
    """
    done = []
    for each in asked:
        start = f"{each.name}/"
        own = {
            label.removeprefix(start): file
            for label, file in files.items()
            if label.startswith(start)
        }
        results = run(each.task.score, each.task.units(each.settings, each.name, own, subject))
        done.append(Done(each, own, results, each.task.summarise(results)))
    return done


def costs(units: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """What each task cost: its units and the seconds that they computed, by its name.

    `units` are the records in a manifest. Times are no part of a summary: they differ from run
    to run, and what a key is made of may not.
    """
    found: dict[str, dict[str, float]] = {}
    for unit in units:
        name = str(unit["label"]).partition("/")[0]
        cost = found.setdefault(name, {"units": 0, "seconds": 0.0})
        cost["units"] += 1
        cost["seconds"] = round(cost["seconds"] + float(unit["provenance"]["seconds"]), 3)
    return found
