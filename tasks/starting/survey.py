"""What some files hold: a glimpse of a few of each kind, and the sources that they make.

Files of one folder and one ending are a kind. Kinds that are read in the same way (format, field,
encoding, what parts documents) make one source.
"""

import fnmatch
import glob
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.config.reading import ReadingOptions
from tasks.errors import UserError
from tasks.formats.glimpse import Glimpse, glimpse, likely_text, unread_members
from tasks.formats.source_files import SourceFile, unkept
from tasks.sources.sizes import Size, sampled
from tasks.starting.listing import Listing, suffix_of

ChooseColumn = Callable[[Path, Sequence[str]], str | None]
_LOOKED_AT = 6  # files of a kind
_MOST_LOOKED_AT = 300
_MOST_FOLDERS = 200  # that get globs of their own
_SHORT_FILE_BYTES = 200_000
_TAG = re.compile(r"</[a-zA-Z]\w*>")  # closing ones: `<unk>` and the like are no markup
_CHARACTERS_A_TAG = 600  # at most, in markup
_IN_ARCHIVES = " in archives"
_PLAIN_ENCODINGS = ("utf-8", "ascii", None)
_LEAST_WRAPPED, _WIDEST = 20, 120  # lines, and characters of one, of text wrapped by hand
_LINES_A_SENTENCE = 30  # at most, where there are sentences
# Where text is wrapped a line break parts documents if a sentence ends there.
AT_SENTENCE_ENDS = {"regex": "(?:(?<=[.!?…])|(?<=[.!?…][\"'”’)]))\\r?\\n"}
_SENTENCE_END = re.compile(AT_SENTENCE_ENDS["regex"])


@dataclass
class Found:
    """Files that make one source.

    Attributes:
        how: Its fields that are not the default: text_field, separator, encoding, format.
        files: Which they are.
        paths: Globs that match just these.
        fields: The names of all fields that were seen.
        formats: How many files of each format.
        size: Documents and bytes of text, estimated.
        texts: Some of what they hold.
    """

    how: dict[str, Any]
    files: list[Path] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)
    formats: Counter[str] = field(default_factory=Counter)
    size: Size = field(default_factory=lambda: {"documents": 0, "bytes": 0})
    texts: list[str] = field(default_factory=list)


