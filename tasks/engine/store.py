"""The store: where artifacts live, a folder or any fsspec URL (`s3://bucket/path`).

    Store ──┬── LocalStore    a folder: rename, link and fsync
            └── RemoteStore   an object store: whole puts, conditional creates, server-side copies

Object stores have no rename and no append, so nothing here relies on them: a file is put
whole, and an artifact is complete when its manifest exists. The bytes of an artifact never
depend on which of the two it lies in.
"""

import errno
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

from tasks.errors import StageError, UserError


class Store(ABC):
    """Files under one root. Paths given to the methods are relative, with `/` between parts.

    See `tasks.engine.stores.open_store`.
    """

    root: str
    is_local: bool
    # Whether of two that create one file at once the second is always refused.
    creates_in_one_step: bool

    @abstractmethod
    def url(self, path: str) -> str:
        """The full path or URL of a relative path."""

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""

    @abstractmethod
    def size(self, path: str) -> int | None:
        """The size of a file in bytes, or None if there is none."""

    @abstractmethod
    def modified(self, path: str) -> float | None:
        """When a file or folder was last written, in seconds of Unix time; None if unknown."""

    @abstractmethod
    def names(self, folder: str) -> list[str]:
        """The names directly in a folder, sorted; empty when there is no such folder.

        Files in the making are left out.
        """

    @abstractmethod
    def files(self, folder: str, *, temporary: bool = False) -> list[str]:
        """All files below a folder, as sorted paths relative to it.

        Files in the making are left out unless asked for.
        """

    @abstractmethod
    def read(self, path: str) -> bytes | None:
        """A small file's bytes, or None if it is not there."""

    @abstractmethod
    def write(self, path: str, content: bytes, *, flush: bool = True) -> None:
        """Write a small file whole: readers see the old bytes or the new, never a part."""

    @abstractmethod
    def create(self, path: str, content: bytes) -> bool:
        """Write a small file unless there is one; whether it is there with this content.

        Of many writers at once one wins, where the store can tell (`creates_in_one_step`).
        They must write different bytes: when the answer of a server is lost, the content alone
        says who won.
        """

    @abstractmethod
    def put(self, local: Path, path: str) -> None:
        """Move a finished, flushed local file into the store, over whatever lies there."""

    @abstractmethod
    def move_new(self, source: str, target: str) -> bool:
        """Move a file inside the store to a name that must be free; whether it was.

        It is sure to be there after a power cut once `flush_names` was called.

        Raises:
            FileNotFoundError: there is no such source.
        """

    @abstractmethod
    def move(self, source: str, target: str) -> None:
        """Move a file inside the store, over whatever lies there.

        Raises:
            FileNotFoundError: there is no such source.
        """

    @abstractmethod
    def copy(self, source: str, target: str) -> None:
        """Give a file a second place: a hard link on one disk, a copy at the server elsewhere.

        It is sure to be there after a power cut once `flush_names` was called.

        Raises:
            FileNotFoundError: there is no such source.
        """

    @abstractmethod
    def flush_names(self, paths: Iterable[str]) -> None:
        """Make sure that files which were moved or copied are there after a power cut.

        Each folder is flushed once, however many of the files are in it.
        """

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove a file or a folder with all in it; nothing happens when it is not there."""

    @abstractmethod
    def digest(self, path: str, *, anew: bool = False) -> str | None:
        """SHA-256 of a stored file's bytes; None if it is not there.

        A file that was hashed before and has not been touched since is not read again, where
        the store can tell, unless `anew`.
        """

    def is_sound(self, path: str, sha256: str, size: int, *, anew: bool = False) -> bool:
        """Whether the bytes in the store are the bytes that were recorded."""
        return self.size(path) == size and self.digest(path, anew=anew) == sha256

    def check_writable(self) -> None:
        """Refuse a place that cannot be written before any work is done for it.

        Raises:
            UserError: the message has the disk's or the server's own reason.
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
