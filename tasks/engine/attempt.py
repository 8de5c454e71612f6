"""One run's attempt at one artifact: folders of its own, and the fence before every word.

Whatever an attempt puts, records or removes in the artifact goes through here, and each of these
passes the lease's check first. What it computes lies in `.work/<attempt>/` until then, so two
owners, of whom one was only asleep, never share a folder.
"""

import hashlib
import shutil
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from tasks.engine.computing import Waiting
from tasks.engine.digests import cache_folder
from tasks.engine.identity import digest_of
from tasks.engine.lease import Lease
from tasks.engine.store import Store
from tasks.errors import RobertaError, StageError

T = TypeVar("T")

WORK = ".work"
LASTING = ".lasting"
_AT_A_TIME = 8
# The lease is looked at again after so many moves: on a disk they take a millisecond or two.
_PUT_PER_CHECK = 32


class Attempt:
    """The right to write into an artifact folder, for as long as its lease is ours.

    Args:
        lease: Held by this run.
        folder: The artifact, relative to the store.

    Attributes:
        place: This attempt's own folder in the store, relative to it.
        work: A folder on this machine; in a local store the same one.
    """

    def __init__(self, lease: Lease, folder: str) -> None:
        self.store, self.folder, self.lease = lease.store, folder, lease
        self.store.remove(f"{folder}/{WORK}")  # of owners that are dead, or will find out
        self.place = f"{folder}/{WORK}/{lease.generation:08}-{lease.token[:8]}"
        if self.store.is_local:
            self.work = Path(self.store.url(self.place))
            self.work.mkdir(parents=True)
        else:
            self.work = Path(tempfile.mkdtemp(prefix="roberta-"))

    def close(self) -> None:
        """Remove what running units left behind; committed units stay."""
        shutil.rmtree(self.work, ignore_errors=True)
        with suppress(OSError, RobertaError):  # whoever comes next sweeps it too
            if self.store.is_local:
                self.work.parent.rmdir()  # fails where another attempt's is in there
            else:
                self.store.remove(self.place)

    def check(self) -> None:
        """The fence, see `Lease.check`."""
        self.lease.check()

    def scratch(self, name: str = "scratch") -> Path:
        """A new local folder for this attempt only."""
        folder = self.work / f"{name}-{uuid.uuid4().hex[:8]}"
        folder.mkdir()
        return folder

    def new_folder(self) -> str:
        """A folder in the store for this attempt only, where files wait for their record."""
        return f"{self.place}/{uuid.uuid4().hex[:8]}"

    def lasting_scratch(self) -> Path:
        """A local folder that a killed run leaves behind for the next attempt."""
        folder = self._lasting()
        if folder.is_symlink():  # its name is known beforehand: it may lead anywhere
            folder.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def drop_lasting(self) -> None:
        """Remove the lasting scratch: what lies there is not to be gone on from."""
        shutil.rmtree(self._lasting(), ignore_errors=True)

    def _lasting(self) -> Path:
        if self.store.is_local:
            return Path(self.store.url(f"{self.folder}/{LASTING}"))
        store = hashlib.sha256(self.store.url("").encode()).hexdigest()[:16]
        return cache_folder() / "scratch" / store / self.folder

    def put_all(self, files: Sequence[Waiting]) -> None:
        """Move finished files of this store to their places in the artifact, there to stay.

        A file that is there already with the same bytes stays: it may be in use. Only over
        other bytes, which no record can name, is it moved by force, with another look at the
        lease right before. Each folder is flushed once, when all are moved.

        Raises:
            LeaseLostError: another run has the artifact.
            StageError: the worker put a file somewhere else.
        """
        for start in range(0, len(files), _PUT_PER_CHECK):
            self.check()
            for_each(self.store, self._put, files[start : start + _PUT_PER_CHECK])
        self.store.flush_names([f"{self.folder}/{file.name}" for file in files])

    def _put(self, file: Waiting) -> None:
        path = f"{self.folder}/{file.name}"
        try:
            if self.store.move_new(file.source, path):
                return
            if self.store.is_sound(path, file.entry["sha256"], file.entry["bytes"], anew=True):
                self.store.remove(file.source)
                return
            self.check()
            self.store.move(file.source, path)
        except FileNotFoundError as problem:
            self.check()  # a successor clears this attempt's folder away
            raise StageError(
                f"{self.store.url(file.source)}: a worker made this file, but here it is not "
                "there. Workers on other machines need the same store: an object store, or a "
                "folder that all of them have mounted under the same path."
            ) from problem

    def write(self, name: str, content: bytes) -> None:
        """Write a sealed record."""
        self.check()
        self.store.write(f"{self.folder}/{name}", content)

    def remove(self, name: str) -> None:
        """Remove a file or folder of the artifact."""
        self.check()
        self.store.remove(f"{self.folder}/{name}")


def fingerprint(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """The digest of a unit's files, to tell two results apart at a glance."""
    return digest_of({suffix: entry["sha256"] for suffix, entry in entries.items()})[:16]


def for_each(
    store: Store, action: Callable[[T], None], items: Sequence[T], *, flushes: bool = False
) -> None:
    """Do something in the store for each, several at a time where one waits for the store.

    That is a server, or a disk to which each is flushed: it flushes once for all that wait.
    """
    if len(items) < 2 or (store.is_local and not flushes):
        for item in items:
            action(item)
        return
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        list(threads.map(action, items))
