"""Sealed records: JSON that says which format it is in and carries the digest of its content.

A damaged one is noticed like any other damaged file. What an earlier version of this program
wrote is made again, and what a later one wrote is refused.
"""

import io
import json
import logging
from collections.abc import Mapping
from typing import Any

from tasks.engine.identity import digest_of_json
from tasks.errors import StageError

log = logging.getLogger(__name__)

_READABLE = json.JSONEncoder(indent=1, ensure_ascii=False)

# Raised when a field of a record is added, removed or means something else, or when records lie
# otherwise. Records of the first edition have no such number.
FORMAT = 4


def check_format(record: Mapping[str, Any], known: int, what: str) -> None:
    """Refuse what a later version of this program wrote; earlier forms are the reader's matter.

    Args:
        record: With its number in `format`; records of before they had one are the first.
        known: The highest format that this version reads.
        what: Names the record to people, such as `record`.

    Raises:
        StageError: the number is higher.
    """
    found = record.get("format", 1)
    if isinstance(found, int) and found > known:
        raise StageError(
            f"the store was written by a later version of this program ({what} format {found}; "
            f"this version knows {known}). Use that version, or another --store."
        )


def seal(content: Mapping[str, Any], *, dense: bool = False) -> bytes:
    """Readable JSON of a record with its format and the digest of its content added.

    `dense` is for what holds many records: one line, which is written and read much faster.
    """
    return _sealed({"format": FORMAT, **content}, dense)


def _sealed(record: Mapping[str, Any], dense: bool) -> bytes:
    sealed = {**record, "digest": digest_of_json(record)}
    if dense:
        return (json.dumps(sealed, ensure_ascii=False) + "\n").encode()
    # Piece by piece: a list of the pieces would take three times what they come to.
    out = io.BytesIO()
    for piece in _READABLE.iterencode(sealed):
        out.write(piece.encode())
    out.write(b"\n")
    return out.getvalue()


def unseal(content: bytes | None) -> dict[str, Any] | None:
    """A record as it was sealed, or None if it is absent, cut short, altered or of old format.

    Raises:
        StageError: a later version of this program wrote it.
    """
    if content is None:
        return None
    try:
        record = json.loads(content)
        del record["digest"]
        intact = _sealed(record, dense=not content.startswith(b"{\n")) == content
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None
    if not intact:
        return None
    check_format(record, FORMAT, "record")
    found = record.pop("format", 1)
    if found == FORMAT:
        return dict(record)
    log.warning("records of an earlier version (format %s) are not read; made again", found)
    return None
