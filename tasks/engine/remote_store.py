"""A store behind an fsspec driver: `s3://bucket/path`, `gs://…`, `memory://…`.

Listings are never cached: what another process put a moment ago is there. A file is put whole.
What may pass is tried again, see `tasks.engine.retrying`.

Creating a file that must not exist is one step at the server where its driver sends a condition
(`If-None-Match: *` in s3fs: PutObject, and the last request of a large upload). Some servers
that speak S3 ignore the condition, so it is tried out once. Where creation is not one step, a
lease settles it by waiting and reading again, see `tasks.engine.lease`.
"""

import hashlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import fsspec

from tasks.engine import digests
from tasks.engine.files import explained, is_temporary
from tasks.engine.retrying import server_code, with_retries
from tasks.engine.store import Store
from tasks.errors import UserError

R = TypeVar("R")

_BLOCK_BYTES = 16 << 20
# Drivers whose mode="create" is one step at the server; others look first and write then.
_CREATE_IN_ONE_STEP = {"memory", "s3", "s3a"}
_S3 = {"s3", "s3a"}
# The driver's own tries at one request or one part of a large file, before ours at the whole.
_DRIVER_TRIES = 2


def open_filesystem(url: str) -> tuple[Any, str]:
    """The fsspec driver for a URL, and the URL's path in it.

    Of S3's settings in the environment, botocore reads the credentials and, in its newer
    versions, AWS_ENDPOINT_URL. It is passed on all the same: fsspec keeps one connection for each
    set of arguments, and another endpoint must be another connection.

    Raises:
        UserError: there is no driver for it, or it is not installed.
    """
    scheme = url.split("://")[0]
    options: dict[str, Any] = {}
    if scheme in _S3:
        options["use_listings_cache"] = False
        options["config_kwargs"] = {
            "retries": {"mode": "standard", "total_max_attempts": _DRIVER_TRIES}
        }
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if endpoint:
            options["endpoint_url"] = endpoint
    try:
        fs, root = fsspec.core.url_to_fs(url, **options)
    except (ValueError, ImportError) as problem:
        extra = (
            "`make setup EXTRAS=s3` or `pip install s3fs`"
            if scheme in _S3
            else "fsspec's own extra for it"
        )
        raise UserError(
            f"store: {url!r} cannot be opened: {problem}. Give a folder, or a URL whose fsspec "
            f"driver is installed (for {scheme}:// by {extra})."
        ) from problem
    if scheme in _S3:
        fs.retries = _DRIVER_TRIES
    return fs, str(root).rstrip("/")


