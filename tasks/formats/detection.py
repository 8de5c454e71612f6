"""What a file is: an archive or not, and which format its text is in.

Told from the bytes where they say so, else from the name's ending. The answer goes into a
unit's payload, because the name itself is no part of a unit's identity.
"""

import io
import zipfile
from typing import Literal, NamedTuple

from tasks.formats.compression import decompressed, is_damage
from tasks.formats.table import format_by_name, refuse_unread

Container = Literal["plain", "zip", "tar"]

_HEAD_BYTES = 512


class FileKind(NamedTuple):
    """How a file is opened (`container`) and how what is in it is read (`format`)."""

    container: Container
    format: str


def kind_of(stream: io.BufferedReader, name: str, wanted: str, where: str) -> FileKind:
    """The kind of a file; `wanted` is the configured format or "auto", `where` is for messages.

    The format of an archive's members stays "auto" unless it is configured: each member has
    its own name. Leaves the stream wherever it read to.

    Raises:
        UserError: the name's ending is that of a kind of file which is not read.
    """
    if wanted == "auto":
        refuse_unread(name, where)  # before looking inside: office files are zip archives
    head = stream.peek(4)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) and zipfile.is_zipfile(stream):
        return FileKind("zip", wanted)
    stream.seek(0)
    if _is_tar(_inner_head(stream)):
        return FileKind("tar", wanted)
    if wanted != "auto":
        return FileKind("plain", wanted)
    if head.startswith(b"PAR1"):
        return FileKind("plain", "parquet")
    if head.startswith(b"ARRO"):
        return FileKind("plain", "arrow")
    return FileKind("plain", format_by_name(name, where))


def _inner_head(stream: io.BufferedReader) -> bytes:
    try:
        return decompressed(stream).read(_HEAD_BYTES)
    except Exception as problem:
        # Damage is reported where the file is read, with the record it was found at.
        if is_damage(problem):
            return b""
        raise


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"
