"""Results written row by row: a whole file under its name, or none.

The rows go into a file in a folder beside it, which gets the name when all are there. The name's
ending says the format: `.parquet`, `.jsonl`, `.csv`, `.tsv`, and `.npy` for one column of vectors.
"""

import csv
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa

from tasks.engine.files import (
    cannot_write_file,
    flush_file,
    give_usual_mode,
)
from tasks.errors import StageError, UserError
from tasks.plain_json import json_text
from tasks.publishing.staging import staged_beside

Rows = Sequence[Mapping[str, Any]]


class Results(ABC):
    """Takes rows, in order; where the format has columns of types, Arrow tables of them too."""

    @abstractmethod
    def write(self, rows: Rows | pa.Table) -> None:
        """Add rows, each with a value for every column."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file."""


class _Explained(Results):
    """Results whose disk's refusals are told; those of what is read meanwhile are not ours."""

    def __init__(self, path: Path, temporary: Path, schema: pa.Schema | None) -> None:
        self._path = path
        with _told(path):
            self._inner = _open(temporary, path.suffix.lower(), schema)

    def write(self, rows: Rows | pa.Table) -> None:
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
    except pa.ArrowException as problem:
        raise UserError(
            f"{path}: a value does not fit its column ({problem}). Write .jsonl."
        ) from problem


class _Parquet(Results):
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        from pyarrow import parquet

        self._schema = schema
        self._writer = parquet.ParquetWriter(path, schema, compression="zstd")

    def write(self, rows: Rows | pa.Table) -> None:
        self._writer.write_table(_arrow(rows, self._schema))

    def close(self) -> None:
        self._writer.close()


class _Lines(Results):
    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, rows: Rows) -> None:
        self._file.writelines(map(json_line, rows))

    def close(self) -> None:
        self._file.close()


class _Table(Results):
    """A table in text, with its header."""

    def __init__(self, path: Path, columns: Sequence[str], separator: str) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._columns = columns
        # A cell's lone \r would end its row when it is read. Python 3.11 quotes it only where the
        # line end has one: each line gets ours as it is written.
        self._writer = csv.writer(_LineEnds(self._file), delimiter=separator, lineterminator="\r\n")
        self._writer.writerow(columns)

    def write(self, rows: Rows) -> None:
        self._writer.writerows([_cell(row[name]) for name in self._columns] for row in rows)

    def close(self) -> None:
        self._file.close()


class _LineEnds:
    """Takes lines that end in CR LF, and writes them with LF alone."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, line: str) -> int:
        return self._file.write(f"{line[:-2]}\n")


class _Array(Results):
    """The column `vector` alone, as numpy's own format has it; memory maps read it too."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file = path.open("w+b")
        self._schema = schema
        self._width = schema.field("vector").type.list_size
        self._num_rows = 0
        self._write_header()

    def write(self, rows: Rows | pa.Table) -> None:
        for chunk in _arrow(rows, self._schema).column("vector").chunks:
            values = np.ascontiguousarray(chunk.flatten().to_numpy(), dtype="<f4")
            self._file.write(values.tobytes())
        self._num_rows += len(rows)

    def close(self) -> None:
        with self._file:
            # The header has room for any number of rows: it is written over in its place.
            self._file.seek(0)
            self._write_header()

    def _write_header(self) -> None:
        header = {"descr": "<f4", "fortran_order": False, "shape": (self._num_rows, self._width)}
        np.lib.format.write_array_header_1_0(self._file, header)


def _arrow(rows: Rows | pa.Table, schema: pa.Schema) -> pa.Table:
    return rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows, schema=schema)


def _open(path: Path, ending: str, schema: pa.Schema | None) -> Results:
    if ending == ".jsonl":
        return _Lines(path)
    assert schema is not None
    if ending == ".parquet":
        return _Parquet(path, schema)
    if ending == ".npy":
        return _Array(path, schema)
    return _Table(path, schema.names, "," if ending == ".csv" else "\t")


def json_line(row: Mapping[str, Any]) -> bytes:
    """A row as one JSON object; half of a surrogate pair stays the escape that it was."""
    try:
        line = json_text(row).encode()
    except UnicodeEncodeError:
        line = json_text(row, ensure_ascii=True).encode()
    return line + b"\n"


def write_jsonl(rows: Iterable[Mapping[str, Any]], path: Path) -> int:
    """One JSON object a line into a file of a unit's own; how many."""
    count = 0
    with path.open("wb") as file:
        for row in rows:
            file.write(json_line(row))
            count += 1
    return count


def _cell(value: Any) -> Any:
    """A value as a table in text has it: words with spaces between them, other lists as JSON."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return " ".join(value)
    if isinstance(value, dict | list):
        return json_text(value)
    return value


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
def whole_results(path: Path, schema: pa.Schema | None) -> Iterator[Results]:
    """Results that stand under a name when the block ends well, and leave nothing otherwise.

    A link stays one, and what it leads to is written. A power cut leaves a whole file.

    Args:
        path: Where they are to stand.
        schema: Their columns; JSON Lines need none.

    Raises:
        StageError: the disk is full, or fails; what stood there stays.
        UserError: the place may not be written, or a value does not fit its column.
    """
    with _place_beside(path) as temporary:
        results: Results | None = None
        try:
            results = _Explained(path, temporary, schema)
            yield results
            results.close()
            with _told(path):
                flush_file(temporary)
                give_usual_mode(temporary)
                os.replace(temporary, path.resolve())
        except BaseException:
            if results is not None:
                with suppress(Exception):
                    results.close()
            raise


@contextmanager
def _place_beside(path: Path) -> Iterator[Path]:
    """Where a file is written that gets the name of its place when it is whole, on the same disk.

    What killed processes have left of files for that place goes; what others are writing stays.
    """
    with ExitStack() as made:
        try:
            folder = made.enter_context(staged_beside(path.resolve()))
        except StageError as problem:
            if isinstance(problem.__cause__, OSError):
                raise cannot_write_file(path, problem.__cause__) from problem
            raise
        yield folder / path.name
