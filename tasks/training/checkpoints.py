"""Checkpoints as units of the pretrain stage: committed, found again, let go.

A checkpoint unit holds everything up to its step: weights, optimiser state, the trainer's own
`checkpoint.json`, and the losses of all steps so far. Its identity is the training it belongs
to and its step, never how often the run was cut short.
"""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roberta_model.training.checkpoint import is_sound_checkpoint
from tasks.engine.provenance import now
from tasks.engine.stage import StageContext
from tasks.engine.units import Unit, UnitReport, UnitResult, UnitWork

LOSSES = "losses.jsonl"


def checkpoint(work: UnitWork, *, training: str, step: int) -> UnitReport:
    """Never called: a checkpoint is computed by the trainer and only committed here."""
    raise AssertionError("checkpoints come from the training process")


@dataclass
class Checkpoints:
    """The checkpoints of one training, identified by the digest of all that decides it."""

    context: StageContext[Any]
    training: str

    def unit(self, step: int) -> Unit:
        """The unit of the checkpoint after `step` steps."""
        return Unit(f"checkpoint/{step:08d}", {"training": self.training, "step": step})

    def find(self, step: int) -> UnitResult | None:
        """The committed, sound checkpoint of a step, or None."""
        return self.context.committed(checkpoint, self.unit(step))

    def steps(self) -> list[int]:
        """The steps of all checkpoints committed in this artifact, sound or not."""
        labels = self.context.labels("checkpoint/")
        return sorted(int(label.rsplit("/", 1)[-1]) for label in labels)

    def newest(self, steps: Iterable[int]) -> UnitResult | None:
        """The furthest sound checkpoint among some steps."""
        for step in sorted(steps, reverse=True):
            found = self.find(step)
            if found is not None:
                return found
        return None

    def adopt(
        self, folder: Path, before: UnitResult | None, measured: Mapping[str, Any]
    ) -> UnitResult:
        """Commit a checkpoint folder that the trainer has finished.

        The trainer leaves the losses since the last checkpoint in the folder; with those of
        the checkpoint before they become the losses of all steps. The folder stays whole until
        the unit is committed: whoever is interrupted in between can do it again.
        """
        step = step_of(folder)
        unit = self.unit(step)
        scratch = self.context.scratch()
        work = UnitWork(unit.label, scratch)
        earlier = b"" if before is None else before.files[f"/{LOSSES}"].local().read_bytes()
        for path in sorted(folder.iterdir()):
            if path.name != LOSSES:
                _link(path, work.path(f"/{path.name}"))
        work.path(f"/{LOSSES}").write_bytes(earlier + (folder / LOSSES).read_bytes())
        report = UnitReport(rows={f"/{LOSSES}": step}, summary={"step": step})
        # Earlier checkpoints are let go; how fast the training was all the way is not.
        past = [] if before is None else before.provenance.get("intervals", [])
        intervals = [*past, {"step": step, **measured}]
        facts = {"started": now(), **measured, "step": step, "intervals": intervals}
        done = self.context.commit(checkpoint, unit, work, report, outputs=False, measured=facts)
        shutil.rmtree(folder, ignore_errors=True)
        return done


def _link(source: Path, target: Path) -> None:
    """A second name for a file where the disk has such, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def step_of(folder: Path) -> int:
    """The step in a checkpoint folder's name."""
    return int(folder.name)


def continues(folder: Path, after: int) -> bool:
    """Whether a folder that a killed run left is a whole checkpoint that goes on from a step."""
    if not is_sound_checkpoint(folder):
        return False
    with (folder / LOSSES).open(encoding="utf-8") as lines:
        first = lines.readline()
    return bool(first) and int(json.loads(first)["step"]) == after + 1
