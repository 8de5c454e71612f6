"""A store on a disk of this machine, or one that is mounted here: plain files and folders.

Every file is flushed before it is moved into place and the folder after it, so a power cut
leaves either the old file or the new one.
"""

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from tasks.engine.digests import known_digest
from tasks.engine.files import (
    create_whole,
    explained,
    flush_file,
    is_temporary,
    move_new,
    sync_folder,
    temporary_beside,
    write_whole,
)
from tasks.engine.identity import file_digest
from tasks.engine.store import Store

_SCHEMES = ("file://", "local://")


def local_root(url: str) -> str | None:
    """The absolute folder that a store's URL names, or None if it is somewhere else."""
    for scheme in _SCHEMES:
        if url.startswith(scheme):
            url = url[len(scheme) :]
            break
    if "://" in url or "::" in url:
        return None
    return os.path.abspath(os.path.expanduser(url)).rstrip("/")


class LocalStore(Store):
    """Files in a folder; see `Store` for what each method promises."""

    is_local = True
    creates_in_one_step = True

    def __init__(self, url: str) -> None:
        root = local_root(url)
        assert root is not None, f"{url} is no folder"
        self.root = root

    def _path(self, path: str) -> Path:
        return Path(f"{self.root}/{path}")

    def url(self, path: str) -> str:
        """The absolute path."""
        return f"{self.root}/{path}" if path else self.root

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""
        return self._path(path).exists()

    def size(self, path: str) -> int | None:
        """The size of a file in bytes, or None if there is none."""
        full = self._path(path)
        try:
            return full.stat().st_size if full.is_file() else None
        except FileNotFoundError:
            return None

    def modified(self, path: str) -> float | None:
        """When a file or folder was last written, in seconds of Unix time."""
        try:
            return self._path(path).stat().st_mtime
        except OSError:
            return None

    def names(self, folder: str) -> list[str]:
        """The names directly in a folder, sorted."""
        try:
            found = os.listdir(self._path(folder))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for name in found if not is_temporary(name))

    def files(self, folder: str, *, temporary: bool = False) -> list[str]:
        """All files below a folder, as sorted paths relative to it."""
        top = str(self._path(folder))
        paths = (
            os.path.relpath(os.path.join(parent, name), top)
            for parent, _, names in os.walk(top)
            for name in names
        )
        return sorted(path for path in paths if temporary or not is_temporary(path))

    def read(self, path: str) -> bytes | None:
        """A small file's bytes, or None if it is not there."""
        try:
            return self._path(path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, path: str, content: bytes, *, flush: bool = True) -> None:
        """Write a small file whole; without `flush` a power cut may leave it empty."""
        full = self._path(path)
        with explained(str(full)):
            write_whole(full, content, flush=flush)

    def create(self, path: str, content: bytes) -> bool:
        """Write a small file unless there is one."""
        full = self._path(path)
        with explained(str(full)):
            return create_whole(full, content)

    def put(self, local: Path, path: str) -> None:
        """Move a file here: a rename on one disk, a flushed copy from another."""
        full = self._path(path)
        with explained(str(full)):
            full.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.replace(local, full)
            except OSError as problem:
                if problem.errno != errno.EXDEV:
                    raise
                _copy_whole(local, full)
                local.unlink()
            sync_folder(full.parent)

    def move_new(self, source: str, target: str) -> bool:
        """A hard link, which is refused where there is a file, then the old name goes."""
        full = self._path(target)
        with explained(str(full)):
            full.parent.mkdir(parents=True, exist_ok=True)
            return move_new(self._path(source), full)

    def move(self, source: str, target: str) -> None:
        """A rename."""
        full = self._path(target)
        with explained(str(full)):
            full.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self._path(source), full)
            sync_folder(full.parent)

    def copy(self, source: str, target: str) -> None:
        """A hard link where the disk has such, else a copy."""
        old, new = self._path(source), self._path(target)
        with explained(str(new)):
            new.parent.mkdir(parents=True, exist_ok=True)
            new.unlink(missing_ok=True)
            try:
                os.link(old, new)
            except FileNotFoundError:
                raise
            except OSError:
                _copy_whole(old, new)

    def flush_names(self, paths: Iterable[str]) -> None:
        """Flush the folders of these files."""
        for folder in sorted({path.rpartition("/")[0] for path in paths}):
            with explained(self.url(folder)):
                sync_folder(self._path(folder))

    def remove(self, path: str) -> None:
        """Remove a file or a folder; what another process removes meanwhile is gone anyway."""
        full = self._path(path)
        for last_try in (False, True):
            try:
                if full.is_dir() and not full.is_symlink():
                    shutil.rmtree(full)
                else:
                    full.unlink(missing_ok=True)
                return
            except FileNotFoundError:
                if last_try and full.exists():
                    raise
            except NotADirectoryError:
                return  # a file lies where its folder would be

    def digest(self, path: str, *, anew: bool = False) -> str | None:
        """SHA-256; read only if the file is new or was touched, unless `anew`."""
        full = self._path(path)
        try:
            return file_digest(full) if anew else known_digest(full)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None


def _copy_whole(source: Path, target: Path) -> None:
    """A flushed copy that appears in one step."""
    temporary = temporary_beside(target)
    try:
        shutil.copyfile(source, temporary)
        flush_file(temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
