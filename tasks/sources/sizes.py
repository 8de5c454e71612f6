"""How much text there is, from a small sample: what `plan` bases its estimates on.

A few files of a source are read until they have given a few megabytes; what was read of them,
in stored bytes, says how the rest will inflate. Nothing is fetched: of remote sources only
what the config says of their size is known.
"""

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tasks.formats.damage import explained
from tasks.formats.members import MemberReader
from tasks.formats.source_files import SourceFile

_MOST_FILES = 4
_SAMPLE_BYTES = 2 << 20
# Where no text is looked at: bytes of text for each stored byte, and for each document.
INFLATION = 2.5
_DOCUMENT_BYTES = 2000

Size = dict[str, int]  # documents, bytes


def guessed(stored_bytes: int) -> Size:
    """Of stored bytes that nobody looks at, compressed as text mostly is."""
    text = int(stored_bytes * INFLATION)
    return {"documents": -(-text // _DOCUMENT_BYTES), "bytes": text}


def sampled(files: Sequence[SourceFile]) -> Size:
    """Of files, from a few megabytes of some of them, multiplied up to all.

    Raises:
        UserError: a file cannot be read as configured.
    """
    stride = max(1, len(files) // _MOST_FILES)
    sampled = [_sample(file) for file in files[::stride][:_MOST_FILES]]
    stored = sum(part for part, _, _ in sampled)
    factor = sum(file.file.bytes for file in files) / max(1.0, stored)
    return {
        "documents": round(sum(count for _, count, _ in sampled) * factor),
        "bytes": round(sum(size for _, _, size in sampled) * factor),
    }


def _sample(file: SourceFile) -> tuple[float, int, int]:
    """Of one file: the stored bytes read, and the documents and bytes of text they gave."""
    documents = size = 0
    with tempfile.TemporaryDirectory() as scratch:
        reader = MemberReader(file, Path(scratch), Counter())
        try:
            for _, _, records in reader.members():
                for text in records:
                    documents += 1
                    size += len((text or "").encode("utf-8", "replace"))
                    if size >= _SAMPLE_BYTES:
                        return max(1.0, reader.read_share * file.file.bytes), documents, size
        except Exception as problem:
            raise explained(problem, file.name, documents) from problem
    return float(file.file.bytes), documents, size
