"""The units of an artifact in the making: found, taken over, committed, in the order of use.

A unit is looked for in this artifact first (an earlier attempt that was cut short), then in the
other artifacts of the stage (an earlier config or a smaller corpus). Its bytes are checked
before it is reused; a damaged one is computed again, and must come out as it was.
"""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tasks.engine.attempt import Attempt, fingerprint
from tasks.engine.computing import ComputedUnit
from tasks.engine.identity import key_of, library_versions
from tasks.engine.records import UNITS, UnitRecord, read_unit
from tasks.engine.stage import Stage, UnitFunction
from tasks.engine.units import Unit, UnitResult
from tasks.errors import StageError

log = logging.getLogger(__name__)


class Catalog:
    """What is known of a stage's units.

    Args:
        attempt: The artifact they are for.
        stage: Whose units they are.
        expected: Records of the artifact that this one replaces, by their paths.
        alone: Take nothing over from other artifacts.
    """

    def __init__(
        self,
        attempt: Attempt,
        stage: Stage[Any],
        expected: Mapping[str, UnitRecord],
        *,
        alone: bool,
    ) -> None:
        self.attempt, self.stage, self.expected = attempt, stage, expected
        self.store, self.folder = attempt.store, attempt.folder
        self.libraries = library_versions(stage.libraries)
        self._used: dict[str, UnitRecord] = {}
        self._elsewhere = {} if alone else self._index_siblings()

    def _index_siblings(self) -> dict[str, tuple[str, str]]:
        """For each unit key in the stage's other artifacts: (artifact folder, record name)."""
        found = {}
        for sibling in self.store.names(self.stage.folder):
            folder = f"{self.stage.folder}/{sibling}"
            if folder != self.folder:
                for name in self.store.names(f"{folder}/{UNITS}"):
                    found[name.split("--")[0]] = (folder, name)
        return found

    def key(self, function: UnitFunction, unit: Unit) -> str:
        """The unit's key: what it computes from what."""
        return key_of(
            {
                "stage": self.stage.name,
                "version": self.stage.version,
                "libraries": self.libraries,
                "function": getattr(function, "__name__", ""),
                "payload": unit.payload,
            }
        )

    def labels(self, prefix: str) -> list[str]:
        """Labels of the units recorded in this artifact that begin so, sound or not."""
        names = self.store.names(f"{self.folder}/{UNITS}")
        labels = [name.split("--", 1)[-1].removesuffix(".json").replace("+", "/") for name in names]
        return sorted(label for label in labels if label.startswith(prefix))

    @property
    def used(self) -> list[UnitRecord]:
        """The units this artifact is made of, in the order they were last asked for."""
        return list(self._used.values())

    def find(self, key: str, label: str) -> UnitRecord | None:
        """A unit that is done and sound, in this artifact from now on; else None."""
        name = UnitRecord.name_of(key, label)
        recorded = read_unit(self.store, self.folder, name)
        own = recorded or self.expected.get(f"{UNITS}/{name}")
        if own is not None:
            damaged = own.damaged(self.store, self.folder)
            if not damaged:
                if recorded is None:
                    self.attempt.record(own)
                return own
            log.warning("%s: made again: %s", self.stage.name, ", ".join(damaged))
        if key in self._elsewhere:
            return self._adopt(*self._elsewhere[key], label)
        return None

    def _adopt(self, folder: str, name: str, label: str) -> UnitRecord | None:
        """Take over a sound unit of another artifact under this artifact's label."""
        try:
            record = read_unit(self.store, folder, name)
            if record is None or record.damaged(self.store, folder):
                return None
            return self._relabel(record, folder, label)
        except FileNotFoundError:
            log.info("%s: %s was removed meanwhile; made anew", self.stage.name, label)
            return None

    def _relabel(self, record: UnitRecord, folder: str, label: str) -> UnitRecord:
        self.attempt.check()
        for suffix in record.files:
            source = f"{folder}/{record.label}{suffix}"
            self.store.copy(source, f"{self.folder}/{label}{suffix}")
        ours = replace(record, label=label)
        self.attempt.record(ours)
        return ours

    def result(self, record: UnitRecord, label: str, output: bool, reused: bool) -> UnitResult:
        """A unit as the stage gets it, under the label and in the part it asked for."""
        if record.label != label:
            record = self._relabel(record, self.folder, label)
        if record.output != output:
            record = replace(record, output=output)
            self.attempt.record(record)
        self.use(record)
        return record.result(self.store, self.folder, reused)

    def use(self, record: UnitRecord) -> None:
        """Count a unit among those the artifact is made of, as the last of them."""
        self._used.pop(record.path, None)
        self._used[record.path] = record

    def commit(
        self, key: str, function: UnitFunction, label: str, computed: ComputedUnit, output: bool
    ) -> UnitRecord:
        """Move a computed unit's files into place, then record it: now it counts.

        Raises:
            LeaseLostError: another run has the artifact.
            StageError: it is not what it was before it was damaged, or does not add up.
        """
        report = computed.report
        report.ledger.check(f"{self.stage.name}, unit {label}")
        record = UnitRecord(
            key=key,
            label=label,
            function=getattr(function, "__name__", ""),
            output=output,
            files=computed.files,
            ledger=report.ledger.to_json(),
            summary=dict(report.summary),
            provenance=computed.provenance,
        )
        before = self.expected.get(record.path)
        if before is not None:
            _check_same(before, record)
            record = before
        for suffix, entry in computed.files.items():
            name = f"{label}{suffix}"
            self.attempt.put(f"{computed.folder}/{name}", name, entry)
        self.attempt.record(record)
        if self.store.is_local:  # elsewhere there are no folders to be left behind
            shutil.rmtree(self.store.url(computed.folder), ignore_errors=True)
        return record

    def discard(self, result: UnitResult) -> None:
        """Forget a committed unit and its files."""
        name = UnitRecord.name_of(result.key, result.label)
        record = read_unit(self.store, self.folder, name)
        self.attempt.remove(f"{UNITS}/{name}")
        self._used.pop(f"{UNITS}/{name}", None)
        for suffix in record.files if record else {}:
            self.attempt.remove(f"{result.label}{suffix}")


def _check_same(before: UnitRecord, now: UnitRecord) -> None:
    """A unit that is made again for an artifact that was whole must be what it was."""
    if before.same_work(now):
        return
    old, new = fingerprint(before.files), fingerprint(now.files)
    differs = f"was {old}, is {new} now" if old != new else "its ledger or summary differs"
    raise StageError(
        f"unit {now.label} was damaged, and made again it is not what it was: {differs}. Another "
        "version of a library or another processor is the usual reason; what later stages made "
        "of the old bytes would no longer fit. Nothing was recorded. Run with --force to make "
        "this stage and those after it anew."
    )
