"""The store: where artifacts live, any fsspec URL (`./artifacts`, `s3://bucket/path`).

Object stores have no rename and no append, so nothing here relies on them: a file is put
whole, and an artifact is complete when its manifest exists. On a local disk every file is
flushed before it is moved into place, so a power cut leaves either the old or the new one.
"""

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec

from tasks.engine.identity import file_digest
from tasks.engine.units import StoredFile
from tasks.errors import StageError, UserError

_BLOCK_BYTES = 1 << 20


class Store:
    """Files under one root. Paths given to the methods are relative, with `/` between parts."""

    def __init__(self, url: str) -> None:
        try:
            self.fs, root = fsspec.core.url_to_fs(os.path.expanduser(url))
        except (ValueError, ImportError) as problem:
            raise UserError(
                f"store: {url!r} cannot be opened: {problem}. Give a folder, or a URL whose "
                "fsspec driver is installed (for example `pip install s3fs` for s3://)."
            ) from problem
        self.root = str(root).rstrip("/")
        self.is_local = isinstance(self.fs, fsspec.implementations.local.LocalFileSystem)

    def url(self, path: str) -> str:
        """The full path or URL of a relative path."""
        full = f"{self.root}/{path}" if path else self.root
        return full if self.is_local else str(self.fs.unstrip_protocol(full))

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""
        return bool(self.fs.exists(f"{self.root}/{path}"))

    def size(self, path: str) -> int | None:
        """The size of a file in bytes, or None if there is none."""
        try:
            info = self.fs.info(f"{self.root}/{path}")
        except FileNotFoundError:
            return None
        return int(info["size"]) if info["type"] == "file" else None

    def names(self, folder: str) -> list[str]:
        """The names directly in a folder, sorted; empty when there is no such folder."""
        try:
            names = self.fs.ls(f"{self.root}/{folder}", detail=False, refresh=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name.rstrip("/").rsplit("/", 1)[-1] for name in names)

    def files(self, folder: str) -> list[str]:
        """All files below a folder, as sorted paths relative to it."""
        prefix = f"{self.root}/{folder}/"
        try:
            found = self.fs.find(prefix)
        except FileNotFoundError:
            return []
        return sorted(str(name)[len(prefix) :] for name in found)

    def read(self, path: str) -> bytes | None:
        """A small file's bytes, or None if it is not there."""
        try:
            return bytes(self.fs.cat_file(f"{self.root}/{path}"))
        except FileNotFoundError:
            return None

    def write(self, path: str, content: bytes) -> None:
        """Write a small file whole: readers see the old bytes or the new, never a part."""
        full = f"{self.root}/{path}"
        with explained(full):
            if not self.is_local:
                self.fs.pipe_file(full, content)
                return
            target = Path(full)
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
            try:
                with temporary.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)
            sync_folder(target.parent)

    def check_writable(self) -> None:
        """Refuse a place that cannot be written before any work is done for it.

        Raises:
            UserError: the message has the disk's own reason.
        """
        trial = f".writable-{uuid.uuid4().hex[:8]}"
        try:
            self.write(trial, b"")
            self.remove(trial)
        except (OSError, StageError) as problem:
            cause = problem.__cause__ if isinstance(problem, StageError) else problem
            if getattr(cause, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise UserError(
                f"store: {self.url('')} cannot be written: {cause}. Choose another folder or "
                "URL with --store, or `store:` in the config."
            ) from problem

    def put(self, local: Path, path: str) -> None:
        """Move a finished, flushed local file into the store."""
        full = f"{self.root}/{path}"
        with explained(full):
            if not self.is_local:
                self.fs.put_file(str(local), full)
                local.unlink()
                return
            Path(full).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(local, full)
            sync_folder(Path(full).parent)

    def copy(self, source: str, target: str) -> None:
        """Give a file a second place: a hard link on one disk, a copy elsewhere."""
        with explained(f"{self.root}/{target}"):
            if not self.is_local:
                self.fs.cp_file(f"{self.root}/{source}", f"{self.root}/{target}")
                return
            destination = Path(f"{self.root}/{target}")
            destination.parent.mkdir(parents=True, exist_ok=True)
            destination.unlink(missing_ok=True)
            try:
                os.link(f"{self.root}/{source}", destination)
            except OSError:
                shutil.copyfile(f"{self.root}/{source}", destination)

    def remove(self, path: str) -> None:
        """Remove a file or a folder with all in it; nothing happens when it is not there."""
        full = f"{self.root}/{path}"
        if self.fs.exists(full):
            self.fs.rm(full, recursive=True)

    def digest(self, path: str) -> str | None:
        """SHA-256 of a stored file's bytes, read anew; None if it is not there."""
        full = f"{self.root}/{path}"
        try:
            if self.is_local:
                return file_digest(Path(full))
            digest = hashlib.sha256()
            with self.fs.open(full, "rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    digest.update(block)
            return digest.hexdigest()
        except (FileNotFoundError, IsADirectoryError):
            return None

    def is_sound(self, path: str, file: StoredFile) -> bool:
        """Whether the bytes in the store are the bytes that were recorded."""
        return self.size(path) == file.bytes and self.digest(path) == file.sha256


def local_copy(file: StoredFile) -> Path:
    """The file on this machine: itself when it is local, else a cached, checked download."""
    if "://" not in file.url:
        return Path(file.url)
    folder = cache_folder() / "files"
    path = folder / file.sha256
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{file.sha256}.{uuid.uuid4().hex[:8]}"
        with explained(str(temporary)):
            fs, remote = fsspec.core.url_to_fs(file.url)
            fs.get_file(remote, str(temporary))
        if file_digest(temporary) != file.sha256:
            temporary.unlink()
            raise StageError(
                f"{file.url}: the bytes that arrived are not those that were recorded. "
                "Run `roberta verify --repair` on the store."
            )
        os.replace(temporary, path)
    return path


def cache_folder() -> Path:
    """Where copies of remote files are kept: `$ROBERTA_CACHE`, or the user's cache folder."""
    base = os.environ.get("ROBERTA_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "roberta-pipeline"


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


def disk_problem(problem: BaseException) -> str | None:
    """What to tell the user when the disk is full or read-only, else None."""
    number = getattr(problem, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(problem):
        return (
            "there is no space left on the disk. Everything finished is kept; free some space "
            "(`roberta prune`, or another --store) and run the same command again."
        )
    if number in (errno.EACCES, errno.EROFS, errno.EPERM):
        return f"the place cannot be written ({problem}). Choose another --store."
    return None


__all__ = ["Store", "cache_folder", "disk_problem", "explained", "flush_file", "local_copy"]
