"""The rules of a lease one by one: who is dead, who may take it, when an owner beats."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks.engine import lease as module
from tasks.engine.lease import (
    Lease,
    LeaseLostError,
    is_dead,
    is_gone,
    machine,
    this_process,
    was_before_restart,
)
from tasks.engine.store import Store
from tasks.engine.stores import open_store

FOLDER = "1-first/0123"
NOBODY = 2**22 - 1


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, place: Any) -> Store:
    return open_store(place(request.param)("store"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets the monotonic clock go on, without waiting."""
    passed, real = [0.0], time.monotonic

    def go_on(seconds: float) -> None:
        passed[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: real() + passed[0])
    return go_on


def write_owner(store: Store, generation: int = 1, **changes: Any) -> dict[str, Any]:
    """An owner on another host, which nobody here can look at."""
    owner = {"token": "other", **this_process(), "machine": "other", "seconds": 100.0}
    owner |= {"renewed": time.time(), "released": False, "beat": 1, **changes}
    store.write(f"{FOLDER}/.lease/{generation:08}.json", json.dumps(owner).encode())
    return owner


def owner_in(store: Store, generation: int) -> dict[str, Any]:
    content = store.read(f"{FOLDER}/.lease/{generation:08}.json")
    return dict(json.loads(content or b"{}"))


def test_an_owner_writes_who_it_is_and_how_long_it_may_be_silent(store: Store) -> None:
    lease = Lease(store, FOLDER, 77.0)
    assert lease.try_acquire()
    owner = owner_in(store, 1)
    assert owner == lease.current()
    assert abs(owner.pop("renewed") - time.time()) < 60
    assert owner == {
        "token": lease.token,
        **this_process(),
        **{"seconds": 77.0, "beat": 1, "released": False},
    }
    assert Lease(store, FOLDER).seconds == 60.0
    assert Lease(store, FOLDER).token != lease.token


def test_a_living_owner_of_this_machine_is_not_taken_over(store: Store) -> None:
    assert Lease(store, FOLDER, 100.0).try_acquire()
    second = Lease(store, FOLDER, 100.0)
    assert not second.try_acquire()
    assert store.names(f"{FOLDER}/.lease") == ["00000001.json"]


def test_who_takes_over_gets_the_next_number_and_clears_the_earlier_ones(store: Store) -> None:
    for generation in (3, 9, 10):
        write_owner(store, generation, released=True)
    store.write(f"{FOLDER}/.lease/note.txt", b"somebody's")
    lease = Lease(store, FOLDER, 100.0)
    assert lease.try_acquire()
    assert lease.generation == 11
    assert store.names(f"{FOLDER}/.lease") == ["00000011.json", "note.txt"]


def test_only_the_highest_number_owns(store: Store) -> None:
    write_owner(store, 1)
    write_owner(store, 2, released=True)
    assert Lease(store, FOLDER).current() is None
    assert Lease(store, FOLDER, 100.0).try_acquire()
    assert owner_in(store, 3)["token"] != "other"


@pytest.mark.parametrize(("silent", "taken"), [(99.0, False), (101.0, True)])
def test_an_owner_elsewhere_is_dead_when_silent_for_longer_than_its_own_length(
    store: Store, clock: Callable[[float], None], silent: float, taken: bool
) -> None:
    write_owner(store, seconds=100.0)
    mine = Lease(store, FOLDER, 1.0)
    assert not mine.try_acquire()
    clock(silent)
    assert mine.try_acquire() is taken


@pytest.mark.parametrize("change", [{"beat": 2}, {"renewed": 5.0}])
def test_every_beat_begins_the_silence_anew(
    store: Store, clock: Callable[[float], None], change: dict[str, Any]
) -> None:
    first = write_owner(store)
    mine = Lease(store, FOLDER, 100.0)
    assert not mine.try_acquire()
    clock(80.0)
    write_owner(store, **{**first, **change})
    assert not mine.try_acquire()
    clock(80.0)
    assert not mine.try_acquire()
    clock(30.0)
    assert mine.try_acquire()


