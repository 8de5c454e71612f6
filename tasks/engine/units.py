"""Units: the pieces of a stage that are computed, committed and reused one by one.

A unit is a module-level function and its payload. The payload *is* the unit's identity: its
key is the hash of (stage, version, function, payload), so nothing a unit depends on can be
forgotten. Files appear in a payload as `StoredFile`, which counts by content and not by path.

    def encode(work: UnitWork, *, documents: StoredFile, row_tokens: int) -> UnitReport: ...

    results = context.map(encode, [
        Unit("train-00000", {"documents": file, "row_tokens": 128}), ...
    ])

A unit writes only to paths given by `work.path(suffix)`. The engine flushes them to disk,
hashes them, moves them to `<artifact>/<label><suffix>` and then records the unit: from that
moment it is never computed again, in this artifact or in a later one of the same stage.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tasks.engine.copies import local_copy
from tasks.engine.ledger import Ledger

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class StoredFile:
    """A file identified by its content.

    `url` is a path or an fsspec URL; `sha256` is the hex digest of the bytes; `rows` counts
    records where that has a meaning. `stamp` is set for files outside the store, see
    `tasks.engine.outside`: every unit that reads one checks it.
    """

    url: str
    sha256: str
    bytes: int
    rows: int | None = None
    stamp: tuple[int, ...] | None = None

    def identity(self) -> str:
        """Content only: neither the place nor the name of a file matters to a key."""
        return f"sha256:{self.sha256}"

    def local(self) -> Path:
        """A path on this machine that holds the bytes; remote files are fetched once."""
        return local_copy(self.url, self.sha256, self.bytes)


@dataclass(frozen=True)
class Unit:
    """One piece of work. `label` says where its files go and is no part of its identity."""

    label: str
    payload: Mapping[str, Any]


def shown_as(words: str) -> Callable[[F], F]:
    """Have progress call a unit function's work so, where its own name would say little."""

    def mark(function: F) -> F:
        function.__dict__["shown_as"] = words
        return function

    return mark


def words_for(function: Callable[..., Any]) -> str:
    """What progress calls a unit function's work."""
    return str(getattr(function, "shown_as", getattr(function, "__name__", "").replace("_", " ")))


@dataclass(frozen=True)
class UnitWork:
    """Where a running unit writes: a private folder that nobody else reads.

    `declared` holds what was asked for: all of it must be there when the unit ends.
    """

    label: str
    folder: Path
    declared: set[str] = field(default_factory=set, compare=False)

    def path(self, suffix: str) -> Path:
        """The path of one output file, to be written by the unit.

        `suffix` begins with a dot, or with a slash for a file in a folder of the label's name.
        """
        self.declared.add(suffix)
        path = self.folder / f"{self.label}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def directory(self) -> Path:
        """The folder of the label's name, for files whose names a library chooses."""
        self.declared.add("")
        path = self.folder / self.label
        path.mkdir(parents=True, exist_ok=True)
        return path


@dataclass
class UnitReport:
    """What a unit says about its work; all of it must follow from the payload alone.

    `rows` maps a suffix to the number of records in that file.
    """

    ledger: Ledger = field(default_factory=Ledger)
    rows: Mapping[str, int] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class UnitResult:
    """A committed unit: its files by suffix, its ledger, its summary and where it was made."""

    label: str
    key: str
    files: Mapping[str, StoredFile]
    ledger: Ledger
    summary: Mapping[str, Any]
    reused: bool
    provenance: Mapping[str, Any] = field(default_factory=dict)
