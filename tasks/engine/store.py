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
from pathlib import Path

import fsspec

from tasks.engine.digests import known_digest
from tasks.engine.files import (
    create_whole,
    explained,
    is_temporary,
    move_new,
    sync_folder,
    write_whole,
)
from tasks.engine.identity import file_digest
from tasks.engine.units import StoredFile
from tasks.errors import StageError, UserError

_BLOCK_BYTES = 1 << 20
# Drivers whose mode="create" is one step at the server; others look first and write then.
_CREATE_IN_ONE_STEP = {"memory", "s3", "s3a"}


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
        protocols = {self.fs.protocol} if isinstance(self.fs.protocol, str) else self.fs.protocol
        self.creates_in_one_step = self.is_local or bool(_CREATE_IN_ONE_STEP & set(protocols))

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
        """The names directly in a folder, sorted; empty when there is no such folder.

        Files in the making are left out.
        """
        try:
            found = self.fs.ls(f"{self.root}/{folder}", detail=False, refresh=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        names = (name.rstrip("/").rsplit("/", 1)[-1] for name in found)
        return sorted(name for name in names if not is_temporary(name))

    def files(self, folder: str, *, temporary: bool = False) -> list[str]:
        """All files below a folder, as sorted paths relative to it.

        Files in the making are left out unless asked for.
        """
        prefix = f"{self.root}/{folder}/"
        try:
            found = self.fs.find(prefix)
        except FileNotFoundError:
            return []
        paths = (str(name)[len(prefix) :] for name in found)
        return sorted(path for path in paths if temporary or not is_temporary(path))

    def read(self, path: str) -> bytes | None:
        """A small file's bytes, or None if it is not there."""
        try:
            return bytes(self.fs.cat_file(f"{self.root}/{path}"))
        except FileNotFoundError:
            return None

    def write(self, path: str, content: bytes, *, flush: bool = True) -> None:
        """Write a small file whole: readers see the old bytes or the new, never a part."""
        full = f"{self.root}/{path}"
        with explained(full):
            if self.is_local:
                write_whole(Path(full), content, flush=flush)
            else:
                self.fs.pipe_file(full, content)

    def create(self, path: str, content: bytes) -> bool:
        """Write a small file unless there is one; whether it was written.

        Of many writers at once one wins, where the file system can tell: a local disk, and
        object stores with conditional writes.
        """
        full = f"{self.root}/{path}"
        with explained(full):
            if self.is_local:
                return create_whole(Path(full), content)
            try:
                self.fs.pipe_file(full, content, mode="create")
            except FileExistsError:
                return False
            return True

    def check_writable(self) -> None:
        """Refuse a place that cannot be written before any work is done for it.

        Raises:
            UserError: the message has the disk's own reason.
        """
        trial = f".writable-{uuid.uuid4().hex[:8]}.tmp"
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
        """Move a finished, flushed local file into the store, over whatever lies there."""
        full = f"{self.root}/{path}"
        with explained(full):
            if not self.is_local:
                self.fs.put_file(str(local), full)
                local.unlink()
                return
            Path(full).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(local, full)
            sync_folder(Path(full).parent)

    def put_new(self, local: Path, path: str) -> bool:
        """Move a finished, flushed local file to a name that must be free; whether it was."""
        full = f"{self.root}/{path}"
        with explained(full):
            if not self.is_local:
                try:
                    self.fs.put_file(str(local), full, mode="create")
                except FileExistsError:
                    return False
                local.unlink()
                return True
            Path(full).parent.mkdir(parents=True, exist_ok=True)
            return move_new(local, Path(full))

    def copy(self, source: str, target: str) -> None:
        """Give a file a second place: a hard link on one disk, a copy elsewhere.

        Raises:
            FileNotFoundError: there is no such source.
        """
        with explained(f"{self.root}/{target}"):
            if not self.is_local:
                self.fs.cp_file(f"{self.root}/{source}", f"{self.root}/{target}")
                return
            destination = Path(f"{self.root}/{target}")
            destination.parent.mkdir(parents=True, exist_ok=True)
            destination.unlink(missing_ok=True)
            try:
                os.link(f"{self.root}/{source}", destination)
            except FileNotFoundError:
                raise
            except OSError:
                shutil.copyfile(f"{self.root}/{source}", destination)

    def remove(self, path: str) -> None:
        """Remove a file or a folder with all in it; nothing happens when it is not there."""
        full = f"{self.root}/{path}"
        try:
            self.fs.rm(full, recursive=True)
        except FileNotFoundError:
            if self.fs.exists(full):  # another process removed something inside meanwhile
                self.fs.rm(full, recursive=True)

    def digest(self, path: str, *, anew: bool = False) -> str | None:
        """SHA-256 of a stored file's bytes; None if it is not there.

        A local file that was hashed before and has not been touched since is not read again,
        unless `anew`.
        """
        full = f"{self.root}/{path}"
        try:
            if self.is_local:
                return file_digest(Path(full)) if anew else known_digest(Path(full))
            digest = hashlib.sha256()
            with self.fs.open(full, "rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    digest.update(block)
            return digest.hexdigest()
        except (FileNotFoundError, IsADirectoryError):
            return None

    def is_sound(self, path: str, file: StoredFile, *, anew: bool = False) -> bool:
        """Whether the bytes in the store are the bytes that were recorded."""
        return self.size(path) == file.bytes and self.digest(path, anew=anew) == file.sha256
