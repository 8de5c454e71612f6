"""Copies of remote files on this machine: fetched once, checked before use, and bounded.

A copy is read in full once by each process that uses it. That its file was not touched since it
was fetched is not enough: a disk forgets bits without touching a file, and whoever can write the
cache can write what is remembered of it.
"""

import contextlib
import os
import time
from pathlib import Path

from tasks.engine.digests import Stamp, cache_folder, stamp_of
from tasks.engine.files import explained, flush_file, sync_folder, temporary_beside
from tasks.engine.identity import file_digest
from tasks.errors import StageError

MOST_BYTES = 20 << 30
_IN_USE_SECONDS = 3600.0
# What this process has read in full, and how it was then.
_CHECKED: dict[Path, Stamp] = {}


def local_copy(url: str, sha256: str, size: int) -> Path:
    """A file of the store on this machine: itself when it is local, else a checked copy.

    Args:
        url: Where it is.
        sha256: The digest of its bytes.
        size: How many there are.

    Raises:
        StageError: the remote bytes are not those that were recorded.
    """
    if "://" not in url:
        return Path(url)
    path = cache_folder() / "files" / sha256
    if not _is_sound(path, sha256, size):
        _fetch(url, sha256, size, path)
        _make_room(path.parent)
    with contextlib.suppress(OSError):
        _mark(path).touch()  # used just now: it stays
    return path


def _mark(path: Path) -> Path:
    """A file whose time says when a copy was last used; the copy itself must not be touched."""
    return path.with_name(f".{path.name}.used")


def _is_sound(path: Path, sha256: str, size: int) -> bool:
    try:
        stamp = stamp_of(path)
        if _CHECKED.get(path) == stamp:
            return True
        if path.stat().st_size != size or file_digest(path) != sha256:
            return False
    except FileNotFoundError:
        return False
    _CHECKED[path] = stamp
    return True


def _fetch(url: str, sha256: str, size: int, path: Path) -> None:
    from tasks.engine.remote_store import RemoteStore  # a local store needs no driver

    folder, name = url.rsplit("/", 1)
    store = RemoteStore(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        if store.size(name) != size:
            raise _damaged(url)
        with explained(str(temporary)), temporary.open("xb") as written:
            for block in store.blocks(name, size):
                written.write(block)
        flush_file(temporary)
        if file_digest(temporary) != sha256:
            raise _damaged(url)
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _damaged(url: str) -> StageError:
    return StageError(
        f"{url}: the bytes that arrived are not those that were recorded. "
        "Run `roberta verify --repair` on the store."
    )


def _make_room(folder: Path) -> None:
    """Remove the copies used longest ago; what was used within the hour stays whatever it takes.

    A copy that vanishes under a reader that has it open stays readable to it.
    """
    limit = int(os.environ.get("ROBERTA_CACHE_BYTES", MOST_BYTES))
    known = []
    for path in folder.glob("[!.]*"):
        with contextlib.suppress(OSError):
            mark, found = _mark(path), path.stat()
            used = mark.stat().st_mtime if mark.exists() else found.st_mtime
            known.append((used, found.st_size, path))
    total = sum(size for _, size, _ in known)
    oldest_in_use = time.time() - _IN_USE_SECONDS
    for used, size, path in sorted(known):
        if total <= limit or used > oldest_in_use:
            return
        path.unlink(missing_ok=True)
        _mark(path).unlink(missing_ok=True)
        total -= size
