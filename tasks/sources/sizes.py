"""How much text there is, from a small sample: what `plan` bases its estimates on.

A source of a few megabytes is read whole. Of a larger one a few files are read until they have
given a few megabytes; what was read of them, in stored bytes, says how the rest will inflate.
Files that are documents are counted, and so are members of a zip, whose sizes its directory has.
Nothing is fetched: of remote sources only what the config says of their size is known.
"""

import contextlib
import itertools
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tasks.config.reading import ReadingOptions
from tasks.errors import UserError
from tasks.formats import archives
from tasks.formats.compression import compression_of
from tasks.formats.damage import explained
from tasks.formats.members import MemberReader
from tasks.formats.source_files import SourceFile
from tasks.formats.table import FORMATS, BinaryFormat, format_by_name

_MOST_FILES = 4
_SAMPLE_BYTES = 2 << 20
_TRIED_RECORDS = 3
_WHOLE_BYTES = 4 << 20  # stored: read in a second, whatever it is packed with
# Where no text is looked at: bytes of text for each stored byte, and for each document.
INFLATION = 2.5
_DOCUMENT_BYTES = 2000

Size = dict[str, int]  # documents, bytes


def guessed(stored_bytes: int) -> Size:
    """Of stored bytes that nobody looks at, compressed as text mostly is."""
    text = int(stored_bytes * INFLATION)
    return {"documents": -(-text // _DOCUMENT_BYTES), "bytes": text}


class _Known(NamedTuple):
    """What costs little to know of a file.

    Attributes:
        weight: Bytes that its text is about proportional to: of a zip's members as they are
            unpacked, of any other file as they are stored.
        documents: None where its text would have to be read.
    """

    weight: int
    documents: int | None


def sampled(files: Sequence[SourceFile]) -> Size:
    """Of files: counted where they are small, else multiplied up from some megabytes of a few.

    What is known without reading, such as how many members a zip has, is never multiplied up.

    Raises:
        UserError: a file cannot be read as configured.
    """
    if sum(file.file.bytes for file in files) <= _WHOLE_BYTES:
        looked_at = [_sample(file, most_bytes=None) for file in files]
        return {
            "documents": sum(count for _, count, _ in looked_at),
            "bytes": sum(size for _, _, size in looked_at),
        }
    known = [_known(file) for file in files]
    # Of a zip the weight is unpacked, and documents that are members say nothing of others.
    alike: dict[tuple[bool, bool], list[int]] = {}
    for number, (file, its) in enumerate(zip(files, known, strict=True)):
        kind = file.container == "zip", its.documents is None
        alike.setdefault(kind, []).append(number)
    found = {"documents": 0, "bytes": 0}
    for numbers in alike.values():
        documents, size = _multiplied_up([files[n] for n in numbers], [known[n] for n in numbers])
        found["documents"] += documents
        found["bytes"] += size
    return found


def _multiplied_up(files: Sequence[SourceFile], known: Sequence[_Known]) -> tuple[int, int]:
    """Documents and bytes of files that are alike, from a few of them."""
    picked = slice(None, None, max(1, len(files) // _MOST_FILES))
    weight = 0.0
    documents = size = 0
    for file, its in list(zip(files, known, strict=True))[picked][:_MOST_FILES]:
        share, count, text_bytes = _sample(file, _SAMPLE_BYTES)
        weight += share * its.weight
        documents += count
        size += text_bytes
    factor = sum(its.weight for its in known) / max(1.0, weight)
    if all(its.documents is not None for its in known):
        return sum(its.documents or 0 for its in known), round(size * factor)
    return round(documents * factor), round(size * factor)


def _known(file: SourceFile) -> _Known:
    """From a zip's directory, a Parquet file's last bytes, or how the file is read.

    Raises:
        UserError: the archive is damaged.
    """
    options, members = file.options, {file.name: file.file.bytes}
    if file.container == "zip":
        try:
            with file.file.local().open("rb") as stream:
                members = archives.zip_sizes(stream, options.include, options.exclude)
        except Exception as problem:
            raise explained(problem, file.name, 0) from problem
    elif file.container != "plain":
        return _Known(file.file.bytes, None)
    weight = sum(members.values())
    if options.separator == "file" and all(_is_plain_text(name, options) for name in members):
        return _Known(weight, len(members))
    return _Known(weight, _rows_of_parquet(file) or None)


def _is_plain_text(name: str, options: ReadingOptions) -> bool:
    form = options.format
    with contextlib.suppress(UserError):  # told when the member is read
        return (format_by_name(name, name) if form == "auto" else form) == "text"
    return False


def _sample(file: SourceFile, most_bytes: int | None) -> tuple[float, int, int]:
    """Of one file: the share of it that was read, and the documents and bytes of text it gave.

    A file is read in blocks of many documents. So it is looked at where the next block is read:
    there the blocks before have given all their documents. Parquet is read in no order that tells
    anything, but says how many rows it has.
    """
    documents = size = 0
    share, rows = 0.0, _rows_of_parquet(file)
    with tempfile.TemporaryDirectory() as scratch:
        reader = MemberReader(file, Path(scratch), Counter())
        try:
            for _, _, records in reader.members():
                for text in records:
                    now = documents / rows if rows else reader.read_share
                    if now != share:
                        if most_bytes is not None and size >= most_bytes:
                            share = now if rows else share
                            return max(1e-9, share), documents, size
                        share = now
                    documents += 1
                    size += len((text or "").encode("utf-8", "replace"))
        except Exception as problem:
            raise explained(problem, file.name, documents) from problem
    return 1.0, documents, size


def try_out(file: SourceFile) -> None:
    """Read the first records of a file, unless that would copy much of it first.

    Raises:
        UserError: it cannot be read as configured.
    """
    with tempfile.TemporaryDirectory() as scratch:
        try:
            if file.file.bytes > _WHOLE_BYTES and _is_copied(file):
                return
            for _, _, records in MemberReader(file, Path(scratch), Counter()).members():
                for _ in itertools.islice(records, _TRIED_RECORDS):
                    pass
                return
        except Exception as problem:
            raise explained(problem, file.name, 0) from problem


def _is_copied(file: SourceFile) -> bool:
    """Whether all of a file, or of its first member, is copied before its first record comes."""
    if file.container != "plain" or file.options.encoding == "auto":
        return True
    with file.file.local().open("rb") as stream:
        is_packed = compression_of(stream.read(6)) is not None
    return is_packed and isinstance(FORMATS[file.options.format], BinaryFormat)


def _rows_of_parquet(file: SourceFile) -> int:
    """How many rows a Parquet file says it has; 0 of any other, and of one that is damaged."""
    if file.container != "plain" or not file.name.endswith(".parquet"):
        return 0
    import pyarrow as pa
    from pyarrow import parquet

    with contextlib.suppress(pa.ArrowException, OSError):
        return int(parquet.read_metadata(file.file.local()).num_rows)
    return 0