def test_a_successor_begins_the_silence_anew(store: Store, clock: Callable[[float], None]) -> None:
    first = write_owner(store)
    mine = Lease(store, FOLDER, 100.0)
    assert not mine.try_acquire()
    clock(80.0)
    write_owner(store, 2, **first)
    assert not mine.try_acquire()
    clock(80.0)
    assert not mine.try_acquire()


@pytest.mark.parametrize(("passed", "beats"), [(49.0, 1), (51.0, 2)])
def test_the_fence_beats_when_half_the_length_has_passed(
    store: Store, clock: Callable[[float], None], passed: float, beats: int
) -> None:
    lease = Lease(store, FOLDER, 100.0)
    assert lease.try_acquire()
    clock(passed)
    lease.check()
    assert owner_in(store, 1)["beat"] == beats
    lease.check()
    assert owner_in(store, 1)["beat"] == beats


def test_the_fence_stops_who_has_a_successor_and_who_has_another_at_his_number(
    store: Store,
) -> None:
    lease = Lease(store, FOLDER, 100.0)
    assert lease.try_acquire()
    lease.check()
    mine = owner_in(store, 1)
    write_owner(store, 1, **{**mine, "token": "other"})
    with pytest.raises(LeaseLostError, match="another run took over here"):
        lease.check()
    write_owner(store, 1, **mine)
    lease.check()
    write_owner(store, 2, **mine)
    with pytest.raises(LeaseLostError):
        lease.check()
    store.remove(f"{FOLDER}/.lease")
    with pytest.raises(LeaseLostError):
        lease.check()


def test_a_file_that_says_nothing_is_nobodys_and_stops_the_fence(store: Store) -> None:
    lease = Lease(store, FOLDER, 100.0)
    assert lease.try_acquire()
    store.write(f"{FOLDER}/.lease/00000001.json", b"")
    assert lease.current() is None
    with pytest.raises(LeaseLostError):
        lease.check()


def test_who_is_second_to_create_the_number_does_not_have_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "create", lambda *_: False)
    assert not Lease(store, FOLDER, 100.0).try_acquire()


def test_an_owner_of_this_machine_whose_process_is_gone_is_taken_over_at_once(
    store: Store,
) -> None:
    """What it wrote has all that an owner needs, and nothing more."""
    owner = write_owner(store, **this_process() | {"pid": NOBODY})
    del owner["beat"]
    store.write(f"{FOLDER}/.lease/00000001.json", json.dumps(owner).encode())
    assert Lease(store, FOLDER, 100.0).try_acquire()


def test_a_lost_lease_is_not_renewed_and_not_given_back(store: Store) -> None:
    lease = Lease(store, FOLDER, 100.0)
    assert lease.try_acquire()
    other = write_owner(store, 1)
    lease._renew()
    lease._release()
    assert owner_in(store, 1) == other
    write_owner(store, 2)
    lease._release()
    assert owner_in(store, 1) == other


def test_a_lease_that_was_given_back_beats_no_more(store: Store) -> None:
    lease = Lease(store, FOLDER, 100.0)
    with lease.held(lambda _: None):
        assert owner_in(store, 1)["released"] is False
    after = owner_in(store, 1)
    assert after["released"] is True
    lease._renew()
    assert owner_in(store, 1) == after


def test_a_lease_is_given_back_when_its_holder_fails(store: Store) -> None:
    lease = Lease(store, FOLDER, 100.0)
    with pytest.raises(KeyError), lease.held(lambda _: None):
        raise KeyError("x")
    assert owner_in(store, 1)["released"] is True


