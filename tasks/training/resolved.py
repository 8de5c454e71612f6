"""What `minutes` and `precision: auto` became: found out once for a training, and then fixed.

The number of steps is measured, the precision is what the first machine has. Both stand in a
unit of the stage and in the record of every checkpoint, so whichever of them survives tells
the others; they are found out anew only when nothing of the training exists.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from tasks.engine.stage import StageContext
from tasks.engine.units import Unit, UnitReport, UnitWork

LABEL = "resolved"


class Resolved(NamedTuple):
    """The length and the precision of a training."""

    steps: int
    precision: str

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Resolved":
        """From a checkpoint's record, a unit's summary, or the trainer's event."""
        return cls(int(facts["steps"]), str(facts["precision"]))


def resolve(work: UnitWork, *, training: str) -> UnitReport:
    """Never called: the training process finds out, and it is only committed here."""
    raise AssertionError("length and precision come from the training process")


def read_resolved(context: StageContext[Any], training: str, prefix: str = "") -> Resolved | None:
    """What was committed for this training, or None."""
    done = context.committed(resolve, _unit(training, prefix))
    return None if done is None else Resolved.of(done.summary)


def write_resolved(
    context: StageContext[Any], training: str, resolved: Resolved, prefix: str = ""
) -> None:
    """Commit it; the same values again give the same bytes."""
    unit = _unit(training, prefix)
    work = UnitWork(unit.label, context.scratch())
    values = resolved._asdict()
    work.path(".json").write_text(json.dumps(values, sort_keys=True) + "\n", encoding="utf-8")
    context.commit(resolve, unit, work, UnitReport(summary=values), outputs=False)


def _unit(training: str, prefix: str) -> Unit:
    return Unit(f"{prefix}{LABEL}", {"training": training})
