"""What the beginning of a file shows: its format, its encoding, its fields and some of its texts.

A glimpse costs about as much for a large file as for a small one. It is for guesses that are
told to somebody who can correct them, such as which column holds the text; what is read by them
afterwards is read strictly.
"""

import csv
import io
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from tasks.errors import UserError
from tasks.formats import archives
from tasks.formats.columns import is_text
from tasks.formats.compression import decompressed
from tasks.formats.damage import explained
from tasks.formats.encodings import detect_encoding, encoding_for
from tasks.formats.json_records import json_values
from tasks.formats.source_files import SourceFile
from tasks.formats.table import format_by_name

_HEAD_BYTES = 1 << 20
_MOST_RECORDS = 200
_MOST_MEMBERS = 5000
_MOST_HELD_BYTES = 128 << 20
_NAMES = ("text", "content", "body", "document", "article", "sentence", "review", "story")
_NUMBER = re.compile(r"\s*[-+]?[\d.,:/eE\s-]*\s*")
# A column of codes or labels is no text: so much longer must one's values be on the mean.
_CLEARLY_LONGER = 2.0


@dataclass(frozen=True)
class Glimpse:
    """What the beginning of a file shows.

    Attributes:
        format: How it is read; of an archive how its first member is.
        encoding: None where it cannot be told, and of formats that are not text.
        fields: Texts of the first records by field, of formats that have fields.
        text: The beginning, of formats that have none.
        member: The name of an archive's member that was looked at.
    """

    format: str
    encoding: str | None = None
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)
    text: str = ""
    member: str | None = None

    def texts(self, column: str | None) -> list[str]:
        """The texts that were seen: of a field, or the beginning of a file without fields."""
        if self.format == "text":
            return [self.text]
        return list(self.fields.get(column or "", ()))


def glimpse(file: SourceFile) -> Glimpse:
    """Look at the beginning of a file.

    Raises:
        UserError: it is damaged, or holds nothing that is read.
        OSError: it cannot be read.
    """
    try:
        with ExitStack() as opened:
            stream = opened.enter_context(file.file.local().open("rb"))
            name, content = _first_member(file, stream, opened)
            form: str = file.options.format
            if form == "auto":
                form = format_by_name(name, f"{file.name}, member {name}")
            member = None if file.container == "plain" else name
            if form in ("parquet", "arrow"):
                return Glimpse(form, None, _columns(form, content), member=member)
            return _of_text(file, form, name, member, content)
    except Exception as problem:
        raise explained(problem, file.name, 0) from problem


def likely_text(fields: Mapping[str, Sequence[str]]) -> str | None:
    """The field that holds the text: by its name, or because its values are clearly the longest.

    >>> likely_text({"id": ["1", "2"], "text": ["a", "b"]})
    'text'
    >>> likely_text({"label": ["good", "bad"], "said": ["It was a joy.", "It was not for me."]})
    'said'
    >>> likely_text({"first": ["It was a joy."], "second": ["It was joy."]}) is None
    True
    """
    worded = {name: values for name, values in fields.items() if _is_worded(values)}
    for name in _NAMES:
        if name in worded:
            return name
    if "text" in fields:
        return "text"
    lengths = {name: _mean(values) for name, values in worded.items()}
    order = sorted(lengths, key=lambda name: -lengths[name])
    if not order or len(order) > 1 and lengths[order[0]] < _CLEARLY_LONGER * lengths[order[1]]:
        return None
    return order[0]


def unread_members(file: SourceFile) -> list[str]:
    """Globs for the members of an archive that no reader claims, from the first few thousand.

    Raises:
        UserError: it is damaged.
        OSError: it cannot be read.
    """
    found: set[str] = set()
    try:
        with ExitStack() as opened:
            stream = opened.enter_context(file.file.local().open("rb"))
            for name, _ in itertools.islice(_members(file, stream, opened), _MOST_MEMBERS):
                try:
                    format_by_name(name, name)
                except UserError:
                    found.add(f"*{PurePosixPath(name).suffix}")
    except Exception as problem:
        raise explained(problem, file.name, 0) from problem
    return sorted(found)


def _is_worded(values: Sequence[str]) -> bool:
    return any(not _NUMBER.fullmatch(value) for value in values)


def _mean(values: Sequence[str]) -> float:
    return sum(map(len, values)) / max(1, len(values))


def _first_member(
    file: SourceFile, stream: io.BufferedReader, opened: ExitStack
) -> tuple[str, io.BufferedReader]:
    """The file itself, or the first member of an archive that is text by its name."""
    if file.container == "plain":
        return file.name, decompressed(stream)
    for name, content in _members(file, stream, opened):
        try:
            format_by_name(name, name)
        except UserError:
            continue
        return name, decompressed(content)
    raise UserError(
        f"{file.name}: there is no member in this archive that can be read. Leave it out, or "
        "convert what is in it to text, JSON Lines or CSV."
    )


def _members(
    file: SourceFile, stream: io.BufferedReader, opened: ExitStack
) -> Iterator[tuple[str, io.BufferedReader]]:
    """The members of an archive, which are closed with what `opened` holds."""
    options = file.options
    if file.container == "zip":
        members = archives.zip_members(stream, options.include, options.exclude, file.name)
    else:
        members = archives.tar_members(stream, options.include, options.exclude)
    opened.callback(members.close)  # type: ignore[attr-defined]
    return members


