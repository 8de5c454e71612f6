"""States that are made true from a record: each rule by itself."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from deployed_runs import ELSEWHERE, NOW, flow_run, record
from hand_made import GONE, hand_made_run
from prefect.client.schemas.objects import StateType

from flows.serving import mending
from flows.serving.mending import (
    _has_ended,
    _is_at_work,
    _is_of_this_try,
    _open_runs,
    _state_of,
    store_of,
    true_state,
)
from tasks.engine.lease import this_process
from tasks.engine.stores import open_store


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> float:
    """The time at which it is looked, which stands still."""
    now = NOW.timestamp()
    monkeypatch.setattr(mending, "time", SimpleNamespace(time=lambda: now))
    return now


@pytest.mark.parametrize(
    ("state", "at_server", "becomes"),
    [
        ("done", StateType.RUNNING, "COMPLETED"),
        ("done", StateType.CRASHED, "COMPLETED"),
        ("done", StateType.CANCELLING, "COMPLETED"),
        ("failed", StateType.RUNNING, "FAILED"),
        ("failed", StateType.CRASHED, None),
        ("failed", StateType.CANCELLING, "CANCELLED"),
        ("stopped", StateType.RUNNING, "CRASHED"),
        ("stopped", StateType.CRASHED, None),
        ("stopped", StateType.CANCELLING, "CANCELLED"),
        ("running", StateType.RUNNING, "CRASHED"),
        ("odd", StateType.RUNNING, None),
    ],
)
def test_what_a_record_says_decides_the_state(
    state: str, at_server: StateType, becomes: str | None
) -> None:
    stages = [{"name": "a"}, {"name": "pack", "problem": "no row"}]
    found = _state_of(record(state, GONE, stages=stages), at_server)
    assert (found and found.type.value) == becomes
    if becomes == "FAILED":
        assert found is not None
        assert found.message == "no row"
    if becomes == "CRASHED":
        assert found is not None
        how = "was stopped" if state == "stopped" else "is gone"
        assert (found.message or "").startswith(f"its process {GONE['pid']} {how}; a retry goes on")


@pytest.mark.parametrize(
    ("state", "process", "silent", "ended"),
    [
        ("running", GONE, 0, True),
        ("done", GONE, 0, True),
        ("done", this_process(), 999, False),
        ("done", ELSEWHERE, 61, True),
        ("done", ELSEWHERE, 60, False),
        ("running", ELSEWHERE, 999, False),
        ("done", None, 61, True),
    ],
)
def test_a_run_has_ended_when_its_process_is_gone_or_says_so_and_is_silent(
    clock: float, state: str, process: Any, silent: float, ended: bool
) -> None:
    assert _has_ended(record(state, process), clock - silent) is ended


def test_a_record_is_of_this_try_by_its_process_or_else_by_its_time() -> None:
    run = flow_run(since=10, infrastructure_pid="1234")
    written = (NOW - timedelta(seconds=5)).timestamp()
    for pid, of_this in ((1234, True), (1235, False)):
        assert _is_of_this_try(run, record(process={"pid": pid}), 0) is of_this
    for pid_there in (None, "host:1234"):
        run.infrastructure_pid = pid_there
        own: Mapping[str, Any] = record(process={"pid": 1})
        assert _is_of_this_try(run, own, written)
        assert not _is_of_this_try(run, own, written - 6)
    assert run.state is not None
    assert _is_of_this_try(run, own, run.state.timestamp.timestamp()), "the same moment is of it"
    crashed = flow_run(StateType.CRASHED, since=0)
    assert _is_of_this_try(crashed, own, written - 6)


@pytest.mark.parametrize(
    ("state", "process", "at_work"),
    [
        ("running", this_process(), True),
        ("done", this_process(), False),
        ("running", ELSEWHERE, False),
        ("running", {**this_process(), "pid": 2**22 + 1}, False),
    ],
)
def test_only_a_process_of_ours_that_is_there_is_at_work(
    state: str, process: Any, at_work: bool
) -> None:
    assert _is_at_work(record(state, process)) is at_work


def test_open_runs_of_a_week_are_looked_at_the_newest_first() -> None:
    asked: list[Any] = []

    class Client:
        def read_flow_runs(self, **given: Any) -> list[Any]:
            asked.append(given)
            return ["a"]

    client: Any = Client()
    found: list[Any] = list(_open_runs(client))
    assert found == ["a"]
    (given,) = asked
    assert (given["sort"].value, given["limit"]) == ("START_TIME_DESC", 200)
    wanted = given["flow_run_filter"]
    kinds = {each.value for each in wanted.state.type.any_}
    assert kinds == {"RUNNING", "CANCELLING", "CRASHED"}
    days = (datetime.now(UTC) - wanted.start_time.after_).total_seconds() / 86_400
    assert days == pytest.approx(7, abs=0.01)


def test_what_no_store_tells_of_has_no_other_state(tmp_path: Path) -> None:
    assert true_state(flow_run(parameters={})) is None
    assert true_state(flow_run(parameters={"config": {"store": str(tmp_path)}})) is None
    for config in (None, "text", {}, {"store": 7}, {"store": "nodriver://x"}):
        assert store_of(flow_run(parameters={"config": config})) is None
    found = store_of(flow_run(parameters={"config": {"store": str(tmp_path)}}))
    assert found is not None
    assert found.url("") == str(tmp_path)


def test_a_crashed_run_at_work_is_left_time_for_its_last_words(
    clock: float, tmp_path: Path
) -> None:
    for since, runs in ((45, False), (46, True)):
        run = flow_run(
            StateType.CRASHED, since=since, parameters={"config": {"store": str(tmp_path)}}
        )
        hand_made_run(
            open_store(str(tmp_path)), str(run.id), state="running", process=this_process()
        )
        state = true_state(run)
        assert (state is not None and state.type == StateType.RUNNING) is runs
