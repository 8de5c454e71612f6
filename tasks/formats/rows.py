"""Rows of a file of labelled data: every column of a record, not its text alone.

    CSV, TSV, JSON Lines, JSON, Parquet, Arrow, plain or compressed ──▶ (where, {column: value})

What is read is what `tasks/formats` reads as a corpus, as strictly; SQuAD's nested JSON comes out
as a row a question.
"""

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from tasks.errors import UserError
from tasks.formats.compression import decompressed
from tasks.formats.damage import explained
from tasks.formats.delimited import table_rows
from tasks.formats.encodings import UndecodableError, decode_stream
from tasks.formats.json_records import json_lines, json_values
from tasks.formats.table import ending_of

RowFormat = Literal["auto", "jsonl", "json", "csv", "tsv", "tsv_unquoted", "parquet", "arrow"]

_BY_ENDING: Mapping[str, RowFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
_COLUMNAR = ("parquet", "arrow")
_ROWS_AT_ONCE = 1024

Row = tuple[str, dict[str, Any]]


def read_rows(
    path: Path,
    form: RowFormat = "auto",
    name: str | None = None,
    opened: io.BufferedReader | None = None,
) -> Iterator[Row]:
    """(where it stands, its values by column) of each row of a file.

    Args:
        path: The file.
        form: How to read it; auto goes by the name's ending.
        name: What to call it, where that is not its path.
        opened: The file as whoever sees by it how much has been read has opened it; is closed.

    Raises:
        UserError: the file cannot be read, is of no such format, or a row is broken; names the
            line or record and what to do.
    """
    where = name or str(path)
    known = _format_of(where) if form == "auto" else form
    number = 0
    try:
        with opened or path.open("rb") as file, decompressed(file) as stream:
            for row in _rows(stream, known, where):
                yield row
                number += 1
    except UndecodableError as problem:
        raise UserError(
            f"{where}, line {problem.line:,}: {problem.told}. Labelled data are read as UTF-8 "
            "alone: save the file so (`iconv -f NAME -t UTF-8`, where NAME is what it is in, such "
            "as WINDOWS-1252), or mend the line."
        ) from None
    except UserError as problem:
        # Labelled data are no source of a corpus: what may be set is the task's own.
        raise UserError(str(problem).replace("the source's", "its")) from problem
    except Exception as problem:
        if isinstance(problem, OSError) and problem.errno is not None:
            raise UserError(f"{where} cannot be read: {problem.strerror}.") from problem
        told = explained(problem, where, number)
        if told is problem:
            raise
        raise UserError(str(told).replace(", or leave it out of the source", "")) from problem


def is_columnar(path: Path, form: RowFormat = "auto") -> bool:
    """Whether a file is Parquet or Arrow, which are not read from their beginning on."""
    return (_BY_ENDING.get(ending_of(path.name)) if form == "auto" else form) in _COLUMNAR


def _format_of(name: str) -> RowFormat:
    ending = ending_of(name)
    if ending in _BY_ENDING:
        return _BY_ENDING[ending]
    raise UserError(
        f"{name}: by its name this is no table. Labelled data are read from "
        f"{', '.join(sorted(_BY_ENDING))} (also compressed); rename the file, or say its `format`."
    )


def _rows(stream: io.BufferedReader, form: RowFormat, where: str) -> Iterator[Row]:
    if form in _COLUMNAR:
        # Both seek, which a decompressed stream cannot.
        source = stream if stream.seekable() else io.BytesIO(stream.read())
        yield from _columnar(source, form, where)
        return
    pieces = decode_stream(stream, "utf-8", "refuse", where)
    if form == "jsonl":
        yield from (_object(value, place) for place, value in json_lines(pieces, where))
    elif form == "json":
        for number, value in enumerate(json_values(pieces, where)):
            if isinstance(value, dict) and isinstance(value.get("data"), list):
                yield from squad_rows(value["data"], where)
            else:
                yield _object(value, f"{where}, record {number:,}")
    else:
        is_quoted, is_tabbed = form != "tsv_unquoted", form != "csv"
        yield from table_rows(pieces, where, is_quoted=is_quoted, is_tabbed=is_tabbed)


def _object(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise UserError(
            f"{where}: a JSON object with a value for each column was expected, not "
            f"{json.dumps(value)[:40]}. Mend or remove the record."
        )
    return where, value


def _columnar(stream: io.BufferedIOBase, form: RowFormat, where: str) -> Iterator[Row]:
    import pyarrow as pa
    from pyarrow import parquet

    batches: Iterator[pa.RecordBatch]
    if form == "parquet":
        batches = parquet.ParquetFile(stream, pre_buffer=False).iter_batches(_ROWS_AT_ONCE)
    else:
        is_file = stream.read(6) == b"ARROW1"
        stream.seek(0)
        reader = pa.ipc.open_file(stream) if is_file else pa.ipc.open_stream(stream)
        numbers = range(reader.num_record_batches) if is_file else ()
        batches = (reader.get_batch(n) for n in numbers) if is_file else iter(reader)
    number = 0
    for batch in batches:
        # Arrow believes what a file says of itself: an offset may lead out of it.
        batch.validate(full=True)
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
            for row in batch.slice(start, _ROWS_AT_ONCE).to_pylist():
                yield f"{where}, record {number:,}", row
                number += 1


def squad_rows(articles: list[Any], where: str) -> Iterator[Row]:
    """A row for each question of SQuAD's JSON: id, question, context, and answers if it has them.

    Raises:
        UserError: an article, a paragraph or a question lacks what it must have.
    """
    for number, article in enumerate(articles):
        place = f"{where}, article {number:,}"
        for part, paragraph in enumerate(_list(article, "paragraphs", place)):
            within = f"{place}, paragraph {part:,}"
            for order, question in enumerate(_list(paragraph, "qas", within)):
                asked = f"{within}, question {order:,}"
                if not isinstance(question, dict) or not isinstance(question.get("question"), str):
                    raise UserError(f"{asked}: there is no text under 'question'. Mend the record.")
                context = paragraph.get("context")
                if not isinstance(context, str):
                    raise UserError(f"{within}: there is no text under 'context'. Mend the record.")
                row = {
                    "id": str(question.get("id", f"{number}-{part}-{order}")),
                    "question": question["question"],
                    "context": context,
                }
                # Without the key nobody knows the answers; an empty list says that there are none.
                yield asked, row | {key: question[key] for key in ("answers",) if key in question}


def _list(value: Any, key: str, where: str) -> list[Any]:
    if not isinstance(value, dict) or not isinstance(value.get(key), list):
        raise UserError(
            f"{where}: there is no list under {key!r}, which SQuAD's format has there. Mend the "
            "file, or give one JSON object a question with question, context and answers."
        )
    found: list[Any] = value[key]
    return found
