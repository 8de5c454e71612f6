"""The files that a glob matches: links are followed, and each real file is found once.

`glob.glob(..., recursive=True)` follows links to folders for as long as the system lets it. A
link to a folder above it gives every file 41 times, and two of them have more paths than there
is time. Here `**` stands for each real folder below its base once, however many links lead to it.
"""

import glob
import os
from collections.abc import Iterator
from pathlib import Path

_RECURSIVE = "**"


def find_real_files(pattern: str) -> dict[str, Path]:
    """Files by their real path, each under the name that the glob found it by.

    A folder stands for all files below it; as everywhere, wildcards match no hidden names. Of
    several names for one real file its own counts if the glob matches that, else the first in
    alphabetical order.
    """
    if os.path.isdir(pattern):
        pattern = os.path.join(glob.escape(pattern), _RECURSIVE, "*")
    found: dict[str, Path] = {}
    for path in sorted(filter(os.path.isfile, _expand(pattern))):
        real = os.path.realpath(path)
        if real not in found or os.path.abspath(path) == real:
            found[real] = Path(path)
    return found


def _expand(pattern: str) -> Iterator[str]:
    """The paths that a pattern matches, some more than once."""
    parts = pattern.split(os.sep)
    if _RECURSIVE not in parts:
        yield from glob.iglob(pattern)
        return
    at = parts.index(_RECURSIVE)
    base = os.sep.join(parts[:at]) + os.sep if at else ""
    rest = os.sep.join(parts[at + 1 :]) or "*"
    for start in glob.iglob(base) if base else [""]:
        for folder in _folders_below(start):
            yield from _expand(os.path.join(glob.escape(folder), rest))


def _folders_below(start: str) -> Iterator[str]:
    """A folder and all below it, each real one once and by its own name where it has one there."""
    seen: set[str] = set()
    waiting, linked = [start], list[str]()
    while waiting or linked:
        # Links wait until all that lies below in its own right has been seen under its own name.
        folder = waiting.pop() if waiting else linked.pop(0)
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        yield folder
        try:
            entries = sorted(os.scandir(folder or os.curdir), key=lambda entry: entry.name)
        except PermissionError:
            continue
        for entry in entries:
            if entry.is_dir() and not entry.name.startswith("."):
                below = os.path.join(folder, entry.name)
                (linked if entry.is_symlink() else waiting).append(below)
