"""Files outside the store, which others may change at any time: sources, a tokenizer, a model.

They carry the stamp they were hashed under, and every unit that reads one checks it before and
after: what is recorded under a key is what the key was made of.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tasks.engine.digests import Stamp, known_digest, stamp_of
from tasks.engine.identity import file_digest
from tasks.engine.units import StoredFile
from tasks.errors import UserError


def outside_file(path: Path) -> StoredFile:
    """A file that others may change at any time: its content now, and how to tell a change.

    Raises:
        OSError: it cannot be read.
        UserError: it is being written to.
    """
    stamp = stamp_of(path)
    digest = known_digest(path)
    if stamp_of(path) != stamp:
        raise _changed(path)
    return StoredFile(str(path.absolute()), digest, stamp[2], stamp=stamp)


def check_unchanged(payload: Any) -> None:
    """Check every outside file in a unit's payload.

    Raises:
        UserError: one has changed since it was hashed.
    """
    for file in _outside_files(payload):
        path = Path(file.url)
        try:
            same = stamp_of(path) == file.stamp or file_digest(path) == file.sha256
        except OSError as problem:
            raise _changed(path) from problem
        if not same:
            raise _changed(path)


def stamp_before(path: Path) -> Stamp | None:
    """What a file is known by before it is read, for `check_at_rest`; None for a pipe.

    Raises:
        OSError: it cannot be read.
    """
    return stamp_of(path) if path.is_file() else None


def check_at_rest(path: Path, stamp: Stamp | None) -> None:
    """Hold a file that was read for something kept under no key against what it was before.

    Raises:
        UserError: it has changed since it had the stamp, so what was read may be of two states.
    """
    try:
        same = stamp is None or stamp_of(path) == stamp
    except OSError:
        same = False
    if not same:
        raise UserError(
            f"{path}: the file was changed while it was being read, so what came of it is of no "
            "one state of it. Run the same command again when it is at rest."
        )


def _changed(path: Path) -> UserError:
    return UserError(
        f"{path}: the file was changed while it was being read. Nothing of it was taken over; "
        "run the same command again when it is at rest."
    )


def _outside_files(value: Any) -> Iterator[StoredFile]:
    if isinstance(value, StoredFile):
        if value.stamp is not None:
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _outside_files(item)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        for item in value:
            yield from _outside_files(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _outside_files(getattr(value, field.name))
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _outside_files(getattr(value, name))
