"""Digests of local files, remembered for as long as a file has not been touched.

A file is known by (device, inode, size, mtime, ctime). The kernel moves ctime with every write
and nobody can set it, so a changed file is hashed again, even one whose mtime was put back. A
file that was touched in the last seconds is never remembered: a later write could fall into the
same tick of the file system's clock. `roberta verify` reads everything anew.
"""

import contextlib
import os
import sqlite3
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

from tasks.engine.identity import file_digest

Stamp = tuple[int, int, int, int, int]

_SETTLED_NS = 2_000_000_000
_MOST_ENTRIES = 1_000_000
_TABLE = "CREATE TABLE IF NOT EXISTS digests (stamp TEXT PRIMARY KEY, sha256 TEXT NOT NULL)"


def stamp_of(path: Path) -> Stamp:
    """What a file is known by while its content stays the same."""
    found = path.stat()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _is_settled(stamp: Stamp) -> bool:
    """Whether the file's last change lies so far back that a further one would show."""
    return max(stamp[3:]) + _SETTLED_NS < time.time_ns()


def known_digest(path: Path) -> str:
    """SHA-256 of a file, in hex; read only if the file is new or was touched."""
    stamp = stamp_of(path)
    settled = _is_settled(stamp)
    if settled and (digest := recall(_text(stamp))) is not None:
        return digest
    digest = file_digest(path)
    if settled and stamp_of(path) == stamp:
        remember(_text(stamp), digest)
    return digest


class _Memory:
    """The remembered digests, shared by all processes of a user; a convenience, never needed."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        with contextlib.suppress(sqlite3.Error, OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=5, check_same_thread=False)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(_TABLE)
            (count,) = connection.execute("SELECT count(*) FROM digests").fetchone()
            if count > _MOST_ENTRIES:
                connection.execute("DELETE FROM digests")
            connection.commit()
            self._connection = connection

    def get(self, stamp: str) -> str | None:
        found = self._do("SELECT sha256 FROM digests WHERE stamp = ?", (stamp,))
        return str(found[0][0]) if found else None

    def put(self, stamp: str, digest: str) -> None:
        self._do("INSERT OR REPLACE INTO digests VALUES (?, ?)", (stamp, digest))

    def _do(self, command: str, values: tuple[str, ...]) -> list[tuple[Any, ...]]:
        with self._lock:
            if self._connection is None:
                return []
            try:
                with self._connection:
                    return self._connection.execute(command, values).fetchall()
            except sqlite3.Error:
                self._connection = None  # a damaged or locked memory: hash everything
                return []


def recall(stamp: str) -> str | None:
    """The remembered digest of what is known by this text, see `remember`."""
    return _memory().get(stamp)


def remember(stamp: str, digest: str) -> None:
    """Remember a digest under a text that no other content can ever have."""
    _memory().put(stamp, digest)


def _text(stamp: Stamp) -> str:
    return ":".join(str(part) for part in stamp)


def _memory() -> _Memory:
    return _memory_at(cache_folder() / "digests.sqlite", os.getpid())


@cache
def _memory_at(path: Path, _process: int) -> _Memory:
    """One a process: a connection does not survive a fork."""
    return _Memory(path)


def cache_folder() -> Path:
    """What may be lost lies here: `$ROBERTA_CACHE`, or a folder in the user's cache."""
    base = os.environ.get("ROBERTA_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "roberta-pipeline"
