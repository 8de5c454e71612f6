"""The files of an evaluation set: which of a folder are read, and their lines and records.

Evaluation sets come as JSON Lines, as tables and as plain lines, plain or compressed. What
cannot be read is told with the file, the line and what was wanted; nothing is skipped without a
word but empty lines.
"""

import csv
import difflib
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from roberta_model.inference.encodable import lone_half
from tasks.errors import UserError
from tasks.formats.compression import decompressed, is_damage
from tasks.formats.rows import Row, read_rows

COMPRESSIONS = ("", ".gz", ".zst", ".bz2", ".xz")
ENDINGS = {
    "jsonl": (".jsonl", ".ndjson"),
    "tsv": (".tsv", ".tab"),
    "csv": (".csv",),
    "parquet": (".parquet",),
    "two_lines": (".txt",),
}
"""How the names of each format's files end, before the ending of a compression."""

_MOST_CELL_CHARACTERS = 1 << 20


def endings_of(form: str) -> tuple[str, ...]:
    """Every ending that a file of a format may have."""
    return tuple(end + packed for end in ENDINGS[form] for packed in COMPRESSIONS)


def set_name(path: Path) -> str:
    """What a file is called: its name without its endings.

    >>> set_name(Path("sets/adjunct_island.jsonl.gz"))
    'adjunct_island'
    """
    for endings in map(endings_of, ENDINGS):
        for ending in sorted(endings, key=len, reverse=True):
            if path.name.endswith(ending):
                return path.name.removesuffix(ending)
    return path.name


def find_files(data: Path, form: str, told: str, formats: Sequence[str]) -> dict[str, Path]:
    """The files to read, by name in alphabetical order: the file itself, or those of a folder.

    Of a folder that has none but folders with some, as datasets of the hub do, those of all of
    them; one that is alone in its folder is called by that.

    Args:
        data: A file or a folder.
        form: The format; `auto` takes the first of `formats` that the folder has files of.
        told: The field that names it, for messages.
        formats: Those that the task reads.

    Raises:
        UserError: there is nothing there, none of its files has a known ending, one has a name
            that cannot be shown, or two have the same.
    """
    if data.is_file():
        return {_shown_name(set_name(data), data, told): data}
    if not data.is_dir():
        raise UserError(f"{told}: {data} is neither a file nor a folder.")
    wanted = [*formats] if form == "auto" else [form]
    found: list[Path] = []
    for pattern, each in product(("*", "[!.]*/*"), wanted):
        found = sorted(path for path in data.glob(pattern) if path.name.endswith(endings_of(each)))
        if found:
            break
    if not found:
        endings = ", ".join(end for each in wanted for end in ENDINGS[each])
        raise UserError(
            f"{told}: {data} holds no files of this kind. Their names end in {endings}, and may "
            "be compressed as .gz, .zst, .bz2 or .xz."
        )
    known: dict[str, Path] = {}
    for path in found:
        name = _name_within(data, path, found, told)
        if (other := known.setdefault(name, path)) is not path:
            raise UserError(
                f"{told}: {data} holds one set twice, as {other.name} and {path.name}. Remove "
                "one of them."
            )
    return known


def _name_within(data: Path, path: Path, found: Sequence[Path], told: str) -> str:
    """What a file of a folder is called: after the folder in it that it lies alone in, or both."""
    folders = path.relative_to(data).parts[:-1]
    is_alone = bool(folders) and sum(each.parent == path.parent for each in found) == 1
    own = () if is_alone else (set_name(path),)
    return _shown_name(".".join((*folders, *own)), path, told)


def _shown_name(name: str, path: Path, told: str) -> str:
    """The name that a file is called by.

    Raises:
        UserError: it cannot be shown.
    """
    if not name.isprintable() or not name:
        raise UserError(
            f"{told}: there is a file with a name that the report cannot show: "
            f"{ascii(path.name)}. Rename or remove it."
        )
    return name


def format_of(path: Path, form: str) -> str:
    """The format of a file: what is asked for, or what its name says; else JSON Lines."""
    if form != "auto":
        return form
    return next((each for each in ENDINGS if path.name.endswith(endings_of(each))), "jsonl")


