"""The formats: what reads each, and which names stand for it. One table, and nothing beside it.

A name's ending says how a file is read. What no reader here claims, and what people do keep
beside their text, is named in `UNREAD` and refused: read as text it would fill a corpus with
markup or noise, and nothing would say so. Any other ending (`.log`, `.train`, none) is text.

The table is part of the identity of what is read by it unseen, see `endings_digest`: a new
format needs no new stage version.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from tasks.config.reading import ReadingOptions
from tasks.engine.identity import digest_of
from tasks.errors import UserError
from tasks.formats.columns import arrow_records, parquet_records
from tasks.formats.delimited import csv_records, tsv_records, unquoted_tsv_records
from tasks.formats.json_records import json_records, jsonl_records
from tasks.formats.records import text_records

TextReader = Callable[[Iterable[str], ReadingOptions, str], Iterator[str | None]]
BinaryReader = Callable[[io.BufferedIOBase, ReadingOptions, str], Iterator[str | None]]


@dataclass(frozen=True)
class TextFormat:
    """A format of characters: `records` gets the decoded text in pieces of about 1 MB."""

    records: TextReader
    endings: tuple[str, ...] = ()


@dataclass(frozen=True)
class BinaryFormat:
    """A format of bytes: `records` gets a stream that it may seek in."""

    records: BinaryReader
    endings: tuple[str, ...] = ()


# By the name that a source's `format` calls it; `tasks/config/reading.py` lists the names too.
FORMATS: dict[str, TextFormat | BinaryFormat] = {
    "text": TextFormat(text_records, (".txt", ".text", ".md", ".rst")),
    "jsonl": TextFormat(jsonl_records, (".jsonl", ".ndjson")),
    "json": TextFormat(json_records, (".json",)),
    "csv": TextFormat(csv_records, (".csv",)),
    "tsv": TextFormat(tsv_records, (".tsv", ".tab")),
    "tsv_unquoted": TextFormat(unquoted_tsv_records),
    "parquet": BinaryFormat(parquet_records, (".parquet",)),
    "arrow": BinaryFormat(arrow_records, (".arrow", ".feather", ".ipc")),
}

_MARKUP = {
    "a web page": (".html", ".htm", ".xhtml", ".mhtml"),
    "XML": (".xml",),
    "rich text": (".rtf",),
    "a notebook": (".ipynb",),
}
_NO_TEXT = {
    "a web archive": (".warc", ".wet", ".wat"),
    "a word processor's document": (".docx", ".doc", ".docm", ".odt", ".pages", ".wpd"),
    "a spreadsheet": (".xlsx", ".xls", ".xlsm", ".ods", ".numbers"),
    "slides": (".pptx", ".ppt", ".odp"),
    "a PDF": (".pdf", ".ps", ".djvu"),
    "an e-book": (".epub", ".mobi", ".azw3"),
    "an image": (
        *(".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff"),
        *(".webp", ".svg", ".ico", ".heic"),
    ),
    "sound or film": (".mp3", ".wav", ".flac", ".ogg", ".mp4", ".avi", ".mkv", ".mov", ".webm"),
    "an archive that is not opened here": (".7z", ".rar", ".jar"),
    "a database": (".db", ".sqlite", ".sqlite3", ".mdb"),
    "a program's own data": (".pkl", ".pickle", ".npy", ".npz", ".pt", ".safetensors"),
    "a program": (".exe", ".dll", ".so", ".pyc", ".class"),
}
# These are opened by what is in them; where nothing of the kind is, the name is all they have.
_ARCHIVES = (".zip", ".tar", ".tgz")

_LEAVE_OUT = "the source's `paths` or `urls` (`exclude` for members of archives)"

_COMPRESSED = {".gz", ".zst", ".bz2", ".xz", ".zstd"}

_BY_ENDING = {ending: name for name, form in FORMATS.items() for ending in form.endings}
UNREAD = {
    ending: (kind, is_markup)
    for kinds, is_markup in ((_MARKUP, True), (_NO_TEXT, False))
    for kind, endings in kinds.items()
    for ending in endings
}


def endings_digest() -> str:
    """What each ending means, for the identity of what is read by names not known beforehand."""
    return digest_of(_BY_ENDING | dict.fromkeys((*UNREAD, *_ARCHIVES), "unread"))


def ending_of(name: str) -> str:
    """The ending of a name, in small letters and without that of a compression."""
    endings = [ending.lower() for ending in PurePosixPath(name).suffixes]
    while endings and endings[-1] in _COMPRESSED:
        endings.pop()
    return endings[-1] if endings else ""


def format_by_name(name: str, where: str) -> str:
    """The format that a name's ending stands for; endings not known are text.

    Raises:
        UserError: the ending is that of a kind of file which is not read; tells it by `where`.
    """
    refuse_unread(name, where)
    ending = ending_of(name)
    if ending in _ARCHIVES:
        raise UserError(
            f"{where}: this is named like an archive ({ending}), and is none that can be opened "
            "here: it is damaged, cut short, or lies within another archive. Get it again or "
            f"unpack it first, or leave it out with {_LEAVE_OUT}."
        )
    return _BY_ENDING.get(ending, "text")


def refuse_unread(name: str, where: str) -> None:
    """Refuse a file by its name if it is of a kind that no reader claims.

    Raises:
        UserError: the ending is that of a kind of file which is not read.
    """
    ending = ending_of(name)
    if ending not in UNREAD:
        return
    kind, is_markup = UNREAD[ending]
    instead = (
        "; or, to read it as it is with all its markup, set the source's `format: text`"
        if is_markup
        else "; or set the source's `format` if the ending misleads"
    )
    raise UserError(
        f"{where}: by its ending ({ending}) this is {kind}, and there is no reader for that. "
        f"Convert it to text, JSON Lines or CSV first, or leave it out with {_LEAVE_OUT}{instead}."
    )
