"""Folders that are made beside their place, and get its name when they are whole.

    .<name>.<random>.staging/ ──(whole)──▶ <name>/

Who makes one holds a lock on it. What a killed process has left has none, and goes when somebody
next makes a folder for the same place. A folder that was there before changes its name with the
new one in one step where the system can do that (Linux, macOS), so no moment is without one.
"""

import ctypes
import errno
import fcntl
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tasks.engine.files import sync_folder
from tasks.errors import StageError

_SUFFIX = ".staging"
_SWAP = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS
_AT_CWD = -100
_UNKNOWN = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


@contextmanager
def staged_beside(target: Path) -> Iterator[Path]:
    """A new folder beside a place; what still has its name at the end goes.

    Raises:
        StageError: it cannot be made.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target)
        made = Path(tempfile.mkdtemp(_SUFFIX, f".{target.name}.", target.parent))
    except OSError as problem:
        raise cannot_write(target, problem) from problem
    lock = os.open(made, os.O_RDONLY)
    try:
        with suppress(OSError):  # a disk without locks: nobody sweeps there
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


def put_in_place(made: Path, target: Path) -> None:
    """Give a folder the name of its place; what had it is where the new one was then, if at all."""
    if not target.exists() or not any(target.iterdir()):
        made.rename(target)
    elif not _swapped(made, target):
        aside = made.with_name(f"{made.name}.{uuid.uuid4().hex[:8]}")
        target.rename(aside)
        try:
            made.rename(target)
        except OSError:
            aside.rename(target)
            raise
        aside.rename(made)
    sync_folder(target.parent)


def cannot_write(target: Path, problem: OSError) -> StageError:
    """What is said where a disk is full or not to be written to."""
    return StageError(
        f"{target}: this cannot be written: {problem.strerror or problem}. Nothing of it is there; "
        "make room or give another place, and run the same command again."
    )


def _sweep(target: Path) -> None:
    """Remove what killed processes have left of folders for a place."""
    for left in target.parent.iterdir():
        is_ours = left.name.startswith(f".{target.name}.") and left.name.endswith(_SUFFIX)
        if not is_ours or left.is_symlink() or not left.is_dir():
            continue
        with suppress(OSError):  # somebody's at work in it, or it is gone by now
            lock = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)


def _swapped(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one step; False where the system has no such thing.

    Raises:
        OSError: it has, and refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    try:
        if sys.platform == "darwin":
            failed = libc.renamex_np(*names, ctypes.c_uint(_SWAP))
        else:
            at = ctypes.c_int(_AT_CWD)
            failed = libc.renameat2(at, names[0], at, names[1], ctypes.c_uint(_SWAP))
    except AttributeError:
        return False
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN:
        return False
    raise OSError(number, os.strerror(number), str(other))
