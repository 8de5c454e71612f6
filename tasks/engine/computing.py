"""The worker's half of a unit: compute it, check it, flush it, hash it, put it into the store.

    local store   computed in the attempt's folder of the store itself
    remote store  computed in a folder of the worker's machine, then put into the attempt's folder

Either way its files then wait in the store, and the driver moves them and writes the record.
"""

import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from tasks.engine.files import flush_file
from tasks.engine.identity import canonical, file_digest, library_versions
from tasks.engine.outside import check_unchanged
from tasks.engine.provenance import now, unit_provenance
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.units import UnitReport, UnitWork
from tasks.errors import StageError

_FLUSHERS = 8


@dataclass(frozen=True)
class Place:
    """Where a unit's files wait for their record: a folder of one attempt in a store."""

    store: str
    folder: str


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
    """A unit whose files lie in the store, in `folder`, and that is not committed yet."""

    folder: str
    report: UnitReport
    files: Mapping[str, Mapping[str, Any]]
    provenance: Mapping[str, Any]
    unflushed: tuple[Path, ...] = ()


def compute_unit(unit: Work) -> ComputedUnit:
    """Run one unit, and leave its files in the place that was given for it.

    In a local store they are not flushed yet, see `flush_units`.

    Raises:
        UserError: an outside file that it reads has changed since its key was made.
        StageError: it did not write exactly what it declared, its summary is not plain JSON, or
            this worker has other versions of the libraries that decide the bytes.
    """
    started, start = now(), time.monotonic()
    _check_libraries(tuple(sorted(unit.libraries.items())))
    store = open_store(unit.place.store)
    if store.is_local:
        folder = Path(store.url(unit.place.folder))
        shutil.rmtree(folder, ignore_errors=True)  # of a worker that died over it
        folder.mkdir(parents=True)
    else:
        folder = Path(tempfile.mkdtemp(prefix="roberta-"))
    try:
        check_unchanged(unit.payload)
        work = UnitWork(unit.label, folder)
        try:
            report = unit.function(work, **unit.payload)
        finally:
            check_unchanged(unit.payload)  # a file that changed is the better reason to fail
        _check_summary(work, report.summary)
        files = describe_files(work, report.rows, flush=False)
        if not store.is_local:
            hand_over(store, work, files, unit.place.folder)
    finally:
        if not store.is_local:
            shutil.rmtree(folder, ignore_errors=True)
    provenance = unit_provenance(started, time.monotonic() - start)
    paths = (folder / f"{unit.label}{suffix}" for suffix in files)
    unflushed = tuple(paths) if store.is_local else ()
    return ComputedUnit(unit.place.folder, report, files, provenance, unflushed)


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
) -> None:
    """Move a unit's finished files from this machine into a folder of the store."""
    for suffix in files:
        name = f"{work.label}{suffix}"
        store.put(work.folder / name, f"{folder}/{name}")


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


def describe_files(
    work: UnitWork, rows: Mapping[str, int], *, flush: bool = True
) -> dict[str, dict[str, Any]]:
    """Size, digest and rows of every file a unit wrote, by suffix, each flushed unless not `flush`.

    Raises:
        StageError: a file is missing, stray, or has other rows than were reported.
    """
    files = {}
    for path in sorted(path for path in work.folder.rglob("*") if path.is_file()):
        name = path.relative_to(work.folder).as_posix()
        suffix = name.removeprefix(work.label)
        if not name.startswith(work.label) or not _is_declared(suffix, work.declared):
            raise StageError(f"unit {work.label}: {name} was not made by work.path().")
        if flush:
            flush_file(path)
        _check_rows(work, path, rows.get(suffix))
        files[suffix] = {
            "bytes": path.stat().st_size,
            "sha256": file_digest(path),
            "rows": rows.get(suffix),
        }
    missing = {suffix for suffix in work.declared if not _is_there(suffix, files)}
    missing |= set(rows) - set(files)
    if missing:
        names = ", ".join(f"{work.label}{suffix}" for suffix in sorted(missing))
        raise StageError(f"unit {work.label}: declared but not there: {names}.")
    return files


def _check_summary(work: UnitWork, summary: Mapping[str, Any]) -> None:
    """Refuse here, where the unit is known, what could not travel or be written down."""
    try:
        canonical(summary, "summary")
    except TypeError as problem:
        raise StageError(
            f"unit {work.label}: {problem}. This is a defect in the stage; nothing was recorded."
        ) from problem


def _is_declared(suffix: str, declared: set[str]) -> bool:
    """Whether a file, or a folder around it, was asked for."""
    return any(suffix == name or suffix.startswith(f"{name}/") for name in declared)


def _is_there(declared: str, files: Mapping[str, Any]) -> bool:
    return any(_is_declared(suffix, {declared}) for suffix in files)


def _check_rows(work: UnitWork, path: Path, reported: int | None) -> None:
    """Count what was written: a report that says otherwise is a defect."""
    if reported is None:
        return
    counted = count_rows(path)
    if counted is not None and counted != reported:
        raise StageError(
            f"unit {work.label}: {path.name} holds {counted:,} rows, but {reported:,} were "
            "reported. This is a defect in the stage; nothing was recorded."
        )


def count_rows(path: Path) -> int | None:
    """The records in an Arrow file, a numpy array or a file of lines; None for other files."""
    if path.suffix == ".arrow":
        import pyarrow as pa

        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            return sum(int(reader.get_batch(i).num_rows) for i in range(reader.num_record_batches))
    if path.suffix == ".npy":
        import numpy as np

        return int(np.load(path, mmap_mode="r", allow_pickle=False).shape[0])
    if path.suffix == ".jsonl":
        with path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    return None
