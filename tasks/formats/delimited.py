"""Records of tables in text: CSV and TSV, with a header row that names the columns.

Quoting is real: a quoted cell may hold separators, doubled quotes and line breaks, which stay
as they are. Rows stream by one at a time. Python's own parser does the work; what is added is
strictness, because in a table one lost quote or a comma too many moves text to where nobody
looks for it: a row with more or fewer cells than the header is refused with its line.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Literal

from tasks.config.reading import ReadingOptions
from tasks.errors import UserError
from tasks.formats.records import missing_field

# Spreadsheets in half of Europe write their CSV with semicolons.
_CSV_SEPARATORS = (",", ";", "\t")
_TSV_SEPARATORS = ("\t",)
# A row may hold more than its text: so much longer than a document may it be.
_ROW_TO_DOCUMENT = 8
# The parser's own limit is one for the whole process, and far below a long document.
_NO_LIMIT = (1 << 31) - 1
_ROW_CHARACTERS = 64 << 20
_Quoting = Literal[0, 3]  # QUOTE_MINIMAL, QUOTE_NONE
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")


def csv_records(pieces: Iterable[str], options: ReadingOptions, where: str) -> Iterator[str | None]:
    """The text column of a table whose cells are parted by commas, semicolons or tabs."""
    return _records(pieces, options, where, _CSV_SEPARATORS, csv.QUOTE_MINIMAL)


def tsv_records(pieces: Iterable[str], options: ReadingOptions, where: str) -> Iterator[str | None]:
    """The text column of a table whose cells are parted by tabs, and quoted as in CSV."""
    return _records(pieces, options, where, _TSV_SEPARATORS, csv.QUOTE_MINIMAL)


def unquoted_tsv_records(
    pieces: Iterable[str], options: ReadingOptions, where: str
) -> Iterator[str | None]:
    """The text column of a table parted by tabs in which quotes are plain characters."""
    return _records(pieces, options, where, _TSV_SEPARATORS, csv.QUOTE_NONE)


def table_rows(
    pieces: Iterable[str],
    where: str,
    *,
    is_quoted: bool = True,
    is_tabbed: bool = False,
    max_row_characters: int = _ROW_CHARACTERS,
) -> Iterator[tuple[str, dict[str, str]]]:
    """(where, cells by their columns) of each row of a table in text.

    Raises:
        UserError: a row is not like its header, or two columns have one name.
    """
    csv.field_size_limit(_NO_LIMIT)
    lines = _RowLines(pieces, max_row_characters, where)
    candidates = _TSV_SEPARATORS if is_tabbed else _CSV_SEPARATORS
    first = lines.peek()
    separator = max(candidates, key=first.count)
    quoting: _Quoting = csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE
    rows = _rows(lines, separator, quoting, where)
    _, header = next(rows, (1, []))
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise UserError(
            f"{where}: {header.count(twice)} columns are called {twice!r}. Rename all but one."
        )
    for start, row in rows:
        if len(row) == len(header):
            yield f"{where}, line {start:,}", dict(zip(header, row, strict=True))
        elif any(cell.strip() for cell in row):
            raise _ragged(len(row), len(header), f"{where}, line {start:,}")


def _records(
    pieces: Iterable[str],
    options: ReadingOptions,
    where: str,
    separators: tuple[str, ...],
    quoting: _Quoting,
) -> Iterator[str | None]:
    csv.field_size_limit(_NO_LIMIT)
    lines = _RowLines(pieces, options.max_document_bytes * _ROW_TO_DOCUMENT, where)
    separator = _separator(lines.peek(), separators, options.text_field)
    rows = _rows(lines, separator, quoting, where)
    _, header = next(rows, (1, []))
    column = _column(header, options.text_field, where) if header else 0
    for start, row in rows:
        if len(row) == len(header):
            yield row[column]
        elif any(cell.strip() for cell in row):
            raise _ragged(len(row), len(header), f"{where}, line {start:,}")


def _rows(
    lines: "_RowLines", separator: str, quoting: _Quoting, where: str
) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, cells) of each row that is not blank."""
    parser = csv.reader(lines, delimiter=separator, quoting=quoting, strict=True)
    while True:
        start = lines.begin_row()
        try:
            row = next(parser, None)
        except csv.Error as problem:
            raise UserError(
                f"{where}, line {start:,}: the row that begins there is not quoted as a table "
                f"must be ({problem}). A quote inside a quoted cell is written twice, and one "
                "that opens must close: mend the row. Where quotes are plain characters, as in "
                "many tab-separated files, set the source's `format: tsv_unquoted`."
            ) from None
        if row is None:
            return
        if row:
            yield start, row


class _RowLines:
    """The lines of a table with their ends, counted; no more of them than a row may have."""

    def __init__(self, pieces: Iterable[str], limit: int, where: str) -> None:
        self._lines = _lines_with_ends(pieces, limit)
        self._limit, self._where = limit, where
        self._number = self._row_start = self._row_characters = 0

    def peek(self) -> str:
        """The first line that is not blank, to be given again; blank ones are passed over."""
        for line in self._lines:
            if line.strip():
                self._lines = chain([line], self._lines)
                return line
            self._number += 1
        return ""

    def begin_row(self) -> int:
        """Measure a new row; returns the number of its first line, from 1."""
        self._row_start, self._row_characters = self._number + 1, 0
        return self._row_start

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._number += 1
        self._row_characters += len(line)
        if self._row_characters > self._limit:
            raise UserError(
                f"{self._where}, line {self._row_start:,}: the row that begins there has more than "
                f"{self._limit:,} characters; most likely a quote in it never closes. Close it, "
                "or raise the source's `max_document_bytes`."
            )
        return line


def _lines_with_ends(pieces: Iterable[str], limit: int) -> Iterator[str]:
    """Lines that end in LF, CR LF or CR; of one longer than `limit` its first part."""
    waiting: list[str] = []
    size = 0
    for piece in pieces:
        # A CR at the very end may be the first half of a CR LF.
        end = max(piece.rfind("\n"), piece.rfind("\r", 0, len(piece) - 1)) + 1
        if end:
            yield from _LINE.findall("".join((*waiting, piece[:end])))
            waiting, size = [], 0
        waiting.append(piece[end:])
        size += len(piece) - end
        if size > limit:
            break
    yield from _LINE.findall("".join(waiting))


def _separator(header: str, candidates: tuple[str, ...], field: str) -> str:
    """The first one by which the header has the wanted column, else the likeliest."""
    for separator in candidates:
        if field in next(csv.reader([header], delimiter=separator), []):
            return separator
    return candidates[0]


def _column(header: list[str], field: str, where: str) -> int:
    if field not in header:
        raise UserError(missing_field(field, header, None, where))
    if header.count(field) > 1:
        raise UserError(
            f"{where}: {header.count(field)} columns are called {field!r}. Rename all but the one "
            "that holds the text."
        )
    return header.index(field)


def _ragged(found: int, wanted: int, where: str) -> UserError:
    cells = "1 cell" if found == 1 else f"{found:,} cells"
    return UserError(
        f"{where}: this row has {cells} and the header {wanted:,}. Most likely a text that holds "
        "a separator or a line break stands there without quotes; quote it, or remove the row."
    )
