"""Files on a local disk: written whole or not at all, flushed, and refused with advice.

A name that ends in `.tmp` and begins with a dot is a file in the making. It never counts: a
crash may leave it behind at any moment, and no reader may take it for damage or for a record.
"""

import errno
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tasks.errors import RobertaError, StageError, UserError

# Refusals of a place, which another place helps; all others are the disk's.
_NO_SUCH_PLACE = (
    errno.ENOENT,
    errno.EEXIST,  # a file where a folder is to be
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENAMETOOLONG,
    errno.ELOOP,
)

# numpy checks what C's fwrite wrote and forgets why it was less.
_SHORT_WRITE = re.compile(r"^\d+ requested and \d+ written$")


def temporary_beside(path: Path) -> Path:
    """A name for a file in the making, on the same disk as what it will be."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


def is_temporary(path: str) -> bool:
    """Whether a path, or its last part, is a file in the making."""
    name = path.rsplit("/", 1)[-1]
    return name.startswith(".") and name.endswith(".tmp")


def write_whole(path: Path, content: bytes, *, flush: bool = True) -> None:
    """Write a small file: readers see the old bytes or the new, never a part.

    Without `flush` a power cut may leave an empty file; right for what is worthless after one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        _write(temporary, content, flush)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if flush:
        sync_folder(path.parent)


def write_asked_for(path: Path, content: bytes) -> None:
    """Write a small file where somebody wants it: whole, or the old one stays.

    A device or a pipe takes the bytes and stays what it is; so does a link, and what it leads to
    is written.

    Raises:
        UserError: there is no such place, or it may not be written.
        StageError: the disk is full, or fails.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
        else:
            write_whole(Path(os.path.realpath(path)), content)
    except OSError as problem:
        raise cannot_write_file(path, problem) from problem


def create_whole(path: Path, content: bytes) -> bool:
    """Write a small file unless there is one; whether it was written. Of many writers one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        _write(temporary, content, flush=True)
        created = move_new(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return created


def move_new(source: Path, target: Path) -> bool:
    """Move a flushed file to a name that must be free; whether it was, in one step.

    The name survives a power cut once the target's folder is flushed, see `sync_folder`.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOENT):
            raise
        # A disk without hard links: look, then move. Two writers may both see it free.
        if target.exists():
            return False
        os.replace(source, target)
    else:
        source.unlink()
    return True


def _write(path: Path, content: bytes, flush: bool) -> None:
    with path.open("xb") as file:
        file.write(content)
        if flush:
            file.flush()
            os.fsync(file.fileno())


def without_links(path: str, flags: int) -> int:
    """An opener for `open` that refuses a symbolic link.

    A name that others know beforehand may be a link that they have put there, and what is
    written would overwrite the file that it leads to.
    """
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def give_usual_mode(path: Path, *, is_folder: bool = False) -> None:
    """Give a file or folder of our own the mode that any new one gets here.

    Libraries write through private temporary files, and what only its owner can read is of no
    use in a store that a team shares.
    """
    mode = (0o777 if is_folder else 0o666) & ~_umask()
    if path.stat().st_mode & 0o777 != mode:
        path.chmod(mode)


@cache
def _umask() -> int:
    """This process's umask. It can only be read by setting it, so that is done once."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
        return int(status.split("\nUmask:")[1].split()[0], 8)
    except (OSError, IndexError, ValueError):
        os.umask(umask := os.umask(0o077))
        return umask


def flush_file(path: Path) -> None:
    """Force a file's bytes to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to the disk, so that a rename survives a power cut."""
    flush_file(folder)


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn a disk's refusal into a paragraph that says what to do."""
    try:
        yield
    except OSError as problem:
        reason = disk_problem(problem)
        if reason is None:
            raise
        raise StageError(f"{path}: {reason}") from problem


def cannot_write_file(path: Path, problem: OSError) -> RobertaError:
    """What is said where a file that somebody asked for cannot be written.

    The user's mistake where the place is wrong, the disk's failure otherwise.
    """
    reason = problem.strerror or str(problem)
    if problem.errno:  # pyarrow tells more of itself than of the disk
        reason = os.strerror(problem.errno)
    if problem.errno in _NO_SUCH_PLACE:
        return UserError(f"{path}: this cannot be written: {reason}. Name another place.")
    return StageError(
        f"{path}: this cannot be written: {reason}. What stood there is as it was; make room or "
        "name another place, and run the same command again."
    )


def disk_problem(problem: BaseException) -> str | None:
    """What to tell the user when the disk is full or read-only, else None."""
    number = getattr(problem, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT) or _says_full(problem):
        return (
            "there is no space left on the disk. Everything finished is kept; free some space "
            "(`roberta prune`, or another --store) and run the same command again."
        )
    if number in (errno.EACCES, errno.EROFS, errno.EPERM):
        return f"the place cannot be written ({problem}). Choose another --store."
    return None


def _says_full(problem: BaseException) -> bool:
    """Whether an error that lost its number tells of a full disk."""
    text = str(problem)
    short = isinstance(problem, OSError) and bool(_SHORT_WRITE.match(text))
    return short or "No space left" in text
