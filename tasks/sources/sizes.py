"""How much text there is, from a small sample: what `plan` bases its estimates on.

A source of a few megabytes is read whole. Of a larger one a few files are read until they have
given a few megabytes; what was read of them, in stored bytes, says how the rest will inflate.
Nothing is fetched: of remote sources only what the config says of their size is known.
"""

import contextlib
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tasks.formats.damage import explained
from tasks.formats.members import MemberReader
from tasks.formats.source_files import SourceFile

_MOST_FILES = 4
_SAMPLE_BYTES = 2 << 20
_WHOLE_BYTES = 4 << 20  # stored: read in a second, whatever it is packed with
# Where no text is looked at: bytes of text for each stored byte, and for each document.
INFLATION = 2.5
_DOCUMENT_BYTES = 2000

Size = dict[str, int]  # documents, bytes


def guessed(stored_bytes: int) -> Size:
    """Of stored bytes that nobody looks at, compressed as text mostly is."""
    text = int(stored_bytes * INFLATION)
    return {"documents": -(-text // _DOCUMENT_BYTES), "bytes": text}


def sampled(files: Sequence[SourceFile]) -> Size:
    """Of files: counted where they are small, else multiplied up from some megabytes of a few.

    Raises:
        UserError: a file cannot be read as configured.
    """
    every = sum(file.file.bytes for file in files)
    if every <= _WHOLE_BYTES:
        sampled = [_sample(file, most_bytes=None) for file in files]
    else:
        stride = max(1, len(files) // _MOST_FILES)
        sampled = [_sample(file, _SAMPLE_BYTES) for file in files[::stride][:_MOST_FILES]]
    stored = sum(part for part, _, _ in sampled)
    factor = every / max(1.0, stored)
    return {
        "documents": round(sum(count for _, count, _ in sampled) * factor),
        "bytes": round(sum(size for _, _, size in sampled) * factor),
    }


def _sample(file: SourceFile, most_bytes: int | None) -> tuple[float, int, int]:
    """Of one file: the stored bytes read, and the documents and bytes of text they gave.

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
                            return max(1.0, share * file.file.bytes), documents, size
                        share = now
                    documents += 1
                    size += len((text or "").encode("utf-8", "replace"))
        except Exception as problem:
            raise explained(problem, file.name, documents) from problem
    return float(file.file.bytes), documents, size


def _rows_of_parquet(file: SourceFile) -> int:
    """How many rows a Parquet file says it has; 0 of any other, and of one that is damaged."""
    if file.container != "plain" or not file.name.endswith(".parquet"):
        return 0
    import pyarrow as pa
    from pyarrow import parquet

    with contextlib.suppress(pa.ArrowException, OSError):
        return int(parquet.read_metadata(file.file.local()).num_rows)
    return 0
