"""Answers for a file, written beside its rows: JSON Lines, CSV, TSV or Parquet.

Rows stream through: memory does not grow with the file. A row keeps all its columns; those that
an answer brings begin with `predicted_`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from roberta_model.inference.encodable import lone_half
from roberta_model.inference.reading import Columns
from tasks.config.downstream import ColumnsConfig
from tasks.engine.outside import check_at_rest, stamp_before
from tasks.errors import UserError
from tasks.finetuning.answer_columns import PREFIX, answer_would_replace
from tasks.finetuning.items import chunks, find_columns, item_of
from tasks.finetuning.predictor import Predictor
from tasks.formats.rows import RowFormat, read_rows
from tasks.inference.results import whole_results

ENDINGS = (".jsonl", ".csv", ".tsv", ".parquet")

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
        UserError: a row cannot be read, has not the columns that the model reads, or has one of
            those that the answers bring.
    """
    rows = read_rows(path, form, name)
    first = next(rows, None)
    if first is None:
        return
    columns = columns_for(predictor, first[1], given, first[0])
    task = predictor.reading.task
    for part in chunks(chain([first], rows)):
        items = [item_of(row, task, columns, where) for where, row in part]
        for (where, row), answer in zip(part, predictor(items), strict=True):
            added = {f"{PREFIX}{key}": value for key, value in answer.items()}
            if taken := sorted(added.keys() & row.keys()):
                raise UserError(answer_would_replace(where, taken[0]))
            yield row | added


def columns_for(
    predictor: Predictor, row: Mapping[str, Any], given: ColumnsConfig, where: str
) -> Columns:
    """Where the texts stand: as asked for, else as where the model learnt, else guessed.

    Raises:
        UserError: one is not there, or none can be guessed; a model of two texts is given both.
    """
    known = predictor.reading.columns
    text = given.text or (known.text if known.text in row else None)
    second = given.second or (known.second if known.second in row else None)
    asked = ColumnsConfig(text=text, second=second)
    found = find_columns(predictor.reading.task, row, asked, where, labelled=False)
    if known.second is not None and found.second is None:
        raise UserError(
            f"{where}: the model reads two texts, and there is no column {known.second!r}. Name "
            "the second one's with columns.second (--second)."
        )
    return found


def write_predictions(
    predictor: Predictor, path: Path, given: ColumnsConfig, form: RowFormat, out: Path
) -> int:
    """Write every row of a file with its answer, in the format of the name's ending; how many.

    The file appears when it is whole.

    A table has one set of columns, each of one type. So for those formats the file is read twice:
    what a row lacks stays empty, and a column of several types becomes text.

    Raises:
        UserError: a row cannot be read, the file can be read once alone, or it changed meanwhile.
    """
    stamp = stamp_before(path)
    rows = predictions(predictor, path, given, form)
    schema = None
    if out.suffix.lower() != ".jsonl":
        if not path.is_file():
            raise UserError(
                f"{path}: this is no regular file, and what becomes a table is read twice. Write "
                ".jsonl, or save it to a file first."
            )
        types = types_of(row for _, row in read_rows(path, form)) | _predicted_types(predictor)
        for name in types:
            _check_encodable(name, name, path)
        schema = pa.schema(list(types.items()))
        rows = (_fitted(row, types, path) for row in rows)
    count = 0
    with whole_results(out, schema) as results:
        for part in chunks(rows):
            results.write(part)
            count += len(part)
        check_at_rest(path, stamp)
    return count


def types_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, pa.DataType]:
    """Every column of some rows, in the order they are met, and a type that holds its values.

    >>> types_of([{"a": 1}, {"a": 2.5, "b": None}, {"b": ["x"]}, {"a": "y"}])
    {'a': DataType(string), 'b': ListType(list<item: string>)}
    """
    types: dict[str, pa.DataType] = {}
    for part in chunks(rows):
        for name in dict.fromkeys(name for row in part for name in row):
            values = [row.get(name) for row in part]
            types[name] = _common_type(types.get(name, pa.null()), values)
    return {name: pa.string() if kind == pa.null() else kind for name, kind in types.items()}


def _common_type(known: pa.DataType, values: Sequence[Any]) -> pa.DataType:
    try:
        fields = [pa.field("", kind) for kind in (known, pa.array(values).type)]
        schemas = [pa.schema([field]) for field in fields]
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        return pa.string()


def _predicted_types(predictor: Predictor) -> dict[str, pa.DataType]:
    """The columns of the answers."""
    number, text = pa.float64(), pa.string()
    found: dict[str, pa.DataType] = {"label": text, "score": number}
    if predictor.reading.task == "tag":
        found = {"tags": pa.list_(text)}
    elif predictor.reading.task == "qa":
        found = {"answer": text, "start": pa.int64(), "score": number}
    elif predictor.problem == "regression":
        found = {"value": number}
    elif predictor.problem == "multi_label_classification":
        scores = pa.struct([pa.field(name, number) for name in predictor.labels])
        found = {"labels": pa.list_(text), "scores": scores}
    return {f"{PREFIX}{name}": kind for name, kind in found.items()}


def _fitted(row: Mapping[str, Any], types: Mapping[str, pa.DataType], path: Path) -> dict[str, Any]:
    """A row with a value for each column."""
    if more := [name for name in row if name not in types]:
        raise UserError(f"{path} changed while it was read: there is a new column {more[0]!r}.")
    fitted = {
        name: _as_text(value) if kind == pa.string() else value
        for name, kind in types.items()
        for value in (row.get(name),)
    }
    for name, value in fitted.items():
        if isinstance(value, str):
            _check_encodable(value, name, path)
    return fitted


def _check_encodable(text: str, name: str, path: Path) -> None:
    if (half := lone_half(text)) is not None:
        raise UserError(
            f"{path}: in {name!r} a record holds {half}. Write .jsonl, or mend the record."
        )


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
