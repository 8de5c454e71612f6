"""The units of an artifact in the making: found, taken over, committed, in the order of use.

A unit is looked for in this artifact first (an earlier attempt that was cut short), then in the
other artifacts of the stage (an earlier config or a smaller corpus). Its bytes are checked
before it is reused; a damaged one is computed again, and must come out as it was.
"""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from tasks.engine.attempt import Attempt, fingerprint
from tasks.engine.computing import ComputedUnit
from tasks.engine.identity import key_of, library_versions
from tasks.engine.record_book import RecordBook
from tasks.engine.stage import Stage, UnitFunction
from tasks.engine.unit_records import UNITS, UnitRecord, is_batch, read_batches, read_unit
from tasks.engine.units import Unit, UnitResult
from tasks.errors import StageError

log = logging.getLogger(__name__)

_FINDERS = 8
_MOST_TOGETHER = 256


class Catalog:
    """What is known of a stage's units.

    Args:
        attempt: The artifact they are for.
        stage: Whose units they are.
        expected: Records of the artifact that this one replaces, by their names.
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
        self._book = RecordBook(attempt)
        self._elsewhere = {} if alone else self._index_siblings()

    def _index_siblings(self) -> dict[str, tuple[str, str | UnitRecord]]:
        """For each unit key in the stage's other artifacts: its folder, and its record or file."""
        found: dict[str, tuple[str, str | UnitRecord]] = {}
        for sibling in self.store.names(self.stage.folder):
            folder = f"{self.stage.folder}/{sibling}"
            if folder != self.folder:
                names = self.store.names(f"{folder}/{UNITS}")
                for record, _ in read_batches(self.store, folder, names).values():
                    found[record.key] = (folder, record)
                for name in names:
                    if not is_batch(name):
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
        names = (name.split("--", 1)[-1] for name in self._book.names())
        labels = (name.removesuffix(".json").replace("+", "/") for name in names)
        return sorted(label for label in labels if label.startswith(prefix))

    @property
    def used(self) -> list[UnitRecord]:
        """The units this artifact is made of, in the order they were last asked for."""
        return list(self._used.values())

    def find(self, key: str, label: str) -> UnitRecord | None:
        """A unit that is done and sound, in this artifact from now on; else None."""
        found, is_new = self._find(key, label)
        if found is not None and is_new:
            self._record([found])
        return found

    def find_all(self, units: Sequence[tuple[str, str]]) -> list[UnitRecord | None]:
        """`find` for many keys and labels at once: what must be recorded is recorded together."""
        with ThreadPoolExecutor(_FINDERS) as threads:
            found = list(threads.map(lambda unit: self._find(*unit), units))
        new = [record for record, is_new in found if record is not None and is_new]
        for start in range(0, len(new), _MOST_TOGETHER):
            self._record(new[start : start + _MOST_TOGETHER])
        return [record for record, _ in found]

    def _find(self, key: str, label: str) -> tuple[UnitRecord | None, bool]:
        """A unit whose sound files are in this artifact, and whether its record is still to be."""
        name = UnitRecord.name_of(key, label)
        recorded = self._book.read(name)
        own = recorded or self.expected.get(name)
        if own is not None:
            damaged = own.damaged(self.store, self.folder)
            if not damaged:
                return own, recorded is None
            log.warning("%s: made again: %s", self.stage.name, ", ".join(damaged))
        return self._adopt(key, label), True

    def _adopt(self, key: str, label: str) -> UnitRecord | None:
        """Take over a sound unit of another artifact under this artifact's label."""
        if key not in self._elsewhere:
            return None
        folder, known = self._elsewhere[key]
        try:
            record = read_unit(self.store, folder, known) if isinstance(known, str) else known
            if record is None or record.damaged(self.store, folder):
                return None
            return self._copy(record, folder, label)
        except FileNotFoundError:
            log.info("%s: %s was removed meanwhile; made anew", self.stage.name, label)
            return None

    def _copy(self, record: UnitRecord, folder: str, label: str) -> UnitRecord:
        """Give a unit's files their places here, under a label; the record is still to be."""
        self.attempt.check()
        for suffix in record.files:
            source = f"{folder}/{record.label}{suffix}"
            self.store.copy(source, f"{self.folder}/{label}{suffix}")
        return replace(record, label=label)

    def _record(self, records: Sequence[UnitRecord]) -> None:
        """Record units whose bytes are in their places; their names are flushed here."""
        paths = [f"{self.folder}/{unit.label}{suffix}" for unit in records for suffix in unit.files]
        self.store.flush_names(paths)
        self._book.record(records)

    def result(self, record: UnitRecord, label: str, output: bool, reused: bool) -> UnitResult:
        """A unit as the stage gets it, under the label and in the part it asked for."""
        if record.label != label or record.output != output:
            if record.label != label:
                record = self._copy(record, self.folder, label)
            record = replace(record, output=output)
            self._record([record])
        self.use(record)
        return record.result(self.store, self.folder, reused)

    def use(self, record: UnitRecord) -> None:
        """Count a unit among those the artifact is made of, as the last of them."""
        self._used.pop(record.name, None)
        self._used[record.name] = record

    def keep_used(self) -> set[str]:
        """Leave the records of used units alone; the paths of their files in the artifact."""
        return self._book.keep(self._used)

    def commit_all(
        self,
        function: UnitFunction,
        labels: Mapping[str, str],
        computed: Mapping[str, ComputedUnit],
        output: bool,
    ) -> dict[str, UnitRecord]:
        """Move computed units' files into place, flush them, then record the units: they count.

        Args:
            function: What computed them.
            labels: Each unit's, by its key.
            computed: By key.
            output: Whether they are handed on.

        Raises:
            LeaseLostError: another run has the artifact.
            StageError: one is not what it was before it was damaged, or does not add up; the
                others are recorded.
        """
        records, problem = {}, None
        for key, unit in computed.items():
            try:
                records[key] = self._new_record(key, function, labels[key], unit, output)
            except StageError as found:
                problem = problem or found
        self.attempt.put_all(
            [file for key in records for file in computed[key].waiting(labels[key])]
        )
        self._record(list(records.values()))
        if problem is not None:
            raise problem
        return records

    def _new_record(
        self, key: str, function: UnitFunction, label: str, computed: ComputedUnit, output: bool
    ) -> UnitRecord:
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
        before = self.expected.get(record.name)
        if before is not None:
            _check_same(before, record)
            return before
        return record

    def discard(self, result: UnitResult) -> None:
        """Forget a committed unit and its files."""
        name = UnitRecord.name_of(result.key, result.label)
        record = self._book.read(name)
        self._book.forget([name])
        self._used.pop(name, None)
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