def survey(listing: Listing, choose: ChooseColumn, column: str | None = None) -> list[Found]:
    """The sources that the listed files make; what cannot be read is added to those left out.

    Args:
        listing: The files.
        choose: Asked which field holds the text, of a file and its fields, where it is not plain.
        column: The field that holds it, where that is known.
    """
    by_kind: dict[tuple[Path, str], list[Path]] = {}
    for path in listing.files:
        by_kind.setdefault((path.parent, suffix_of(path)), []).append(path)
    looks = max(1, min(_LOOKED_AT, _MOST_LOOKED_AT // max(1, len(by_kind))))
    found: dict[str, Found] = {}
    for files in by_kind.values():
        _add_kind(files, looks, listing, choose, column, found)
    for source in found.values():
        source.paths = _globs(source.files, listing)
        source.size = _size(source, listing)
    return [source for source in found.values() if source.files]


def _add_kind(
    files: Sequence[Path],
    looks: int,
    listing: Listing,
    choose: ChooseColumn,
    column: str | None,
    found: dict[str, Found],
) -> None:
    """Look at some files of a kind, and add each to the source it belongs to."""
    step = max(1, len(files) // looks)
    seen: dict[Path, Glimpse] = {}
    for path in files[::step]:
        try:
            source = unkept(path, ReadingOptions(encoding="auto"))
            seen[path] = _read(source)
        except (UserError, OSError) as problem:
            listing.left_out[path] = _short(problem, path)
    if not seen:
        listing.left_out |= {path: listing.left_out.get(path, "as its like") for path in files}
        return
    columns: dict[tuple[str, ...], str | None] = {}
    how_of: dict[Path, tuple[dict[str, Any], Glimpse]] = {}
    encodings = {look.encoding for look in seen.values()}
    for path, look in seen.items():
        fields = tuple(look.fields)
        if fields not in columns:
            columns[fields] = _column(path, look, choose, column)
        if look.fields and columns[fields] is None:
            listing.left_out[path] = f"which field holds the text is unclear: {', '.join(fields)}"
            continue
        if _is_markup(look.texts(columns[fields])):
            listing.left_out[path] = "its text is markup, as of web pages"
            continue
        how = _how(look, columns[fields], encodings, files)
        if look.member is not None and (unread := _unread(path, listing)):
            how["exclude"] = unread
        how_of[path] = how, look
    if not how_of:
        listing.left_out |= {path: listing.left_out.get(path, "as its like") for path in files}
        return
    usual = max(
        how_of.values(), key=lambda one: sum(one[0] == other[0] for other in how_of.values())
    )
    for path in files:
        if path in listing.left_out:
            continue
        how, look = how_of.get(path, usual)
        source_found = found.setdefault(repr(sorted(how.items())), Found(how))
        source_found.files.append(path)
        source_found.formats[look.format + (_IN_ARCHIVES if look.member else "")] += 1
        if path in how_of:
            source_found.fields += [name for name in look.fields if name not in source_found.fields]
            source_found.texts += look.texts(how.get("text_field", "text"))


def _read(source: SourceFile) -> Glimpse:
    """A glimpse of a file that is text.

    Raises:
        UserError: it is damaged, or no text.
    """
    look = glimpse(source)
    if look.format not in ("parquet", "arrow"):
        if look.encoding is None:
            raise UserError(f"{source.name}: no text in any encoding that is known")
        if "\0" in look.text:
            raise UserError(f"{source.name}: no text, there are zero bytes in it")
    if look.format != "text" and not any(look.fields.values()) and not look.text:
        raise UserError(f"{source.name}: no field with text was seen in it")
    return look


def _unread(path: Path, listing: Listing) -> list[str]:
    """Globs for the members of an archive that cannot be read."""
    try:
        return unread_members(unkept(path, ReadingOptions()))
    except (UserError, OSError) as problem:
        listing.left_out[path] = _short(problem, path)
        return []


def _is_markup(texts: Sequence[str]) -> bool:
    """Whether most of the texts are full of tags."""
    marked = [text for text in texts if len(_TAG.findall(text)) * _CHARACTERS_A_TAG > len(text)]
    return len(marked) * 2 > len(texts)


def _column(path: Path, look: Glimpse, choose: ChooseColumn, column: str | None) -> str | None:
    """The field that holds the text; None where there are none, or nobody knows."""
    if not look.fields:
        return None
    if column is not None and column in look.fields:
        return column
    return likely_text(look.fields) or choose(path, list(look.fields))


def _how(
    look: Glimpse,
    column: str | None,
    encodings: Iterable[str | None],
    files: Sequence[Path],
) -> dict[str, Any]:
    """The fields of a source that reads a file like this one."""
    how: dict[str, Any] = {}
    if column not in (None, "text"):
        how["text_field"] = column
    if look.format == "tsv_unquoted":
        how["format"] = "tsv_unquoted"
    if look.format == "text" and (separator := _separator(look.text, files, look.member)):
        how["separator"] = separator
    if any(encoding not in _PLAIN_ENCODINGS for encoding in encodings) or (
        look.member is not None and look.format not in ("parquet", "arrow")
    ):
        how["encoding"] = "auto"
    return how


def _separator(
    text: str, files: Sequence[Path], member: str | None
) -> str | Mapping[str, str] | None:
    """What parts the documents of plain text; None for blank lines, which is the default."""
    lines = text.strip().splitlines()
    if any(not line.strip() for line in lines):
        return None
    mean = sum(path.stat().st_size for path in files) / len(files)
    if member is not None or (len(files) > 3 and mean < _SHORT_FILE_BYTES):
        return "file"
    return AT_SENTENCE_ENDS if _is_wrapped(lines[:-1]) else "line"


def _is_wrapped(lines: Sequence[str]) -> bool:
    """Whether sentences go on over line breaks, in lines that are about as long as each other.

    >>> _is_wrapped(["a judge had the kind-", "ness to inform me as", "one of many men."] * 9)
    True
    >>> _is_wrapped(["a mug with a handle, 300 ml", "a jug without a handle, 2 l"] * 10)
    False
    >>> _is_wrapped(["Each line is a sentence, so.", "There is nothing to be joined."] * 10)
    False
    """
    if len(lines) < _LEAST_WRAPPED:
        return False
    lengths = sorted(map(len, lines))
    median, longest = lengths[len(lengths) // 2], lengths[len(lengths) * 19 // 20]
    ended = sum(bool(_SENTENCE_END.search(f"{line.rstrip()}\n")) for line in lines)
    are_sentences = ended * 2 < len(lines) <= ended * _LINES_A_SENTENCE
    return longest <= _WIDEST and median * 5 >= longest * 4 and are_sentences


def _globs(files: Sequence[Path], listing: Listing) -> list[str]:
    """Few globs that match these files and no other of the listing."""
    own, rest, globs = set(files), list(files), list[str]()
    others = [path for path in (*listing.files, *listing.left_out) if path not in own]
    roots = {listing.files[path] for path in files}
    folders = sorted({path.parent for path in files})
    if len(folders) > _MOST_FOLDERS:
        folders = []
    for root, tail in [(root, "**") for root in sorted(roots) if root.is_dir()] + [
        (folder, "") for folder in folders
    ]:
        for suffix in sorted({suffix_of(path) for path in rest if path.is_relative_to(root)}):
            pattern = f"*{glob.escape(suffix)}" if suffix else "*"
            if not any(_matches(path, root, pattern, bool(tail)) for path in others):
                globs.append(os.path.join(glob.escape(str(root)), tail, pattern))
                rest = [path for path in rest if not _matches(path, root, pattern, bool(tail))]
    return globs + [glob.escape(str(path)) for path in rest]


def _matches(path: Path, root: Path, pattern: str, is_deep: bool) -> bool:
    is_below = path.is_relative_to(root) if is_deep else path.parent == root
    return is_below and fnmatch.fnmatchcase(path.name, pattern)


def _size(source: Found, listing: Listing) -> Size:
    """Documents and bytes of a source, from a few megabytes of it; none of what cannot be read."""
    options = ReadingOptions(**source.how)
    described: list[SourceFile] = []
    for path in list(source.files):
        try:
            described.append(unkept(path, options))
        except (UserError, OSError) as problem:
            listing.left_out[path] = _short(problem, path)
    try:
        return sampled(described)
    except (UserError, OSError):
        # Said by `plan`, with the record and what to do.
        stored = sum(file.file.bytes for file in described)
        return {"documents": max(1, stored // 2000), "bytes": stored}


def _short(problem: Exception, path: Path) -> str:
    """A refusal's first sentence, without the name that stands before it."""
    text = str(problem).replace(f"{path}: ", "").replace(f"{path}, ", "").replace("\n", " ")
    return text.split(". ")[0].rstrip(".")[:160]


def total_of(found: Sequence[Found]) -> Mapping[str, int]:
    """Documents and bytes of all sources together."""
    return {name: sum(source.size[name] for source in found) for name in ("documents", "bytes")}
