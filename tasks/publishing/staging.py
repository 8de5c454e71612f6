"""Folders that are made beside their place, and get its name when they are whole.

    .<name>.<random>.roberta-staging/ ──(whole)──▶ <name>/

Who makes one holds a lock on it. What a killed process has left has none, and goes when somebody
next makes a folder for the same place. A folder that was there before changes its name with the
new one in one step where the system can do that (Linux, macOS), so no moment is without one;
elsewhere it is called `.<name>.before` for that moment, and gets its name back if it ends there.
"""

import ctypes
import errno
import fcntl
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tasks.engine.files import flush_file, sync_folder
from tasks.errors import StageError

_SUFFIX = ".roberta-staging"
_SWAP = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS
_AT_CWD = -100
_NO_SWAP = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.EBADF)


@contextmanager
def staged_beside(target: Path) -> Iterator[Path]:
    """A new folder beside a place; what still has its name at the end goes.

    Raises:
        StageError: it cannot be made.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target)
        made, lock = _make_locked(target)
    except OSError as problem:
        raise cannot_write(target, problem) from problem
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


def _make_locked(target: Path) -> tuple[Path, int]:
    """A new folder and what holds its lock; made again where somebody swept it before that."""
    while True:
        made = Path(tempfile.mkdtemp(_SUFFIX, f".{target.name}.", target.parent))
        with suppress(FileNotFoundError):
            lock = os.open(made, os.O_RDONLY)
            try:
                _lock(lock, 0)
                if os.path.samestat(os.fstat(lock), made.stat()):
                    return made, lock
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)


def _lock(file: int, flags: int) -> None:
    """Take a folder's lock, as far as its disk has locks: where it has none nobody sweeps."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | flags)
    except OSError as problem:
        if problem.errno not in NO_LOCKS or flags:
            raise


def put_in_place(made: Path, target: Path) -> None:
    """Give a folder the name of its place; what had it is where the new one was then, if at all.

    All that is in it is on the disk before: what it was made from may be removed after.
    """
    for path in (*made.rglob("*"), made):
        flush_file(path)
    if not target.exists() or not any(target.iterdir()):
        made.rename(target)
    elif not _swapped(made, target):
        before = _before(target)
        target.rename(before)
        try:
            made.rename(target)
        except BaseException:
            before.rename(target)
            raise
        before.rename(made)
    sync_folder(target.parent)


def _before(target: Path) -> Path:
    """What a folder is called while another takes its place, where that takes two steps."""
    return target.with_name(f".{target.name}.before")


def cannot_write(target: Path, problem: OSError) -> StageError:
    """What is said where a disk is full or not to be written to."""
    return StageError(
        f"{target}: this cannot be written: {problem.strerror or problem}. Nothing of it is there; "
        "make room or give another place, and run the same command again."
    )


def _sweep(target: Path) -> None:
    """Remove what killed processes have left of folders for a place, and put back what was there.

    Only folders of our own naming are looked at, and of these none that somebody is at work in.
    """
    ours = re.compile(re.escape(f".{target.name}.") + r"[a-z0-9_]{8}" + re.escape(_SUFFIX))
    for left in target.parent.iterdir():
        if not ours.fullmatch(left.name) or left.is_symlink() or not left.is_dir():
            continue
        with suppress(OSError):  # somebody's at work in it, or it is gone by now
            lock = os.open(left, os.O_RDONLY)
            try:
                _lock(lock, fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)
    if not os.path.lexists(target) and _before(target).is_dir():
        _before(target).rename(target)


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
    if number in _NO_SWAP:
        return False
    raise OSError(number, os.strerror(number), str(other))
