"""Leases: one run at a time works in an artifact folder, and a dead owner never blocks it.

    .lease/00000001.json   released            every owner has a number of its own, taken by
    .lease/00000002.json   fell silent         writing a file that must not exist yet: of two
    .lease/00000003.json   ◀── the owner       that try at once one wins

An owner beats: it rewrites its own file, never another's, so one that was paused and woke cannot
renew over its successor. Who waits judges silence by its own monotonic clock: a beat that has
not changed for a lease's length is dead, whatever the clocks of two hosts say. A process of
this machine that is gone is dead at once.

Before every word that counts (a unit's file, a record, a manifest) the owner calls `check`: the
fence. An owner that has lost its lease says nothing more.
"""

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tasks.engine.store import Store
from tasks.errors import RobertaError, StageError

log = logging.getLogger(__name__)

LEASES = ".lease"
SECONDS = 60.0
_POLL_SECONDS = 0.5
_SETTLE_SECONDS = 1.0
# At a glance, without watching it beat, an owner elsewhere counts as alive for so many lengths.
_GLANCE_LENGTHS = 10
# Field 22 of /proc/<pid>/stat, counted from the third, which follows the program's name.
_START_TICKS = 19
# A start beyond this is one since 1970: where there is no /proc, and what earlier versions wrote.
_EPOCH_SECONDS = 1e9


class LeaseLostError(StageError):
    """Another run has taken over what this one was working on."""