def read_lines(path: Path, told: str) -> Iterator[str]:
    """The lines of a UTF-8 file, plain or compressed, without their ends.

    Raises:
        UserError: it is not UTF-8, damaged, or cannot be read.
    """
    try:
        with (
            path.open("rb") as stream,
            io.TextIOWrapper(decompressed(stream), encoding="utf-8-sig") as lines,
        ):
            for line in lines:
                yield line.rstrip("\r\n")
    except UnicodeDecodeError as problem:
        raise UserError(f"{told}: this is not UTF-8 ({problem}).") from problem
    except Exception as problem:
        if is_damage(problem):
            raise UserError(
                f"{told}: the file is damaged or cut short ({problem}). Get it again from where "
                "it came."
            ) from problem
        raise


def read_records(
    path: Path, form: str, told: str, columns: Sequence[str], *, are_chosen: bool = False
) -> Iterator[Row]:
    """The records of a JSON Lines or Parquet file or a table, each with its place: file and line.

    Tables in text are read more leniently than `formats` reads a corpus's: a row of column names
    need not be there, and cells beyond those that are wanted do not count.

    Args:
        path: The file.
        form: jsonl, parquet, tsv or csv.
        told: What to call it in messages.
        columns: A table's first row names its columns if it holds all of these; else its first
            columns are these. A first row with some of them, or one like them, has a mistake.
        are_chosen: Whether these are names of somebody's choice, which a table must then have.

    Raises:
        UserError: a line is no record, or a table has not the columns; or as `read_lines`.
    """
    if form == "jsonl":
        yield from read_rows(path, "jsonl", told)
    elif form == "parquet":
        yield from read_rows(path, "parquet", told)
    else:
        yield from _rows(read_lines(path, told), form, told, columns, are_chosen)


def _rows(
    lines: Iterator[str], form: str, told: str, columns: Sequence[str], are_chosen: bool
) -> Iterator[Row]:
    names = list(columns)
    for row, (where, cells) in enumerate(_cells(lines, form, told)):
        if row == 0 and set(columns) <= set(cells):
            names = cells
            continue
        if row == 0 and (are_chosen or any(_is_like(cell, columns) for cell in cells)):
            absent = [column for column in columns if column not in cells]
            raise UserError(
                f"{where}: there is no column {' or '.join(map(repr, absent))} in "
                f"the first row, which has {', '.join(repr(cell[:40]) for cell in cells[:20])}. "
                "Correct the name there or in the config."
            )
        if len(cells) < len(columns):
            raise UserError(
                f"{where}: this row has {len(cells)} columns; {' and '.join(columns)}"
                f" were expected. A first row with these names says which columns they are."
            )
        yield where, dict(zip(names, cells, strict=False))


def _is_like(cell: str, columns: Sequence[str]) -> bool:
    """Whether a cell is meant as the name of a column, perhaps with a slip of the pen."""
    return bool(difflib.get_close_matches(cell[:100], columns, n=1, cutoff=0.8))


def _cells(lines: Iterator[str], form: str, told: str) -> Iterator[tuple[str, list[str]]]:
    if form == "tsv":
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield f"{told}, line {number:,}", [cell.strip() for cell in line.split("\t")]
        return
    csv.field_size_limit(_MOST_CELL_CHARACTERS)
    reader = csv.reader((f"{line}\n" for line in lines), strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield f"{told}, line {reader.line_num:,}", [cell.strip() for cell in cells]
    except csv.Error as problem:
        raise UserError(f"{told}, line {reader.line_num}: this is no CSV ({problem}).") from problem


def shown_name(value: Any) -> str:
    r"""A value of a file as a name: it is shown, so it is short and has no odd characters.

    >>> shown_name("a\nb"), shown_name(7)
    ("'a\\nb'", '7')
    """
    text = str(value)[:100]
    return text if text.isprintable() else ascii(text)


def name_in(record: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    """What a record says under the first of some keys, as a name; None where it says nothing.

    Parquet has every key in every record, and null where one was not given.

    >>> name_in({"pred": None, "relation": 7}, ["pred", "relation"])
    '7'
    """
    return next((shown_name(record[key]) for key in keys if record.get(key) is not None), None)


def require_encodable(text: str, where: str) -> None:
    """Refuse a text that no encoding can carry, nor a tokenizer read.

    Raises:
        UserError: says what it holds.
    """
    if (half := lone_half(text)) is not None:
        raise UserError(f"{where}: a text holds {half}. Mend or remove the record.")
