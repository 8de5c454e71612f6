"""The records of the artifact that is being made: known without looking, since only we write them.

A batch's file is written once, by units that have no record yet. Whatever is said of a unit
later goes into a file of its own, which counts before the batch's.
"""

from collections.abc import Collection, Sequence

from tasks.engine.attempt import Attempt, for_each
from tasks.engine.sealing import seal
from tasks.engine.unit_records import (
    FEWEST_IN_BATCH,
    UNITS,
    UnitRecord,
    batch_file,
    forget_units,
    is_batch,
    read_batches,
    read_unit,
)


class RecordBook:
    """What is recorded in an artifact's `units/`, and who writes there.

    Args:
        attempt: The right to write.
    """

    def __init__(self, attempt: Attempt) -> None:
        self.attempt, self.store, self.folder = attempt, attempt.store, attempt.folder
        names = self.store.names(f"{self.folder}/{UNITS}")
        self._own = {name for name in names if not is_batch(name)}
        self._batched = read_batches(self.store, self.folder, names)

    def names(self) -> set[str]:
        """The names of all records, sound or not."""
        return self._own | set(self._batched)

    def _has(self, name: str) -> bool:
        return name in self._own or name in self._batched

    def read(self, name: str) -> UnitRecord | None:
        """A unit's record, or None if there is none or it is damaged."""
        if name in self._own:
            return read_unit(self.store, self.folder, name)
        return self._batched[name][0] if name in self._batched else None

    def record(self, units: Sequence[UnitRecord]) -> None:
        """Write down that units are done: from now on they count.

        Their files are in their places, and so are their names after a power cut.

        Raises:
            LeaseLostError: another run has the artifact.
        """
        new = [unit for unit in units if not self._has(unit.name)]
        if len(new) < FEWEST_IN_BATCH:
            new = []
        else:
            file, content = batch_file(new)
            self.attempt.write(f"{UNITS}/{file}", content)
            self._batched |= {unit.name: (unit, file) for unit in new}
        together = {unit.name for unit in new}
        alone = [unit for unit in units if unit.name not in together]
        for_each(self.store, self._write_alone, alone, flushes=True)
        self._own |= {unit.name for unit in alone}

    def _write_alone(self, unit: UnitRecord) -> None:
        self.attempt.write(unit.path, seal(unit.to_json()))

    def forget(self, gone: Collection[str]) -> None:
        """Remove the records of these names."""
        for name in self._own.intersection(gone):
            self.attempt.remove(f"{UNITS}/{name}")
            self._own.discard(name)
        self._take_from_batches(set(gone))

    def _take_from_batches(self, gone: set[str]) -> None:
        for file in sorted({file for name, (_, file) in self._batched.items() if name in gone}):
            held = [name for name, (_, where) in self._batched.items() if where == file]
            kept = forget_units(self.store, self.folder, file, gone, self.attempt.check)
            for name in held:
                record, _ = self._batched.pop(name)
                if kept is not None and name not in gone:
                    self._batched[name] = (record, kept)

    def keep(self, used: Collection[str]) -> set[str]:
        """Leave the records of these names alone, each in one file.

        Returns:
            The paths of their files in the artifact.
        """
        self._take_from_batches(set(self._batched) - (set(used) - self._own))
        files = {self._batched[name][1] for name in self._batched}
        return {f"{UNITS}/{name}" for name in files | self._own.intersection(used)}
