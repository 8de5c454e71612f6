"""The files of a unit that has just been computed: exactly those it declared, sized and counted."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.engine.files import flush_file, give_usual_mode
from tasks.engine.identity import file_digest
from tasks.engine.units import UnitWork
from tasks.errors import StageError


def describe_files(
    work: UnitWork, rows: Mapping[str, int], *, flush: bool = True
) -> dict[str, dict[str, Any]]:
    """Size, digest and rows of every file a unit wrote, by suffix, each flushed unless not `flush`.

    Raises:
        StageError: a file is missing, stray, or has other rows than were reported.
    """
    files = {}
    for name in _names_below(str(work.folder)):
        path = work.folder / name
        suffix = name.removeprefix(work.label)
        if not name.startswith(work.label) or not _is_declared(suffix, work.declared):
            raise StageError(f"unit {work.label}: {name} was not made by work.path().")
        give_usual_mode(path)
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


def _names_below(folder: str) -> list[str]:
    """The files in a folder and its folders, sorted, relative to it and with `/` between parts."""
    paths = (Path(top, name) for top, _, names in os.walk(folder) for name in names)
    return sorted(path.relative_to(folder).as_posix() for path in paths)


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
