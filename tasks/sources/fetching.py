"""The unit that fetches one file over http(s), whatever the server does on the way.

    ask ──▶ 200/206: append to the partial file ──▶ complete? ──▶ size and digest right? ──▶ done
     ▲                                                │ no            │ no: once more from zero
     └── wait 1, 2, 4 ... s ◀── 5xx, 429, cut off ◀───┘

The partial file lies in the user's cache folder under the address's hash, so it outlives this
process. It is continued only if the server confirms (If-Range) that the file is the same one,
or if a known digest will tell; else it is fetched from the start.
"""

import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from tasks.config.corpus import HttpSource, RemoteFile
from tasks.engine.digests import cache_folder
from tasks.engine.files import without_links, write_whole
from tasks.engine.identity import file_digest
from tasks.engine.units import UnitReport, UnitWork
from tasks.errors import StageError, TransientError, UserError
from tasks.sources.http_answers import Access, Answer, StartOver, TryAgain, open_answer

log = logging.getLogger(__name__)

RAW = ".raw"
_LONGEST_WAIT_SECONDS = 60.0
_LONGEST_RETRY_AFTER_SECONDS = 600.0
_SENDABLE = re.compile(r"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?")


@dataclass(frozen=True)
class RetryPolicy:
    """How to ask, and how long. Never part of a fetch's identity: it changes no byte.

    `headers_from_env` and `query_from_env` name environment variables; their values are looked
    up in the process that fetches and are written nowhere.
    """

    headers_from_env: Mapping[str, str]
    query_from_env: Mapping[str, str]
    attempts: int
    backoff_seconds: float
    timeout_seconds: float
    max_file_bytes: int
    private_redirects: bool

    def identity(self) -> None:
        """Nothing."""
        return

    @classmethod
    def of(cls, source: HttpSource) -> "RetryPolicy":
        """That of a source."""
        return cls(**{field.name: getattr(source, field.name) for field in fields(cls)})

    def access(self) -> Access:
        """How a server is asked, with the secret values.

        Raises:
            UserError: an environment variable is not set, or holds what cannot be sent.
        """
        return Access(
            _secrets(self.headers_from_env, "headers_from_env"),
            _secrets(self.query_from_env, "query_from_env"),
            self.timeout_seconds,
            self.private_redirects,
        )

    def wait_seconds(self, failures: int, retry_after: float | None) -> float:
        """How long to wait after that many failures in a row."""
        backoff = min(self.backoff_seconds * 2.0 ** (failures - 1), _LONGEST_WAIT_SECONDS)
        return max(backoff, min(retry_after or 0.0, _LONGEST_RETRY_AFTER_SECONDS))


def _secrets(names: Mapping[str, str], field: str) -> dict[str, str]:
    """The values of variables without the line end that files of secrets have; never shown."""
    found = {}
    for name, variable in names.items():
        if variable not in os.environ:
            raise UserError(
                f"the environment variable {variable} is not set, which the source's "
                f"`{field}` names. Set it and run the same command again."
            )
        value = os.environ[variable].strip()
        # What no header can carry would be refused by libraries, with the value in their words.
        if not _SENDABLE.fullmatch(value):
            raise UserError(
                f"the environment variable {variable}, which the source's `{field}` names, is "
                "empty or holds a line break, a control character or one beyond ASCII. Set it to "
                "the secret alone and run the same command again."
            )
        found[name] = value
    return found


def fetch(work: UnitWork, *, remote: RemoteFile, patience: RetryPolicy) -> UnitReport:
    """Fetch one file into `<label>.raw`; `patience` is called so in the keys of units.

    Raises:
        UserError: the server says that there is no such file or that we may not have it.
        StageError: the server did not give a whole, right file in all attempts, or sends more
            than it may.
    """
    with Partial.locked(remote.url) as partial:
        _complete(partial, remote, patience)
        shutil.move(partial.path, work.path(RAW))
        partial.remove()
    size = work.path(RAW).stat().st_size
    return UnitReport(summary={"url": remote.url, "bytes": size})


def _complete(partial: "Partial", remote: RemoteFile, policy: RetryPolicy) -> None:
    """Fetch until the file is whole and right; a whole but wrong one is tried once more."""
    for is_last in (False, True):
        _fetch_whole(partial, remote, policy)
        wrong = _what_is_wrong(partial, remote)
        if wrong is None:
            return
        partial.remove()
        log.warning("%s: %s%s", remote.url, wrong, "" if is_last else "; fetching it once more")
    raise StageError(
        f"{remote.url}: fetched twice in full, and both times {wrong}. Correct the source's "
        "`sha256` and `bytes` if the file was replaced on purpose; nothing was used of it."
    )