def test_who_waits_is_told_once_of_the_owner(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    other = write_owner(store)
    told: list[dict[str, Any]] = []
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            write_owner(store, released=True)

    monkeypatch.setattr(time, "sleep", pause)
    with Lease(store, FOLDER, 100.0).held(told.append) as mine:
        assert mine.generation == 2
    assert told == [other]
    assert pauses == [0.5] * 3


def test_where_two_may_see_it_free_the_later_one_has_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store without conditions: who wrote waits for a moment and reads again."""
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        write_owner(store)

    monkeypatch.setattr(type(store), "creates_in_one_step", False)
    monkeypatch.setattr(time, "sleep", pause)
    assert not Lease(store, FOLDER, 100.0).try_acquire()
    assert pauses == [1.0]
    assert owner_in(store, 1)["token"] == "other"


def test_where_one_step_decides_nobody_waits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def pause(_: float) -> None:
        raise AssertionError("it waits")

    monkeypatch.setattr(time, "sleep", pause)
    assert Lease(store, FOLDER, 100.0).try_acquire()


@pytest.mark.parametrize(
    "missing", ["token", "pid", "machine", "process_start", "seconds", "renewed", "released"]
)
def test_an_owner_without_one_of_these_cannot_be_read(store: Store, missing: str) -> None:
    """So it counts as one that is writing just now."""
    owner = write_owner(store, released=True)
    del owner[missing]
    store.write(f"{FOLDER}/.lease/00000001.json", json.dumps(owner).encode())
    assert Lease(store, FOLDER).current() is None
    assert not Lease(store, FOLDER, 100.0).try_acquire()


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"null"])
def test_a_file_that_says_nothing_is_silent_for_the_length_of_who_waits(
    store: Store, clock: Callable[[float], None], content: bytes
) -> None:
    store.write(f"{FOLDER}/.lease/00000001.json", content)
    mine = Lease(store, FOLDER, 10.0)
    assert not mine.try_acquire()
    clock(9.0)
    assert not mine.try_acquire()
    clock(2.0)
    assert mine.try_acquire()
    assert mine.generation == 2


def test_a_process_is_gone_when_its_number_has_another_start() -> None:
    me = this_process()
    assert me["pid"] == os.getpid()
    assert not is_gone(me)
    assert is_gone({**me, "process_start": me["process_start"] + 1.0})
    assert is_gone({**me, "pid": NOBODY})
    assert not is_gone({**me, "pid": NOBODY, "machine": "other"})
    started = psutil.Process().create_time()
    assert not is_gone({**me, "process_start": started})
    assert is_gone({**me, "process_start": started + 1.0})


def test_a_process_begins_when_the_kernel_says_since_the_boot() -> None:
    """Not some other field of its line: this one is the same for as long as it lives."""
    since_boot = psutil.Process().create_time() - psutil.boot_time()
    assert abs(this_process()["process_start"] - since_boot) < 2.0


def test_a_programs_name_may_hold_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    stat = f"7 (a) 1 2 (b) S {' '.join(str(n) for n in range(4, 30))}\n"
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: stat)
    assert module._start_of(7) == 22 / os.sysconf("SC_CLK_TCK")


def test_a_machine_is_its_name_its_boot_and_its_process_namespace() -> None:
    host, boot, namespace = machine().split(" ")
    assert host == os.uname().nodename
    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert namespace == os.readlink("/proc/self/ns/pid")


def test_what_was_at_work_before_the_restart_of_its_machine() -> None:
    host, boot, namespace = machine().split(" ")
    before, after = psutil.boot_time() - 10.0, psutil.boot_time() + 10.0
    other_boot = {"machine": f"{host} other-boot {namespace}"}
    assert was_before_restart(other_boot, before)
    assert not was_before_restart(other_boot, after)
    assert not was_before_restart({"machine": f"{host} {boot} {namespace}"}, before)
    assert not was_before_restart({"machine": f"{host} {boot} pid:[1]"}, before)
    assert not was_before_restart({"machine": f"x{host} other-boot {namespace}"}, before)


@pytest.mark.parametrize(("lengths", "dead"), [(9.5, False), (10.5, True)])
def test_at_a_glance_an_owner_elsewhere_lives_for_ten_lengths(lengths: float, dead: bool) -> None:
    owner = {**this_process(), "seconds": 60.0, "renewed": time.time() - lengths * 60.0}
    assert is_dead({**owner, "machine": "other"}) is dead
    assert not is_dead(owner), "here a process is looked at, however long it was silent"
    assert is_dead({**owner, "pid": NOBODY})
