"""Results written row by row: a whole file under its name, or none.

The rows go into a file beside it, which gets the name when all are there. The name's ending says
the format: `.parquet`, `.jsonl`, `.csv`, `.tsv`, and `.npy` for one column of vectors.
"""

import csv
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from tasks.engine.files import (
    cannot_write_file,
    flush_file,
    give_usual_mode,
    temporary_beside,
)
from tasks.errors import UserError


class Results(ABC):
    """Takes tables of rows, in order."""

    @abstractmethod
    def write(self, rows: pa.Table) -> None:
        """Add rows."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file."""


class _Explained(Results):
    """Results whose disk's refusals are told; those of what is read meanwhile are not ours."""

    def __init__(self, path: Path, temporary: Path, schema: pa.Schema) -> None:
        self._path = path
        with _told(path):
            self._inner = _open(temporary, path.suffix.lower(), schema)

    def write(self, rows: pa.Table) -> None:
        with _told(self._path):
            self._inner.write(rows)

    def close(self) -> None:
        with _told(self._path):
            self._inner.close()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say what could not be written, and what to do."""
    try:
        yield
    except OSError as problem:
        raise cannot_write_file(path, problem) from problem


class _Parquet(Results):
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        from pyarrow import parquet

        self._writer = parquet.ParquetWriter(path, schema, compression="zstd")

    def write(self, rows: pa.Table) -> None:
        self._writer.write_table(rows)

    def close(self) -> None:
        self._writer.close()


class _Lines(Results):
    """JSON Lines, or a table in text with its header."""

    def __init__(self, path: Path, schema: pa.Schema, separator: str | None) -> None:
        self._file: IO[str] = path.open("w", encoding="utf-8", newline="")
        self._table = (
            None
            if separator is None
            else csv.writer(self._file, delimiter=separator, lineterminator="\n")
        )
        if self._table is not None:
            self._table.writerow(schema.names)

    def write(self, rows: pa.Table) -> None:
        for row in rows.to_pylist():
            if self._table is None:
                self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
            else:
                self._table.writerow(["" if cell is None else cell for cell in row.values()])

    def close(self) -> None:
        self._file.close()


class _Array(Results):
    """The column `vector` alone, as numpy's own format has it; memory maps read it too."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file = path.open("w+b")
        self._width = schema.field("vector").type.list_size
        self._num_rows = 0
        self._write_header()

    def write(self, rows: pa.Table) -> None:
        for chunk in rows.column("vector").chunks:
            values = np.ascontiguousarray(chunk.flatten().to_numpy(), dtype="<f4")
            self._file.write(values.tobytes())
        self._num_rows += rows.num_rows

    def close(self) -> None:
        with self._file:
            # The header has room for any number of rows: it is written over in its place.
            self._file.seek(0)
            self._write_header()

    def _write_header(self) -> None:
        header = {"descr": "<f4", "fortran_order": False, "shape": (self._num_rows, self._width)}
        np.lib.format.write_array_header_1_0(self._file, header)


def _open(path: Path, ending: str, schema: pa.Schema) -> Results:
    if ending == ".parquet":
        return _Parquet(path, schema)
    if ending == ".npy":
        return _Array(path, schema)
    return _Lines(path, schema, {".csv": ",", ".tsv": "\t"}.get(ending))


def check_target(path: Path, endings: tuple[str, ...], source: Path) -> None:
    """Refuse a place for results before anything is computed.

    Args:
        path: Where they are to go.
        endings: What its name may end in.
        source: The file they are made of, which is not to be written over.

    Raises:
        UserError: the ending is another, or the place cannot be written.
    """
    if path.suffix.lower() not in endings:
        raise UserError(f"--out {path}: the name must end in {' or '.join(endings)}.")
    if path.is_dir():
        raise UserError(f"--out {path}: this is a folder; name a file in it.")
    if path.exists() and not path.is_file():
        raise UserError(f"--out {path}: this is no regular file. Give another name.")
    if not path.parent.is_dir():
        raise UserError(f"--out {path}: there is no folder {path.parent}. Make it first.")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"--out {path}: the folder {path.parent} may not be written.")
    if path.exists() and path.samefile(source):
        raise UserError(f"--out {path}: this is the file that is read. Give another name.")


@contextmanager
def whole_results(path: Path, schema: pa.Schema) -> Iterator[Results]:
    """Results that stand under a name when the block ends well, and leave nothing otherwise.

    A link stays one, and what it leads to is written.

    Raises:
        StageError: the disk is full, or fails; what stood there stays.
        UserError: the place may not be written.
    """
    temporary = temporary_beside(path.resolve())
    results: Results | None = None
    try:
        results = _Explained(path, temporary, schema)
        yield results
        results.close()
        give_name(temporary, path)
    except BaseException:
        if results is not None:
            with suppress(Exception):
                results.close()
        raise
    finally:
        temporary.unlink(missing_ok=True)


def give_name(made: Path, path: Path) -> None:
    """Give a written file the name of its place, flushed, so that a power cut leaves a whole one.

    Raises:
        StageError: the disk is full, or fails; what stood there stays.
    """
    with _told(path):
        flush_file(made)
        give_usual_mode(made)
        os.replace(made, path.resolve())


def rows_of(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table of a schema."""
    return pa.Table.from_pylist(rows, schema=schema)
