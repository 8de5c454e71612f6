"""A model folder that somebody replaces while it is read: what is read is of one state of it.

A folder has many files, and a newer model may get its name between two of them: with the one's
classes and the other's weights every answer would be wrong, and nothing would say so.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from roberta_model.inference.unusable import UnusableError

T = TypeVar("T")

_TRIES = 3
# Those that a model is read from: answers may be written into its folder at the same time.
_ENDINGS = (".json", ".safetensors", "merges.txt")

State = list[tuple[str, int, int, int, int, int]]


def read_in_one_state(folder: Path, read: Callable[[], T]) -> T:
    """What comes of reading a folder; done again where its files changed meanwhile.

    Raises:
        UnusableError: They change again and again. Or what `read` raises.
    """
    for _ in range(_TRIES):
        before = _state_of(folder)
        try:
            found = read()
        except Exception:
            if _state_of(folder) == before:
                raise
        else:
            if _state_of(folder) == before:
                return found
    raise UnusableError(
        f"{folder}: its files were changed while they were being read, so what was read may be of "
        "two models. Run the same again when the folder is at rest."
    )


def _state_of(folder: Path) -> State:
    """What tells a folder's files from those of another state; nothing where there is none."""
    try:
        found = []
        for path in sorted(folder.iterdir()):
            if path.name.endswith(_ENDINGS):
                told = path.stat()
                times = told.st_mtime_ns, told.st_ctime_ns
                found.append((path.name, told.st_dev, told.st_ino, told.st_size, *times))
        return found
    except OSError:
        return []
