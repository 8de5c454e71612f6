"""The files below some paths: those that may hold text, and the others with why they do not."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tasks.errors import UserError
from tasks.formats.table import UNREAD, ending_of
from tasks.sources.globs import find_real_files
from tasks.stages import STORED, stage_folder

_MOST_FILES = 200_000
_ABOUT_TEXT = re.compile(r"(readme|licen[cs]e|notice|changelog|\w*sums?)(\.\w{2,4})?", re.I)
_SETTINGS = {".yaml", ".yml", ".toml", ".ini", ".cfg", ".lock", ".tmp"}
_COMPRESSED = (".gz", ".zst", ".bz2", ".xz", ".zstd")


@dataclass
class Listing:
    """What lies below some paths.

    Attributes:
        files: Those that may hold text, in order, each with the path it was found below.
        left_out: The others, with why; folders that may not be read too.
    """

    files: dict[Path, Path] = field(default_factory=dict)
    left_out: dict[Path, str] = field(default_factory=dict)


def list_files(paths: Sequence[Path]) -> Listing:
    """Find all files below some paths, as a source's `paths` would find them.

    Raises:
        UserError: a path is not there, or there are more files than can be looked at.
    """
    found = Listing()
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: there is no such file or folder. Name a folder of text.")
        for folder in _unreadable(path):
            found.left_out[folder] = "may not be read"
        for file in sorted(find_real_files(str(path)).values()):
            if len(found.files) + len(found.left_out) >= _MOST_FILES:
                raise UserError(
                    f"{path}: there are more than {_MOST_FILES:,} files. Name a folder below it, "
                    "or write the config by hand (docs/configuration.md)."
                )
            why = _why_not(file)
            if why is not None:
                found.left_out[file] = why
            elif file not in found.left_out:
                found.files.setdefault(file, path)
    return found


def suffix_of(path: Path) -> str:
    """What a name ends in, that of a compression with what stands before it.

    >>> [suffix_of(Path(name)) for name in ("a.b.jsonl.gz", "a.txt", "a", "a.gz")]
    ['.jsonl.gz', '.txt', '', '.gz']
    """
    last = path.suffix
    before = Path(path.stem).suffix
    return before + last if last.lower() in _COMPRESSED else last


def _why_not(path: Path) -> str | None:
    """Why a file is no text of a corpus, from its name and its size; None where it may be."""
    ending = ending_of(path.name)
    if ending in UNREAD:
        return UNREAD[ending][0]
    if _ABOUT_TEXT.fullmatch(path.name):
        return "says something about the rest"
    if ending in _SETTINGS:
        return "settings"
    if _is_in_store(path):
        return "in a store of runs"
    try:
        if path.stat().st_size == 0:
            return "empty"
    except OSError as problem:
        return f"cannot be read ({problem.strerror})"
    may = os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids)
    return None if may else "may not be read"


def _is_in_store(path: Path) -> bool:
    folders = {stage_folder(name) for name in STORED}
    return any(part in folders for part in path.parts[:-1])


def _unreadable(path: Path) -> Iterator[Path]:
    """The folders from a path on that may not be listed."""
    refused: list[OSError] = []
    for _ in os.walk(path, onerror=refused.append):
        pass
    for problem in refused:
        if isinstance(problem, PermissionError):
            yield Path(problem.filename)
