"""The worker's half of a unit: compute it, check it, flush it, hash it, put it into the store.

    local store   computed in the attempt's folder of the store itself
    remote store  computed in a folder of the worker's machine, then put into the attempt's folder

Either way its files then wait in the store, and the driver moves them and writes the record.
A folder costs a disk more than a tiny file, so a worker computes one unit after the other in one
that is its own, and which is empty whenever a unit begins.
"""

import os
import shutil
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from tasks.engine.files import flush_file
from tasks.engine.identity import canonical, library_versions
from tasks.engine.outside import check_unchanged
from tasks.engine.provenance import now, unit_provenance
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.unit_files import describe_files
from tasks.engine.units import UnitReport, UnitWork
from tasks.errors import StageError

_FLUSHERS = 8


@dataclass(frozen=True)
class Place:
    """Where units' files wait for their records: the folder of one attempt in a store."""

    store: str
    folder: str


@dataclass(frozen=True)
class Waiting:
    """A finished file in the store, `source`, that is to become `name` in the artifact.

    `entry` has its `bytes`, `sha256` and `rows`.
    """

    source: str
    name: str
    entry: Mapping[str, Any]


@dataclass(frozen=True)
class Work:
    """One unit to be computed, as it travels to a worker.

    `libraries` are the versions that its key was made with: a worker must have the same.
    """

    function: Callable[..., UnitReport]
    label: str
    payload: Mapping[str, Any]
    place: Place
    libraries: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ComputedUnit:
    """A unit whose files lie in the store, and that is not committed yet.

    `sources` says where, by suffix, relative to the store; `unflushed` are those, on this
    machine, that a power cut may still take.
    """

    report: UnitReport
    files: Mapping[str, Mapping[str, Any]]
    sources: Mapping[str, str]
    provenance: Mapping[str, Any]
    unflushed: tuple[Path, ...] = ()

    def waiting(self, label: str) -> list[Waiting]:
        """Its files, to be moved to the places that its label gives them."""
        return [
            Waiting(self.sources[suffix], f"{label}{suffix}", entry)
            for suffix, entry in self.files.items()
        ]


def compute_unit(unit: Work) -> ComputedUnit:
    """Run one unit, and leave its files in the attempt's folder that was given for it.

    In a local store they are not flushed yet, see `flush_units`.

    Raises:
        UserError: an outside file that it reads has changed since its key was made.
        StageError: it did not write exactly what it declared, its summary is not plain JSON, or
            this worker has other versions of the libraries that decide the bytes.
    """
    started, start = now(), time.monotonic()
    _check_libraries(tuple(sorted(unit.libraries.items())))
    store = open_store(unit.place.store)
    desk = _desk(store, unit.place)
    try:
        check_unchanged(unit.payload)
        work = UnitWork(unit.label, desk.work)
        try:
            report = unit.function(work, **unit.payload)
        finally:
            check_unchanged(unit.payload)  # a file that changed is the better reason to fail
        _check_summary(work, report.summary)
        files = describe_files(work, report.rows, flush=False)
        sources = desk.hand_over(work, files)
    except BaseException:
        desk.clear()
        raise
    provenance = unit_provenance(started, time.monotonic() - start)
    local = tuple(Path(store.url(source)) for source in sources.values() if store.is_local)
    return ComputedUnit(report, files, sources, provenance, local)


def flush_units(units: Sequence[ComputedUnit]) -> list[ComputedUnit]:
    """Force the files of units that were computed together to the disk, many at once.

    A disk writes its journal once for all that wait for it: eight flushes cost what one does.
    """
    paths = [path for unit in units for path in unit.unflushed]
    if len(paths) == 1:
        flush_file(paths[0])
    elif paths:
        with ThreadPoolExecutor(_FLUSHERS) as threads:
            list(threads.map(flush_file, paths))
    return [replace(unit, unflushed=()) for unit in units]


def hand_over(
    store: Store, work: UnitWork, files: Mapping[str, Mapping[str, Any]], folder: str
) -> dict[str, str]:
    """Move a unit's finished files from this machine into a new folder of the store.

    Returns:
        Where each lies, by suffix.
    """
    sources = {suffix: f"{folder}/{number}" for number, suffix in enumerate(files)}
    for suffix, source in sources.items():
        store.put(work.folder / f"{work.label}{suffix}", source)
    return sources


class _Desk:
    """Where one thread of a worker computes for one attempt, one unit after the other.

    Attributes:
        work: The folder that units write in.
    """

    def __init__(self, store: Store, place: Place) -> None:
        self.store, self.place = store, place
        self.folder = f"{place.folder}/{uuid.uuid4().hex[:12]}"
        self._count = 0
        if store.is_local:
            self.work = Path(store.url(f"{self.folder}.work"))
            self.work.mkdir(parents=True)
            self._done = Path(store.url(self.folder))
            self._done.mkdir()
        else:
            self.work = Path(tempfile.mkdtemp(prefix="roberta-"))

    def hand_over(self, work: UnitWork, files: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        """Put a unit's files into the attempt's folder, so that the next one finds none."""
        self._count += 1
        if not self.store.is_local:
            sources = hand_over(self.store, work, files, f"{self.folder}/{self._count}")
            self.clear()
            return sources
        sources = {}
        for number, suffix in enumerate(files):
            name = f"{self._count}-{number}"
            os.rename(f"{self.work}/{work.label}{suffix}", f"{self._done}/{name}")
            sources[suffix] = f"{self.folder}/{name}"
        if any(suffix == "" or "/" in suffix for suffix in files):
            self.clear()  # of the folders of its name
        return sources

    def clear(self) -> None:
        """Leave nothing of a unit; the next one gets a new folder."""
        shutil.rmtree(self.work, ignore_errors=True)
        _desks.__dict__.clear()


_desks = threading.local()


def _desk(store: Store, place: Place) -> _Desk:
    """This thread's desk: the one it had for its last unit, or a new one for another attempt."""
    found = getattr(_desks, "desk", None)
    if isinstance(found, _Desk) and found.place == place and found.work.is_dir():
        return found
    _desks.desk = made = _Desk(store, place)
    return made


@lru_cache(maxsize=64)
def _check_libraries(expected: tuple[tuple[str, str], ...]) -> None:
    """Refuse to compute under a key that promises other versions than are installed here."""
    found = library_versions([name for name, _ in expected])
    wrong = [(name, wanted) for name, wanted in expected if found[name] != wanted]
    if wrong:
        differ = "; ".join(f"{name} {found[name]}, not {wanted}" for name, wanted in wrong)
        raise StageError(
            f"the worker on {socket.gethostname()} has {differ}: what it computes "
            "would not be what the key says. Install the same lock file on all machines."
        )


def _check_summary(work: UnitWork, summary: Mapping[str, Any]) -> None:
    """Refuse here, where the unit is known, what could not travel or be written down."""
    try:
        canonical(summary, "summary")
    except TypeError as problem:
        raise StageError(
            f"unit {work.label}: {problem}. This is a defect in the stage; nothing was recorded."
        ) from problem