def machine() -> str:
    """What a process id is unique in: the host name, its boot and its process namespace."""
    parts = [socket.gethostname()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:
        parts.append(str(int(psutil.boot_time())))
    return " ".join(parts)


def this_process() -> dict[str, Any]:
    """What tells this process from every other one, here and on other machines."""
    return {
        "pid": os.getpid(),
        "process_start": _start_of(os.getpid()),
        "machine": machine(),
    }


def is_gone(owner: Mapping[str, Any]) -> bool:
    """Whether a process, as `this_process` describes it, is known to have ended."""
    if owner["machine"] != machine():
        return False
    try:
        if owner["process_start"] > _EPOCH_SECONDS:
            return bool(psutil.Process(owner["pid"]).create_time() != owner["process_start"])
        return bool(_start_of(owner["pid"]) != owner["process_start"])
    except psutil.NoSuchProcess:
        return True


def _start_of(pid: int) -> float:
    """When a process began: seconds since the boot where the system tells, else since 1970.

    The kernel's own count, because since 1970 a living process would begin at another time when
    somebody sets the clock, and be taken for another one.

    Raises:
        psutil.NoSuchProcess: there is none.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return float(psutil.Process(pid).create_time())
    fields = stat.rpartition(")")[2].split()  # the program's name may hold anything
    return int(fields[_START_TICKS]) / os.sysconf("SC_CLK_TCK")


def was_before_restart(owner: Mapping[str, Any], when: float) -> bool:
    """Whether this machine has been restarted since a process of it was at work at a time.

    It is known by its host name alone, which two machines may share, so no lease rests on this.
    """
    host, _, boot = str(owner["machine"]).partition(" ")
    here, _, now = machine().partition(" ")
    is_other_boot = boot.partition(" ")[0] != now.partition(" ")[0]
    return host == here and is_other_boot and when < float(psutil.boot_time())


def is_dead(owner: Mapping[str, Any]) -> bool:
    """Whether an owner seems dead at one look, for those who only want to tell people.

    The clocks of two hosts may differ, so nothing that decides may rest on this.
    """
    if is_gone(owner):
        return True
    silent = time.time() - float(owner["renewed"])
    return owner["machine"] != machine() and silent > _GLANCE_LENGTHS * float(owner["seconds"])


class Lease:
    """The right to work in one folder of the store, renewed in the background.

    Args:
        store: Where the folder lies.
        folder: What is leased.
        seconds: An owner that has not beaten for so long has lost it; SECONDS unless given.
    """

    def __init__(self, store: Store, folder: str, seconds: float | None = None) -> None:
        self.store = store
        self.folder = f"{folder}/{LEASES}"
        self.seconds = SECONDS if seconds is None else seconds
        self.token = uuid.uuid4().hex
        self.generation = 0
        self._beat = 0
        self._renewed = 0.0
        self._stop = threading.Event()
        self._writing = threading.Lock()
        self._watched: tuple[int, bytes, float] | None = None

    def _path(self, generation: int) -> str:
        return f"{self.folder}/{generation:08}.json"

    def _generations(self) -> list[int]:
        names = (name.removesuffix(".json") for name in self.store.names(self.folder))
        return sorted(int(name) for name in names if name.isdecimal())

    def _latest(self) -> tuple[int, bytes]:
        """The highest generation and what its owner wrote last; (0, nothing) for none."""
        generations = self._generations()
        if not generations:
            return 0, b""
        return generations[-1], self.store.read(self._path(generations[-1])) or b""

    def current(self) -> dict[str, Any] | None:
        """Who holds the lease now, or None."""
        owner = _owner_in(self._latest()[1])
        return None if owner is None or owner["released"] else owner

    def try_acquire(self) -> bool:
        """Take the lease if it is free or its owner is dead."""
        latest, content = self._latest()
        if latest and not self._is_over(latest, content):
            return False
        if not self.store.create(self._path(latest + 1), self._content()):
            return False
        self.generation, self._renewed = latest + 1, time.monotonic()
        if not self.store.creates_in_one_step:
            # Both of two writers may have seen it free: the last one has it.
            time.sleep(min(_SETTLE_SECONDS, self.seconds / 4))
        if not self._is_ours():
            return False
        for generation in self._generations():
            if generation < self.generation:
                self.store.remove(self._path(generation))
        return True

    def _is_over(self, latest: int, content: bytes) -> bool:
        """Whether an owner gave the lease back, is gone, or has been silent for its length."""
        owner = _owner_in(content)
        if owner is not None and (owner["released"] or is_gone(owner)):
            if not owner["released"]:
                log.info("taking over %s from dead process %s", self.folder, owner["pid"])
            return True
        if self._watched is None or self._watched[:2] != (latest, content):
            self._watched = (latest, content, time.monotonic())
        length = self.seconds if owner is None else float(owner["seconds"])
        if time.monotonic() - self._watched[2] <= length:
            return False
        pid = "?" if owner is None else owner["pid"]
        log.warning("taking over %s: process %s fell silent", self.folder, pid)
        return True

    def _content(self, *, released: bool = False) -> bytes:
        self._beat += 1
        owner = {
            "token": self.token,
            **this_process(),
            "seconds": self.seconds,
            "beat": self._beat,
            "renewed": time.time(),
            "released": released,
        }
        return json.dumps(owner).encode()

    def _is_ours(self) -> bool:
        latest, content = self._latest()
        owner = _owner_in(content)
        return latest == self.generation and owner is not None and owner["token"] == self.token

    def check(self) -> None:
        """The fence: to be passed before anything is put, recorded or published.

        Raises:
            LeaseLostError: another run has the lease.
        """
        if time.monotonic() - self._renewed > self.seconds / 2:
            self._renew()
        if not self._is_ours():
            raise LeaseLostError(
                f"{self.store.url(self.folder)}: another run took over here while this one was "
                "paused or cut off from the store. Nothing of this run was recorded after that; "
                "run the same command again, and it will wait for the other one."
            )

    def _renew(self) -> None:
        """Beat once, unless the lease is lost.

        Raises:
            OSError, StageError: the store cannot be reached.
        """
        with self._writing:
            if self._stop.is_set() or not self._is_ours():
                return
            self.store.write(self._path(self.generation), self._content(), flush=False)
            self._renewed = time.monotonic()

    def _keep_renewing(self) -> None:
        while not self._stop.wait(self.seconds / 4):
            try:
                self._renew()
            except Exception as problem:  # whatever a remote driver raises, it may pass
                log.warning("%s: not renewed, trying again: %s", self.folder, problem)

    @contextmanager
    def held(self, on_wait: Callable[[dict[str, Any]], None]) -> Iterator["Lease"]:
        """Wait until the lease is ours and keep it renewed inside the `with` block.

        `on_wait` is called once, with the present owner, when there is something to wait for.
        """
        told = False
        while not self.try_acquire():
            owner = self.current()
            if owner is not None and not told:
                on_wait(owner)
                told = True
            time.sleep(min(_POLL_SECONDS, self.seconds / 4))
        renewer = threading.Thread(target=self._keep_renewing, name="lease", daemon=True)
        renewer.start()
        try:
            yield self
        finally:
            self._stop.set()
            renewer.join()
            self._release()

    def _release(self) -> None:
        """Say that the folder is free. The file stays: a number is never given twice."""
        # If it fails, the beat ends and that says it too.
        with suppress(OSError, RobertaError), self._writing:
            if self._is_ours():
                content = self._content(released=True)
                self.store.write(self._path(self.generation), content, flush=False)


def _owner_in(content: bytes) -> dict[str, Any] | None:
    """What an owner wrote, or None if it cannot be read (yet)."""
    try:
        owner = json.loads(content)
    except ValueError:
        return None
    wanted = {"token", "pid", "machine", "process_start", "seconds", "renewed", "released"}
    return owner if isinstance(owner, dict) and wanted <= set(owner) else None
