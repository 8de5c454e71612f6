"""What an operator is told of a store's health: last good runs, who works, how long it lasts."""

import os
import shutil
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hand_made import GONE, hand_made, hand_made_run, output

from tasks.engine.lease import Lease, machine, this_process
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.inspection import health
from tasks.inspection.health import read_health

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


@pytest.fixture(autouse=True)
def _disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with a thousand bytes left."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(5000, 4000, 1000))


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat()


def test_the_last_good_run_is_the_newest_that_was_done_by_when_it_ended(store: Store) -> None:
    hand_made_run(store, "c", started=ago(hours=1), state="failed", seconds=5)
    hand_made_run(store, "b", started=ago(hours=3), seconds=3600)
    hand_made_run(store, "a", started=ago(hours=9), seconds=60)
    hand_made_run(store, "x", started=ago(hours=2), state="running", process=GONE, name="mail")
    letters, mail = read_health(store)["pipelines"]
    assert (letters["name"], letters["last_run"], letters["last_state"]) == (
        "letters",
        "c",
        "failed",
    )
    assert letters["good_age_seconds"] == pytest.approx(2 * 3600, abs=60)
    ended = datetime.fromisoformat(letters["last_good"])
    assert (datetime.now(UTC) - ended).total_seconds() == pytest.approx(2 * 3600, abs=60)
    assert (mail["last_run"], mail["last_state"]) == ("x", "killed")
    assert mail["last_good"] is mail["good_age_seconds"] is None


def test_a_lease_is_told_with_whose_it_is_while_it_is_held(store: Store) -> None:
    with Lease(store, "2-clean/ab").held(lambda _: None):
        (lease,) = read_health(store)["leases"]
    told = {"stage": "clean", "key": "ab", "pid": os.getpid(), "machine": machine()}
    assert lease == told
    assert this_process()["machine"] == machine()
    assert read_health(store)["leases"] == []


def test_the_disk_lasts_as_long_as_two_weeks_of_artifacts_say(store: Store) -> None:
    """Bytes of every stage, by the days since the oldest that counts; older ones count nothing."""
    hand_made(store, "download", "a", ended=ago(days=10), outputs=[output("x", 300)])
    hand_made(store, "pack", "b", ended=ago(days=2), outputs=[output("x", 150), output("y", 50)])
    hand_made(store, "pack", "old", ended=ago(days=15), outputs=[output("x", 10**9)])
    hand_made(store, "pack", "odd", ended="no time", outputs=[output("x", 10**9)])
    told = read_health(store)["disk"]
    assert told == {"free_bytes": 1000, "bytes_per_day": 50, "days_left": 20.0}


def test_what_was_made_within_a_day_is_a_days_worth(store: Store) -> None:
    """Else an hour's first run would fill any disk by the evening."""
    hand_made(store, "pack", "a", ended=ago(hours=1), outputs=[output("x", 100)])
    assert read_health(store)["disk"]["bytes_per_day"] == 100
    assert read_health(store)["disk"]["days_left"] == 10.0


def test_a_disk_on_which_nothing_grows_is_not_running_out(store: Store) -> None:
    hand_made(store, "pack", "a", ended=ago(days=15), outputs=[output("x", 100)])
    nothing = {"free_bytes": 1000, "bytes_per_day": 0, "days_left": None}
    assert read_health(store)["disk"] == nothing
    hand_made(store, "pack", "b", ended=ago(days=1), outputs=[])
    assert read_health(store)["disk"] == nothing


@pytest.mark.parametrize("url", ["memory://health", "absent"])
def test_a_store_without_a_disk_of_its_own_tells_of_none(url: str, tmp_path: Path) -> None:
    place = url if "://" in url else str(tmp_path / url)
    assert set(read_health(open_store(place))["disk"].values()) == {None}


def test_a_time_without_a_zone_is_taken_for_utc() -> None:
    assert health._time("2026-01-02T03:04:05") == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert health._time(None) == datetime(1970, 1, 1, tzinfo=UTC)