class RemoteStore(Store):
    """Files behind an fsspec driver; see `Store` for what each method promises."""

    is_local = False

    def __init__(self, url: str) -> None:
        self.fs, self.root = open_filesystem(url)

    def url(self, path: str) -> str:
        """The full URL."""
        return str(self.fs.unstrip_protocol(self._full(path)))

    def _full(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root

    def _try(self, path: str, action: Callable[[], R]) -> R:
        with explained(self._full(path)):
            return with_retries(self.url(path), action)

    @cached_property
    def creates_in_one_step(self) -> bool:  # type: ignore[override]
        """Whether the driver sends a condition and the server heeds it, tried out once."""
        protocol = self.fs.protocol
        protocols = {protocol} if isinstance(protocol, str) else set(protocol)
        if not _CREATE_IN_ONE_STEP & protocols:
            return False
        trial = f".create-{uuid.uuid4().hex[:8]}.tmp"
        try:
            self.create(trial, b"first")
            return not self.create(trial, b"second")
        finally:
            self.remove(trial)

    def exists(self, path: str) -> bool:
        """Whether a file or something below it is there."""
        return self._info(path) is not None

    def _anew(self, action: Callable[[], R]) -> R:
        """Look at the server, not at what the driver remembers of it."""
        self.fs.invalidate_cache()
        return action()

    def _info(self, path: str) -> dict[str, Any] | None:
        full = self._full(path)
        try:
            return dict(self._try(path, lambda: self._anew(lambda: self.fs.info(full))))
        except FileNotFoundError:
            return None

    def size(self, path: str) -> int | None:
        """The size of a file in bytes, or None if there is none."""
        info = self._info(path)
        return int(info["size"]) if info is not None and info["type"] == "file" else None

    def modified(self, path: str) -> float | None:
        """When a file was last written, in seconds of Unix time; None if the driver cannot tell."""
        full = self._full(path)
        try:
            return float(self._try(path, lambda: self.fs.modified(full)).timestamp())
        except (OSError, NotImplementedError, KeyError):
            return None

    def names(self, folder: str) -> list[str]:
        """The names directly in a folder, sorted."""
        full = self._full(folder)
        try:
            found = self._try(folder, lambda: self._anew(lambda: self.fs.ls(full, detail=False)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        names = (str(name).rstrip("/").rsplit("/", 1)[-1] for name in found)
        return sorted({name for name in names if not is_temporary(name)})

    def files(self, folder: str, *, temporary: bool = False) -> list[str]:
        """All files below a folder, as sorted paths relative to it."""
        prefix = f"{self._full(folder)}/"
        try:
            found = self._try(folder, lambda: self._anew(lambda: self.fs.find(prefix)))
        except FileNotFoundError:
            return []
        paths = (str(name)[len(prefix) :] for name in found)
        return sorted(path for path in paths if temporary or not is_temporary(path))

    def read(self, path: str) -> bytes | None:
        """A small file's bytes, or None if it is not there."""
        try:
            return bytes(self._try(path, lambda: self.fs.cat_file(self._full(path))))
        except FileNotFoundError:
            return None

    def write(self, path: str, content: bytes, *, flush: bool = True) -> None:
        """Put a small file whole."""
        self._try(path, lambda: self.fs.pipe_file(self._full(path), content))

    def create(self, path: str, content: bytes) -> bool:
        """Put a small file under the condition that there is none."""
        try:
            self._try(path, lambda: self._pipe_new(path, content))
        except FileExistsError:
            # Perhaps our own: an earlier try got through and only its answer was lost.
            return self.read(path) == content
        return True

    def _pipe_new(self, path: str, content: bytes) -> None:
        try:
            self.fs.pipe_file(self._full(path), content, mode="create")
        except OSError as problem:
            if server_code(problem) in ("PreconditionFailed", "412"):
                raise FileExistsError(self.url(path)) from problem
            raise

    def put(self, local: Path, path: str) -> None:
        """Send a file, see that all of it arrived, and remove it here."""
        size = local.stat().st_size

        def send() -> None:
            self.fs.put_file(str(local), self._full(path))
            arrived = self.fs.info(self._full(path))["size"]
            if arrived != size:
                raise ConnectionError(f"{arrived:,} of {size:,} bytes arrived")

        self._try(path, send)
        local.unlink()

    def move_new(self, source: str, target: str) -> bool:
        """Look, copy at the server, remove the source.

        Two that move at once may both see the name free: this is no lock. Both passed the lease's
        check right before, and a file's bytes follow from the key of its unit, so the later copy
        writes what is there already; where it does not, the record's digest shows it.
        """
        if self.size(target) is not None:
            return False
        self.move(source, target)
        return True

    def move(self, source: str, target: str) -> None:
        """Copy at the server, then remove the source."""
        self.copy(source, target)
        with suppress(FileNotFoundError):
            self._try(source, lambda: self.fs.rm_file(self._full(source)))

    def copy(self, source: str, target: str) -> None:
        """A copy at the server: no byte passes through this machine."""
        self._try(target, lambda: self.fs.cp_file(self._full(source), self._full(target)))

    def flush_names(self, paths: Iterable[str]) -> None:
        """Nothing: what a server has answered to stays."""

    def remove(self, path: str) -> None:
        """Remove a file, or all that lies below a folder."""
        full = self._full(path)
        for _ in range(2):  # once more if another process removed something inside meanwhile
            try:
                self._try(path, lambda: self.fs.rm(full, recursive=True))
            except FileNotFoundError:
                if not self.exists(path):
                    return
            else:
                return

    def digest(self, path: str, *, anew: bool = False) -> str | None:
        """SHA-256; not read again, unless `anew`, while the server says it is the same object."""
        info = self._info(path)
        if info is None or info["type"] != "file":
            return None
        stamp = self._stamp(path, info)
        known = None if anew or stamp is None else digests.recall(stamp)
        if known is not None:
            return known
        digest = hashlib.sha256()
        try:
            for block in self.blocks(path, int(info["size"])):
                digest.update(block)
        except FileNotFoundError:
            return None
        if stamp is not None and self._stamp(path, self._info(path) or {}) == stamp:
            digests.remember(stamp, digest.hexdigest())
        return digest.hexdigest()

    def _stamp(self, path: str, info: dict[str, Any]) -> str | None:
        """What an object is known by: any put gives it another tag or another time."""
        if not info.get("ETag"):
            return None
        facts = (info["ETag"].strip('"'), info["size"], info.get("LastModified"))
        endpoint = getattr(self.fs, "endpoint_url", None) or ""
        return " ".join(str(fact) for fact in (endpoint, self.url(path), *facts))

    def blocks(self, path: str, size: int) -> Iterator[bytes]:
        """A file of a known size, block by block; only a block that was cut is read again.

        Raises:
            FileNotFoundError: there is no such file.
        """
        full = self._full(path)
        for start in range(0, size, _BLOCK_BYTES):
            end = min(size, start + _BLOCK_BYTES)

            def read(start: int = start, end: int = end) -> bytes:
                block = bytes(self.fs.cat_file(full, start=start, end=end))
                if len(block) != end - start:
                    raise ConnectionError(f"{len(block):,} of {end - start:,} bytes arrived")
                return block

            yield self._try(path, read)