def _what_is_wrong(partial: "Partial", remote: RemoteFile) -> str | None:
    size = partial.size()
    if remote.bytes is not None and size != remote.bytes:
        return f"it has {size:,} bytes instead of {remote.bytes:,}"
    if remote.sha256 is not None and (found := file_digest(partial.path)) != remote.sha256:
        return f"its SHA-256 is {found} instead of {remote.sha256}"
    return None


def _fetch_whole(partial: "Partial", remote: RemoteFile, policy: RetryPolicy) -> None:
    failures, furthest = 0, partial.size()
    while True:
        try:
            _fetch_rest(partial, remote, policy)
            return
        except TryAgain as problem:
            # Getting further than ever is progress: a long file on a bad line does arrive.
            failures = 1 if partial.size() > furthest else failures + 1
            furthest = max(furthest, partial.size())
            if failures >= policy.attempts:
                raise TransientError(
                    f"{remote.url}: given up after {failures} attempts in a row without progress; "
                    f"the last one: {problem}. The {partial.size():,} bytes that arrived are kept; "
                    "run the same command again to go on from there."
                ) from problem
            wait = policy.wait_seconds(failures, problem.retry_after)
            log.info("%s: %s; next attempt in %.1f s", remote.url, problem, wait)
            time.sleep(wait)


def _fetch_rest(partial: "Partial", remote: RemoteFile, policy: RetryPolicy) -> None:
    """One attempt to get what is missing; raises `TryAgain` if some still is."""
    offset, validator = partial.resume_point(digest_known=remote.sha256 is not None)
    try:
        with open_answer(remote.url, policy.access(), offset, validator) as answer:
            if answer.total is not None:
                _check_size(partial, remote, policy, answer.total, is_all=True)
            if answer.is_complete:
                return
            if answer.offset == 0:
                partial.begin(answer.validator)
            _write_body(partial, remote, policy, answer)
    except StartOver:
        partial.remove()
        raise
    expected = remote.bytes if answer.total is None else answer.total
    if expected is not None and partial.size() < expected:
        raise TryAgain(f"the body ended after {partial.size():,} of {expected:,} bytes")


def _write_body(
    partial: "Partial", remote: RemoteFile, policy: RetryPolicy, answer: Answer
) -> None:
    """Append what is sent, and stop as soon as it is more than it may be."""
    size = partial.size()
    with open(partial.path, "ab", opener=without_links) as file:
        for block in answer.response.iter_raw():
            size += len(block)
            _check_size(partial, remote, policy, size, is_all=False)
            file.write(block)
            file.flush()


def _check_size(
    partial: "Partial", remote: RemoteFile, policy: RetryPolicy, size: int, *, is_all: bool
) -> None:
    """Give up on a file that is not of the configured size, or too large: asking again is vain."""
    if remote.bytes is not None:
        if size > remote.bytes or (is_all and size != remote.bytes):
            partial.remove()
            known = f"it has {'' if is_all else 'more than '}{size:,} bytes instead of"
            raise StageError(
                f"{remote.url}: {known} {remote.bytes:,}. Correct the source's `bytes` if the file "
                "was replaced on purpose; nothing was used of it."
            )
    elif size > policy.max_file_bytes:
        partial.remove()
        raise UserError(
            f"{remote.url}: the file is larger than {policy.max_file_bytes:,} bytes, the source's "
            "`max_file_bytes`. Raise that, or give the file's own `bytes`."
        )


class Partial:
    """What has arrived of one address so far, and by what the server knows that version."""

    def __init__(self, url: str) -> None:
        folder = cache_folder() / "http"
        folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(url.encode()).hexdigest()[:32]
        self.path = folder / f"{name}.part"
        self._notes = folder / f"{name}.json"
        self._lock = folder / f"{name}.lock"

    @classmethod
    @contextmanager
    def locked(cls, url: str) -> Iterator["Partial"]:
        """The partial file of an address, for this process alone; freed when it ends."""
        partial = cls(url)
        with open(partial._lock, "ab", opener=without_links) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield partial

    def size(self) -> int:
        """Bytes that have arrived."""
        return self.path.stat().st_size if self.path.exists() else 0

    def resume_point(self, digest_known: bool) -> tuple[int, str | None]:
        """(offset, validator) to go on from; offset 0 if nothing could prove the sameness."""
        try:
            validator = json.loads(self._notes.read_text()).get("validator")
        except (OSError, ValueError, AttributeError):
            validator = None
        return (self.size(), validator) if validator or digest_known else (0, None)

    def begin(self, validator: str | None) -> None:
        """Start from zero with this version; the old bytes go before the new name is noted."""
        self.remove()
        write_whole(self._notes, json.dumps({"validator": validator}).encode(), flush=False)

    def remove(self) -> None:
        """Forget all of it."""
        for path in (self.path, self._notes):
            Path(path).unlink(missing_ok=True)
