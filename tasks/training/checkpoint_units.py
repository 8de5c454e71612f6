"""Checkpoints as units of the pretrain stage: committed, found again, let go.

A checkpoint unit holds everything up to its step: weights, optimiser state, the trainer's own
`checkpoint.json`, and the losses of all steps so far. Its identity is the training it belongs
to and its step, never how often the run was cut short. The record names the training too: a
folder that lies where a run was killed is taken over only if it is of this one.

What reads a checkpoint needs PyTorch. It is imported where one is read: a run that finds its
training finished, and whatever shows a run, do without.
"""

import json
import logging
import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.engine.provenance import now
from tasks.engine.stage import StageContext
from tasks.engine.units import Unit, UnitReport, UnitResult, UnitWork
from tasks.training.resolved import Resolved, read_resolved, write_resolved

LOSSES_FILE = "losses.jsonl"
MEASURED_FILE = "measured.json"
MEASURED = ("seconds", "tokens_per_second", "processes", "torch", "threads", "device", "is_on_gpu")

log = logging.getLogger(__name__)


def checkpoint(work: UnitWork, *, training: str, step: int) -> UnitReport:
    """Never called: a checkpoint is computed by the trainer and only committed here."""
    raise AssertionError("checkpoints come from the training process")


@dataclass
class Checkpoints:
    """The checkpoints of one training.

    Attributes:
        context: The stage at work.
        training: The digest of all that decides the weights, as the config has it.
        prefix: What its units' labels begin with, where a stage has several trainings.
        resolved: What of it was found out; None until then.
    """

    context: StageContext[Any]
    training: str
    prefix: str = ""
    resolved: Resolved | None = None

    def unit(self, step: int) -> Unit:
        """The unit of the checkpoint after `step` steps."""
        return Unit(
            f"{self.prefix}checkpoint/{step:08d}", {"training": self.training, "step": step}
        )

    def find(self, step: int) -> UnitResult | None:
        """The committed, sound checkpoint of a step, or None."""
        found = self.context.committed(checkpoint, self.unit(step))
        if found is None or self.resolved not in (None, Resolved.of(found.summary)):
            return None
        return found

    def steps(self) -> list[int]:
        """The steps of all checkpoints committed in this artifact, sound or not."""
        labels = self.context.labels(f"{self.prefix}checkpoint/")
        return sorted({int(label.rsplit("/", 1)[-1]) for label in labels})

    def newest(self, steps: Iterable[int]) -> UnitResult | None:
        """The furthest sound checkpoint among some steps."""
        for step in sorted(steps, reverse=True):
            found = self.find(step)
            if found is not None:
                return found
        return None

    def recall(self) -> Resolved | None:
        """What this training's length and precision are, from whatever of it exists."""
        if self.resolved is None:
            found = read_resolved(self.context, self.training, self.prefix)
            if found is None and (kept := self.newest(self.steps())) is not None:
                found = Resolved.of(kept.summary)
            if found is None:
                found = next((Resolved.of(record) for record in self._left_records()), None)
            if found is not None:
                self.resolve(found)
        return self.resolved

    def resolve(self, found: Resolved) -> None:
        """Fix length and precision for good."""
        if read_resolved(self.context, self.training, self.prefix) is None:
            write_resolved(self.context, self.training, found, self.prefix)
        self.resolved = found

    def adopt(
        self, folder: Path, before: UnitResult | None, measured: Mapping[str, Any]
    ) -> UnitResult:
        """Commit a checkpoint folder that the trainer has finished.

        The trainer leaves the losses since the last checkpoint in the folder; with those of
        the checkpoint before they become the losses of all steps. The folder stays whole until
        the unit is committed: whoever is interrupted in between can do it again.
        """
        from roberta_model.training.checkpoint import read_record

        step = step_of(folder)
        record = read_record(folder)
        assert record is not None, f"{folder}: a finished checkpoint has a record"
        unit = self.unit(step)
        work = UnitWork(unit.label, self.context.scratch())
        earlier = b"" if before is None else before.files[f"/{LOSSES_FILE}"].local().read_bytes()
        for path in sorted(folder.iterdir()):
            if path.name not in (LOSSES_FILE, MEASURED_FILE):
                _link(path, work.path(f"/{path.name}"))
        work.path(f"/{LOSSES_FILE}").write_bytes(earlier + (folder / LOSSES_FILE).read_bytes())
        summary = {"step": step, **Resolved.of(record)._asdict()}
        report = UnitReport(rows={f"/{LOSSES_FILE}": step}, summary=summary)
        # Earlier checkpoints are let go; how fast the training was all the way is not.
        past = [] if before is None else before.provenance.get("intervals", [])
        intervals = [*past, {"step": step, **measured}]
        facts = {"started": now(), **measured, "step": step, "intervals": intervals}
        done = self.context.commit(checkpoint, unit, work, report, outputs=False, measured=facts)
        shutil.rmtree(folder, ignore_errors=True)
        return done

    def adopt_left(self, goal: int) -> UnitResult | None:
        """The newest checkpoint up to a step, counting whole ones that a killed run left."""
        from roberta_model.training.checkpoint import read_measured

        newest = self.newest(step for step in self.steps() if step <= goal)
        for folder in self._left_folders():
            after = 0 if newest is None else step_number(newest)
            if after < step_of(folder) <= goal and self.continues(folder, after):
                facts = read_measured(folder)
                measured = {name: facts[name] for name in MEASURED if name in facts}
                newest = self.adopt(folder, newest, measured)
        return newest

    def continues(self, folder: Path, after: int) -> bool:
        """Whether a folder is a whole checkpoint of this training that goes on from a step."""
        from roberta_model.training.checkpoint import is_sound_checkpoint, read_record

        record = read_record(folder)
        if record is None:
            return False
        if not self._is_ours(record):
            log.info("%s: a checkpoint of another training is left out", folder)
            return False
        if not is_sound_checkpoint(folder):
            return False
        with (folder / LOSSES_FILE).open(encoding="utf-8") as lines:
            first = lines.readline()
        return bool(first) and int(json.loads(first)["step"]) == after + 1

    def let_go_before(self, step: int, num_kept: int, keep: Collection[int]) -> None:
        """After a checkpoint was committed: let go of those that no resume will need.

        The newest `num_kept` up to that step stay, whatever is in `keep`, and one whose every
        byte was read again just now: where none of the others is sound, the newest that is.
        """
        known = [each for each in self.steps() if each <= step]
        spare = [each for each in known[:-num_kept] if each not in keep]
        if not spare:
            return
        if self.newest(each for each in known if each not in spare) is None:
            verified = self.newest(spare)
            spare = [] if verified is None else [n for n in spare if n != step_number(verified)]
        self.let_go(spare)

    def let_go(self, steps: Iterable[int]) -> None:
        """Forget some checkpoints and their files."""
        for step in steps:
            if (found := self.find(step)) is not None:
                self.context.discard(found)

    def _left_folders(self) -> list[Path]:
        return sorted(self.context.lasting_scratch().glob("*/[0-9]*"))

    def _left_records(self) -> Iterable[dict[str, Any]]:
        """The records of whole checkpoints of this training that were not committed yet."""
        folders = self._left_folders()
        if not folders:
            return
        from roberta_model.training.checkpoint import is_sound_checkpoint, read_record

        for folder in folders:
            record = read_record(folder)
            if record is not None and self._is_ours(record) and is_sound_checkpoint(folder):
                yield record

    def _is_ours(self, record: Mapping[str, Any]) -> bool:
        if record.get("training") != self.training:
            return False
        return self.resolved in (None, Resolved.of(record))


def _link(source: Path, target: Path) -> None:
    """A second name for a file where the disk has such, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def step_of(folder: Path) -> int:
    """The step in a checkpoint folder's name."""
    return int(folder.name)


def step_number(result: UnitResult) -> int:
    """The step of a checkpoint unit."""
    return int(result.summary["step"])
