"""The records of an artifact's units, as files in its folder `units/`.

    <key>--<label>.json               one unit
    batch-<name>--<number>.json       so many tiny units that were committed together

A file costs a disk about as much as a tiny unit, so those of a batch share one. A unit that has
a record already never gets into another batch's file: it is recorded in a file of its own, which
counts before any batch's. So what is said of a unit last is always what counts.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tasks.engine.identity import digest_of_json
from tasks.engine.ledger import Ledger
from tasks.engine.sealing import FORMAT, seal, unseal
from tasks.engine.store import Store
from tasks.engine.units import StoredFile, UnitResult
from tasks.errors import StageError

UNITS = "units"
# So few have files of their own: they can be found by their names alone.
FEWEST_IN_BATCH = 8
_BATCH = "batch-"
_READERS = 8


@dataclass(frozen=True)
class UnitRecord:
    """A committed unit as it is written down.

    `files` maps a suffix to `{"bytes", "sha256", "rows"}`; the file lies at
    `<artifact>/<label><suffix>`.
    """

    key: str
    label: str
    function: str
    output: bool
    files: Mapping[str, Mapping[str, Any]]
    ledger: Mapping[str, Any]
    summary: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @staticmethod
    def name_of(key: str, label: str) -> str:
        """A record's name, and that of its file where it has one: found by its key."""
        return f"{key}--{label.replace('/', '+')}.json"

    @property
    def name(self) -> str:
        """See `name_of`; no two units of an artifact have the same."""
        return self.name_of(self.key, self.label)

    @property
    def path(self) -> str:
        """Where the record lies in the artifact, unless it lies in a batch's file."""
        return f"{UNITS}/{self.name}"

    def same_work(self, other: "UnitRecord") -> bool:
        """Whether two records tell of the same result, whenever and wherever it was made."""
        return all(
            getattr(self, name) == getattr(other, name)
            for name in ("key", "label", "output", "files", "ledger", "summary")
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, the form that is sealed."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "UnitRecord":
        """The inverse of `to_json`.

        Raises:
            StageError: fields are missing or unknown, though the format is ours.
        """
        try:
            return cls(**record)
        except TypeError as problem:
            raise StageError(
                f"a unit's record does not have the fields of format {FORMAT}: {problem}. Remove "
                "it, or use another --store."
            ) from problem

    def stored(self, store: Store, folder: str, suffix: str) -> StoredFile:
        """One of the unit's files, as it lies in an artifact folder."""
        entry = self.files[suffix]
        url = store.url(f"{folder}/{self.label}{suffix}")
        return StoredFile(url, entry["sha256"], entry["bytes"], entry["rows"])

    def damaged(self, store: Store, folder: str, *, anew: bool = False) -> list[str]:
        """The unit's files that are missing or altered, as paths in the artifact.

        Files that were hashed before and not touched since are not read again, unless `anew`.
        """
        return [
            f"{self.label}{suffix}"
            for suffix, entry in self.files.items()
            if not store.is_sound(
                f"{folder}/{self.label}{suffix}", entry["sha256"], entry["bytes"], anew=anew
            )
        ]

    def result(self, store: Store, folder: str, reused: bool) -> UnitResult:
        """What a stage gets to see of this unit."""
        files = {suffix: self.stored(store, folder, suffix) for suffix in self.files}
        ledger = Ledger.from_json(self.ledger)
        return UnitResult(
            self.label, self.key, files, ledger, self.summary, reused, self.provenance
        )


def is_batch(name: str) -> bool:
    """Whether a file in `units/` holds the records of a batch."""
    return name.startswith(_BATCH)


def count_units(names: Iterable[str]) -> int:
    """How many units the files of these names record; nothing is read."""
    return sum(int(name[:-5].rpartition("--")[2]) if is_batch(name) else 1 for name in names)


def batch_file(records: Sequence[UnitRecord]) -> tuple[str, bytes]:
    """The name and the content of the file that records these units together."""
    name = digest_of_json([record.name for record in records])[:16]
    content = {"units": [record.to_json() for record in records]}
    return f"{_BATCH}{name}--{len(records)}.json", seal(content, dense=True)


def read_units(store: Store, folder: str, name: str) -> list[UnitRecord]:
    """The records in one file of an artifact's `units/`; none if it is damaged or not there."""
    content = unseal(store.read(f"{folder}/{UNITS}/{name}"))
    if content is None:
        return []
    if is_batch(name):
        return [UnitRecord.from_json(record) for record in content.get("units", [])]
    return [UnitRecord.from_json(content)]


def read_unit(store: Store, folder: str, name: str) -> UnitRecord | None:
    """The record in a unit's own file, or None if there is none or it is damaged."""
    return next(iter(read_units(store, folder, name)), None)


def read_batches(
    store: Store, folder: str, names: Iterable[str]
) -> dict[str, tuple[UnitRecord, str]]:
    """What the batches' files among these hold: each record and its file, by record's name."""
    batches = sorted(filter(is_batch, names))
    with ThreadPoolExecutor(_READERS) as threads:
        read = threads.map(lambda name: read_units(store, folder, name), batches)
        return {
            record.name: (record, name)
            for name, records in zip(batches, read, strict=True)
            for record in records
        }


def read_recorded(store: Store, folder: str) -> dict[str, UnitRecord | None]:
    """All units that an artifact's `units/` records, by name; None where that file is damaged."""
    names = store.names(f"{folder}/{UNITS}")
    found: dict[str, UnitRecord | None] = {}
    found |= {name: record for name, (record, _) in read_batches(store, folder, names).items()}
    single = [name for name in names if not is_batch(name)]
    with ThreadPoolExecutor(_READERS) as threads:
        for name, records in zip(
            single, threads.map(lambda name: read_units(store, folder, name), single), strict=True
        ):
            found[name] = records[0] if records else None
    return found


def forget_units(
    store: Store,
    folder: str,
    name: str,
    gone: Collection[str],
    check: Callable[[], None] = lambda: None,
) -> str | None:
    """Take the records of these names out of a file in `units/`; one that is empty then goes.

    The file with the rest is written first: cut short in between, all are still recorded.
    `check` is called before every change.

    Returns:
        The file that has the rest, or None.
    """
    before = read_units(store, folder, name)
    rest = [record for record in before if record.name not in gone]
    if before and len(rest) == len(before):
        return name
    kept = None
    if rest:
        kept, content = batch_file(rest)
        check()
        store.write(f"{folder}/{UNITS}/{kept}", content)
    check()
    store.remove(f"{folder}/{UNITS}/{name}")
    return kept
