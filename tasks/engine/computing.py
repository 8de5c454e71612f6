"""The worker's half of a unit: compute it into a private folder, check it, flush it, hash it."""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.engine.digests import check_unchanged
from tasks.engine.files import flush_file
from tasks.engine.identity import file_digest
from tasks.engine.provenance import now, unit_provenance
from tasks.engine.units import UnitReport, UnitWork
from tasks.errors import StageError


@dataclass(frozen=True)
class ComputedUnit:
    """A unit that was computed into a private folder and is not committed yet."""

    folder: Path
    report: UnitReport
    files: Mapping[str, Mapping[str, Any]]
    provenance: Mapping[str, Any]


def compute_unit(
    function: Callable[..., UnitReport], label: str, payload: Mapping[str, Any], folder: Path
) -> ComputedUnit:
    """Run one unit into a fresh private folder.

    Raises:
        UserError: an outside file that it reads has changed since its key was made.
        StageError: it did not write exactly what it declared.
    """
    started, start = now(), time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)  # of a worker that died over it
    folder.mkdir(parents=True)
    check_unchanged(payload)
    work = UnitWork(label, folder)
    try:
        report = function(work, **payload)
    finally:
        check_unchanged(payload)  # a file that changed is the better reason for any failure
    files = describe_files(work, report.rows)
    return ComputedUnit(folder, report, files, unit_provenance(started, time.monotonic() - start))


def describe_files(work: UnitWork, rows: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Flush every file a unit wrote; its size, digest and rows, by suffix.

    Raises:
        StageError: a file is missing, stray, or has other rows than were reported.
    """
    files = {}
    for path in sorted(path for path in work.folder.rglob("*") if path.is_file()):
        name = path.relative_to(work.folder).as_posix()
        suffix = name.removeprefix(work.label)
        if not name.startswith(work.label) or not _is_declared(suffix, work.declared):
            raise StageError(f"unit {work.label}: {name} was not made by work.path().")
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
