"""Leases: one run at a time works in an artifact folder, and a dead owner never blocks it.

A lease is a small file naming its owner and the time until which it holds. The owner renews
it; an owner that is known to be dead (its process is gone from this machine) or silent for too
long is replaced. Should two owners ever overlap, nothing breaks: units are pure functions of
their payload and are put whole. The lease saves work, the manifest keeps truth.
"""

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tasks.engine.store import Store

log = logging.getLogger(__name__)

LEASE = "lease.json"


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
        "process_start": psutil.Process().create_time(),
        "machine": machine(),
    }


def is_dead(owner: Mapping[str, Any]) -> bool:
    """Whether a lease no longer binds: its time is over, or its process is known to be gone."""
    return bool(owner["until"] < time.time()) or is_gone(owner)


def is_gone(owner: Mapping[str, Any]) -> bool:
    """Whether a process, as `this_process` describes it, is known to have ended."""
    if owner["machine"] != machine():
        return False
    try:
        return bool(psutil.Process(owner["pid"]).create_time() != owner["process_start"])
    except psutil.NoSuchProcess:
        return True


class Lease:
    """The right to work in one folder of the store, renewed in the background."""

    def __init__(self, store: Store, folder: str, seconds: float = 60.0) -> None:
        self.store = store
        self.path = f"{folder}/{LEASE}"
        self.seconds = seconds
        self.token = uuid.uuid4().hex
        self._stop = threading.Event()

    def current(self) -> dict[str, Any] | None:
        """Who holds the lease now, or None."""
        try:
            owner = json.loads(self.store.read(self.path) or b"null")
            return owner if isinstance(owner, dict) and {"until", "pid"} <= set(owner) else None
        except ValueError:
            return None

    def try_acquire(self) -> bool:
        """Take the lease if it is free or its owner is dead."""
        with _exclusively(self.store, self.path):
            owner = self.current()
            if owner is not None and owner["token"] != self.token and not is_dead(owner):
                return False
            if owner is not None and owner["token"] != self.token:
                log.info("taking over %s from dead process %s", self.path, owner["pid"])
            self._write()
        held = self.current()
        return held is not None and held["token"] == self.token

    def _write(self) -> None:
        owner = {
            "token": self.token,
            **this_process(),
            "until": time.time() + self.seconds,
        }
        self.store.write(self.path, json.dumps(owner).encode())

    def _renew(self) -> None:
        while not self._stop.wait(self.seconds / 4):
            owner = self.current()
            if owner is not None and owner["token"] != self.token:
                log.warning("%s: another run took over this folder", self.path)
                return
            self._write()

    @contextmanager
    def held(self, on_wait: Callable[[dict[str, Any]], None]) -> Iterator[None]:
        """Wait until the lease is ours and keep it renewed inside the `with` block.

        `on_wait` is called once, with the present owner, when there is something to wait for.
        """
        told = False
        while not self.try_acquire():
            owner = self.current()
            if owner is not None and not told:
                on_wait(owner)
                told = True
            time.sleep(0.5)
        renewer = threading.Thread(target=self._renew, name="lease", daemon=True)
        renewer.start()
        try:
            yield
        finally:
            self._stop.set()
            renewer.join()
            owner = self.current()
            if owner is not None and owner["token"] == self.token:
                self.store.remove(self.path)


@contextmanager
def _exclusively(store: Store, path: str) -> Iterator[None]:
    """On a local disk, look and take in one step; elsewhere a later look settles it."""
    if not store.is_local:
        yield
        return
    import fcntl

    lock = Path(store.url(path)).with_name(".lease.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