def _of_text(
    file: SourceFile, form: str, name: str, member: str | None, content: io.BufferedReader
) -> Glimpse:
    head = content.read(_HEAD_BYTES)
    # In the middle of a line, and perhaps of a character.
    is_whole = len(head) < _HEAD_BYTES
    encoding: str | None = encoding_for(file.options.encoding, name)
    if encoding == "auto":
        cut = head if is_whole else head[: head.rfind(b"\n") + 1] or head[:-4]
        encoding = detect_encoding(io.BytesIO(cut))
    text = head.decode(encoding or "utf-8", "replace").removeprefix("\ufeff")
    if not is_whole:
        text = text[: text.rfind("\n") + 1] or text
    if form in ("jsonl", "json"):
        return Glimpse(form, encoding, _keys(_objects(form, text)), member=member)
    if form in ("csv", "tsv", "tsv_unquoted"):
        form, fields = _table(form, text)
        return Glimpse(form, encoding, fields, member=member)
    return Glimpse(form, encoding, text=text, member=member)


def _objects(form: str, text: str) -> Iterator[Any]:
    """The first values; where they end in something else, those before it."""
    try:
        if form == "json":
            yield from itertools.islice(json_values([text], ""), _MOST_RECORDS)
        else:
            for line in itertools.islice(text.split("\n"), _MOST_RECORDS):
                if line.strip():
                    yield json.loads(line)
    except (UserError, ValueError, RecursionError):
        return


def _keys(values: Iterator[Any]) -> dict[str, list[str]]:
    """Texts by key, those of objects within objects by `a.b`."""
    found: dict[str, list[str]] = {}
    for value in values:
        for name, text in _texts_in(value, ""):
            found.setdefault(name, []).append(text)
    return found


def _texts_in(value: Any, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and prefix.count(".") < 4:
        for key, item in value.items():
            if isinstance(item, str):
                yield f"{prefix}{key}", item
            else:
                yield from _texts_in(item, f"{prefix}{key}.")


def _table(form: str, text: str) -> tuple[str, dict[str, list[str]]]:
    """The cells by column, and how the table is read: with tabs, quotes may be plain characters."""
    quoted = _cells(text, ",;\t" if form == "csv" else "\t", csv.QUOTE_MINIMAL)
    if form == "csv" or '"' not in text:
        return form, _by_column(quoted)
    plain = _cells(text, "\t", csv.QUOTE_NONE)
    # A quote that never closes takes whole rows for one cell.
    is_regular = _num_ragged(plain) == 0 and len(plain) > len(quoted)
    if form == "tsv_unquoted" or is_regular or _num_ragged(plain) < _num_ragged(quoted):
        return "tsv_unquoted", _by_column(plain)
    return form, _by_column(quoted)


def _cells(text: str, separators: str, quoting: Any) -> list[list[str]]:
    """The first rows, parted by the separator that the first of them has most of."""
    lines = text.lstrip("\r\n").splitlines(keepends=True)
    if not lines:
        return []

    def num_cells(separator: str) -> int:
        return len(next(csv.reader(lines[:1], delimiter=separator), []))

    best = max(separators, key=num_cells)
    rows = csv.reader(lines, delimiter=best, quoting=quoting)
    try:
        return [row for row in itertools.islice(rows, _MOST_RECORDS) if row]
    except csv.Error:
        return []


def _num_ragged(rows: Sequence[Sequence[str]]) -> int:
    """Rows of another length than the header's; one more than any where there are no rows."""
    ragged = sum(len(row) != len(rows[0]) for row in rows)
    return ragged if len(rows) > 1 else _MOST_RECORDS


def _by_column(rows: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    if not rows:
        return {}
    whole = [row for row in rows[1:] if len(row) == len(rows[0])]
    return {name: [row[at] for row in whole] for at, name in enumerate(rows[0])}


def _columns(form: str, content: io.BufferedReader) -> dict[str, list[str]]:
    """The columns of text of a columnar file; of a large one within another file, none."""
    from pyarrow import parquet

    stream: io.BufferedIOBase = content
    if not isinstance(content.raw, io.FileIO):  # it cannot be sought in
        stream = io.BytesIO(content.read(_MOST_HELD_BYTES + 1))
        if len(stream.getbuffer()) > _MOST_HELD_BYTES:
            return {}
    if form == "parquet":
        with parquet.ParquetFile(stream, pre_buffer=False) as file:
            names = [column.name for column in file.schema_arrow if is_text(column.type)]
            batches = file.iter_batches(_MOST_RECORDS, columns=names)
            return _texts_of(next(batches, None), names)
    is_file = stream.read(6) == b"ARROW1"
    stream.seek(0)
    with pa.ipc.open_file(stream) if is_file else pa.ipc.open_stream(stream) as reader:
        names = [column.name for column in reader.schema if is_text(column.type)]
        if is_file:
            batch = reader.get_batch(0) if reader.num_record_batches else None
        else:
            batch = next(iter(reader), None)
        return _texts_of(batch, names)


def _texts_of(batch: pa.RecordBatch | None, names: Sequence[str]) -> dict[str, list[str]]:
    if batch is None:
        return {name: [] for name in names}
    batch.validate(full=True)
    rows = batch.slice(0, _MOST_RECORDS)
    return {name: [text or "" for text in rows.column(name).to_pylist()] for name in names}
