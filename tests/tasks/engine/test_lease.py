"""Leases: two owners never, whatever clocks, pauses and passing errors do."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks.engine import lease as module
from tasks.engine.lease import Lease, LeaseLostError, is_dead, is_gone, this_process
from tasks.engine.store import Store
from tasks.engine.stores import open_store

FOLDER = "1-first/0123"


@pytest.fixture(params=["local", "memory", "s3"])
def store(request: pytest.FixtureRequest, place: Any) -> Store:
    return open_store(place(request.param)("store"))


@contextmanager
def held(lease: Lease) -> Iterator[Lease]:
    with lease.held(lambda _: None):
        yield lease


def elsewhere(store: Store, generation: int = 1, **changes: Any) -> None:
    """An owner on another host, which nobody here can look at."""
    owner = {"token": "other", **this_process(), "machine": "other", "seconds": 0.4}
    owner |= {"renewed": time.time(), "released": False, "beat": 1, **changes}
    path = f"{FOLDER}/.lease/{generation:08}.json"
    store.write(path, json.dumps(owner).encode())


def test_one_of_two_has_it_and_the_other_after_it(store: Store) -> None:
    """The second waits, is told of the first, and gets the next number."""
    told: list[dict[str, Any]] = []
    first, second = Lease(store, FOLDER, 2.0), Lease(store, FOLDER, 2.0)
    with held(first):
        assert not second.try_acquire()
        threading.Timer(0.3, lambda: None)
        done = threading.Event()

        def wait() -> None:
            with second.held(told.append):
                second.check()
            done.set()

        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.3)
        assert not done.is_set()
    thread.join(timeout=10)
    assert done.is_set()
    assert told[0]["token"] == first.token
    assert second.generation == first.generation + 1
    assert second.current() is None


def test_of_many_at_once_one_wins(store: Store) -> None:
    """Put-if-absent decides, on a local disk and where the driver has it."""
    leases = [Lease(store, FOLDER, 4.0) for _ in range(8)]
    won: list[bool] = []
    start = threading.Barrier(len(leases))

    def take(lease: Lease) -> None:
        start.wait()
        won.append(lease.try_acquire())

    threads = [threading.Thread(target=take, args=(lease,)) for lease in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won.count(True) == 1


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_host_with_another_clock_keeps_what_it_has(store: Store, hours: int) -> None:
    """An hour before or behind: an owner that beats is alive, judged by our own clock."""
    mine = Lease(store, FOLDER, 0.4)
    for beat in range(6):
        elsewhere(store, beat=beat, renewed=time.time() + hours * 3600)
        assert not mine.try_acquire()
        time.sleep(0.15)


def test_a_clock_that_is_set_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stepping the wall clock by a day neither ends nor steals a lease."""
    with held(Lease(store, FOLDER, 1.0)) as mine:
        monkeypatch.setattr(time, "time", lambda: 0.0)
        assert not Lease(store, FOLDER, 1.0).try_acquire()
        mine.check()


def test_a_silent_owner_is_replaced_and_finds_out(store: Store) -> None:
    """It gets no further than its next check, and does not beat over its successor."""
    elsewhere(store)
    mine = Lease(store, FOLDER, 0.4)
    with held(mine):
        assert mine.generation == 2
        mine.check()
    sleeper = Lease(store, FOLDER, 0.4)
    assert sleeper.try_acquire()
    elsewhere(store, generation=sleeper.generation + 1)
    sleeper._renew()
    with pytest.raises(LeaseLostError):
        sleeper.check()
    current = Lease(store, FOLDER).current()
    assert current is not None
    assert current["token"] == "other"


def test_a_number_alone_does_not_make_an_owner(store: Store) -> None:
    """Two that wrote one number at once (a store without conditions): the last one has it."""
    mine = Lease(store, FOLDER, 0.8)
    assert mine.try_acquire()
    elsewhere(store, generation=mine.generation)
    mine._renew()
    current = mine.current()
    assert current is not None
    assert current["token"] == "other"
    with pytest.raises(LeaseLostError):
        mine.check()


def test_a_process_that_is_gone_is_replaced_at_once(store: Store) -> None:
    """Known dead on this machine: nobody waits for its silence."""
    elsewhere(store, **{**this_process(), "pid": 2**22 - 1}, seconds=3600.0)
    assert Lease(store, FOLDER, 3600.0).try_acquire()


def test_a_file_that_cannot_be_read_counts_as_an_owner(store: Store) -> None:
    """Half-written on a disk without links: it may be a second old. Silence ends it too."""
    store.write(f"{FOLDER}/.lease/00000001.json", b"")
    mine = Lease(store, FOLDER, 0.3)
    assert not mine.try_acquire()
    time.sleep(0.4)
    assert mine.try_acquire()


def test_renewal_survives_errors_that_pass(tmp_path: Path) -> None:
    """One OSError must not end it: the lease is held on, and says so to who waits."""
    store = open_store(str(tmp_path))
    mine = Lease(store, FOLDER, 0.8)
    with held(mine):
        write, failures = store.write, iter(range(2))

        def flaky(path: str, content: bytes, **options: Any) -> None:
            if next(failures, None) is not None:
                raise OSError("the network is away")
            write(path, content, **options)

        store.write = flaky  # type: ignore[method-assign]
        before = mine._beat
        time.sleep(1.2)
        assert mine._beat >= before + 3
        mine.check()
        assert not Lease(open_store(str(tmp_path)), FOLDER, 0.8).try_acquire()


def test_a_store_out_of_reach_ends_the_owner_at_the_fence(tmp_path: Path) -> None:
    """Who cannot renew for so long may have been replaced: it says nothing more."""
    store = open_store(str(tmp_path))
    mine = Lease(store, FOLDER, 0.4)
    assert mine.try_acquire()

    def broken(*_: Any, **__: Any) -> None:
        raise OSError("the network is away")

    store.write = broken  # type: ignore[method-assign]
    time.sleep(0.5)
    with pytest.raises(OSError, match="network is away"):
        mine.check()


def test_numbers_are_never_given_twice(store: Store) -> None:
    """An owner of long ago must not find its own number in force again."""
    for expected in (1, 2, 3):
        with held(Lease(store, FOLDER, 1.0)) as mine:
            assert mine.generation == expected
    assert store.names(f"{FOLDER}/.lease") == ["00000003.json"]


def test_at_a_glance_an_owner_elsewhere_is_alive_for_a_while(store: Store) -> None:
    """What `status` shows: gone processes are dead, others by how long they were silent."""
    owner = {**this_process(), "seconds": 60.0, "renewed": time.time()}
    assert not is_dead(owner)
    assert is_dead({**owner, "pid": 2**22 - 1})
    assert not is_dead({**owner, "machine": "other"})
    assert is_dead({**owner, "machine": "other", "renewed": time.time() - 3600})


def test_a_set_clock_makes_no_living_process_a_dead_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the clock is set, the kernel's time of boot moves, and processes begin elsewhen."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        living = {**this_process(), "pid": child.pid, "process_start": module._start_of(child.pid)}
        earlier = {**living, "process_start": psutil.Process(child.pid).create_time()}
        assert not is_gone(living)
        assert not is_gone(earlier), "a run of the version before still counts as alive"
        boot = psutil.boot_time()
        monkeypatch.setattr("psutil._psplatform.boot_time", lambda: boot + 3600.0)
        assert psutil.Process(child.pid).create_time() != earlier["process_start"]
        assert not is_gone(living)
        assert is_gone({**living, "process_start": living["process_start"] - 1.0})
    finally:
        child.communicate()
    assert is_gone(living)
