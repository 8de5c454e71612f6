"""Answers for a file, written beside its rows: JSON Lines, CSV, TSV or Parquet.

Rows stream through: memory does not grow with the file. A row keeps all its columns; those that
an answer brings begin with `predicted_`.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from roberta_model.inference.reading import Columns
from tasks.config.downstream import ColumnsConfig
from tasks.errors import UserError
from tasks.finetuning.items import chunks, find_columns, item_of
from tasks.finetuning.predictor import Predictor
from tasks.formats.rows import RowFormat, read_rows
from tasks.formats.table import ending_of

PREFIX = "predicted_"

Rows = Iterator[dict[str, Any]]


def predictions(
    predictor: Predictor,
    path: Path,
    given: ColumnsConfig,
    form: RowFormat = "auto",
    name: str | None = None,
) -> Rows:
    """Every row of a file with the model's answer beside its own columns.

    Raises:
        UserError: a row cannot be read, or has not the columns that the model reads.
    """
    rows = read_rows(path, form, name)
    first = next(rows, None)
    if first is None:
        return
    columns = columns_for(predictor, first[1], given, first[0])
    task = predictor.reading.task
    for part in chunks(chain([first], rows)):
        items = [item_of(row, task, columns, where) for where, row in part]
        for (_, row), answer in zip(part, predictor(items), strict=True):
            yield {**row, **{f"{PREFIX}{key}": value for key, value in answer.items()}}


def columns_for(
    predictor: Predictor, row: Mapping[str, Any], given: ColumnsConfig, where: str
) -> Columns:
    """Where the texts stand: as asked for, else as where the model learnt, else guessed."""
    known = predictor.reading.columns
    text = given.text or (known.text if known.text in row else None)
    second = given.second or (known.second if known.second in row else None)
    asked = ColumnsConfig(text=text, second=second)
    if predictor.reading.task == "classify" and known.second is None and second is None and text:
        return Columns(text, None, None)
    return find_columns(predictor.reading.task, row, asked, where, labelled=False)


def writer_for(path: Path) -> Callable[[Rows, Path], int]:
    """What writes a file with this ending.

    Raises:
        UserError: nothing does.
    """
    ending = ending_of(path.name)
    if ending not in _WRITERS:
        raise UserError(
            f"{path}: answers are written as {', '.join(_WRITERS)}. Name the file so, or leave it "
            "out to have them as JSON lines on the screen."
        )
    return _WRITERS[ending]


def write_jsonl(rows: Iterable[Mapping[str, Any]], path: Path) -> int:
    """One JSON object a line; how many."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
            count += 1
    return count


def _write_table(rows: Rows, path: Path, separator: str) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = None
        for row in rows:
            if writer is None:
                writer = csv.DictWriter(file, list(row), delimiter=separator, extrasaction="ignore")
                writer.writeheader()
            writer.writerow({key: _cell(value) for key, value in row.items()})
            count += 1
    return count


def _cell(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return " ".join(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _write_parquet(rows: Rows, path: Path) -> int:
    from pyarrow import parquet

    count, schema, writer = 0, None, None
    try:
        for part in chunks(rows):
            table = pa.Table.from_pylist(part, schema=schema)
            if writer is None:
                schema = table.schema
                writer = parquet.ParquetWriter(path, schema)
            writer.write_table(table)
            count += len(part)
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        parquet.write_table(pa.table({}), path)
    return count


_WRITERS: dict[str, Callable[[Rows, Path], int]] = {
    ".jsonl": write_jsonl,
    ".csv": lambda rows, path: _write_table(rows, path, ","),
    ".tsv": lambda rows, path: _write_table(rows, path, "\t"),
    ".parquet": _write_parquet,
}
