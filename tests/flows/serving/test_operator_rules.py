"""Runs as an operator sees, chooses, retries and ends them: each rule by itself."""

import os
import signal
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from deployed_runs import ELSEWHERE, NOW, flow_run, record
from hand_made import GONE, hand_made_run
from prefect.client.schemas.objects import FlowRun, State, StateType

from flows.serving.operator import (
    Known,
    _deployment_names,
    _due,
    _next_planned,
    _of_server,
    _of_store,
    can_be_retried,
    cancel,
    check_may_go_on,
    choose,
    is_under_way,
    known_runs,
    retry_at_server,
)
from tasks.engine.lease import this_process
from tasks.engine.stores import open_store
from tasks.errors import UserError


def test_a_deployments_run_is_told_by_its_name_state_and_times() -> None:
    deployment = uuid4()
    run = flow_run(
        deployment_id=deployment,
        start_time=datetime(2026, 1, 2, tzinfo=UTC),
        expected_start_time=datetime(2026, 1, 1, tzinfo=UTC),
        estimated_run_time=timedelta(seconds=7),
    )
    known = _of_server(run, {deployment: "refresh/letters"})
    assert known.to_json() == {
        "run": str(run.id),
        "name": "refresh/letters",
        "state": "Running",
        "started": "2026-01-02T00:00:00+00:00",
        "seconds": 7.0,
        "message": "why",
        "known_to": "server",
    }
    run.start_time = None
    waiting = _of_server(run, {})
    assert (waiting.started, waiting.seconds) == ("2026-01-01T00:00:00+00:00", None)
    assert waiting.name == "x"


def test_what_runs_tells_its_finished_stages_and_what_has_ended_its_message(
    tmp_path: Path,
) -> None:
    def known(kind: StateType, deployment: UUID | None, keys: Mapping[str, str]) -> Known:
        parameters = {"config": {"store": str(tmp_path)}}
        run = flow_run(kind, deployment_id=deployment, parameters=parameters)
        hand_made_run(open_store(str(tmp_path)), str(run.id), keys)
        return _of_server(run, {})

    some = {"download": "d", "clean": "c"}
    assert known(StateType.RUNNING, uuid4(), some).message == "done: download, clean"
    assert known(StateType.RUNNING, uuid4(), {}).message == "begun"
    ended = known(StateType.FAILED, uuid4(), some)
    assert (ended.message, ended.record) == ("why", None), "its record may lie far away"
    own = known(StateType.FAILED, None, some)
    assert own.message == "why"
    assert own.record is not None


def test_a_run_of_the_store_alone_tells_its_problem(tmp_path: Path) -> None:
    stages = [{"name": "a", "problem": None}, {"name": "b", "problem": "no row"}]
    made = hand_made_run(open_store(str(tmp_path)), "r", stages=stages, state="failed", seconds=7.0)
    told = _of_store(made).to_json()
    assert told == {
        "run": "r",
        "name": "letters",
        "state": "failed",
        "started": made["started"],
        "seconds": 7.0,
        "message": "no row",
        "known_to": "store",
    }


class Server:
    """Runs that are due, runs that will be, and what was asked and told."""

    def __init__(self, due: list[FlowRun], planned: list[FlowRun]) -> None:
        self.due, self.planned = due, planned
        self.asked, self.told = list[Any](), list[Any]()

    def read_flow_runs(self, flow_run_filter: Any, sort: Any, limit: int) -> list[FlowRun]:
        when = flow_run_filter.expected_start_time
        self.asked.append((sort.value, limit, when.before_ is None))
        return self.planned if when.before_ is None else self.due

    def read_flows(self) -> list[Any]:
        return []

    read_deployments = read_flows

    def set_flow_run_state(self, run: Any, state: Any, force: bool) -> None:
        self.told.append((run, state.name, force))


def test_runs_of_server_and_store_are_known_once_the_newest_first(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    old, new = (
        flow_run(StateType.FAILED, expected_start_time=NOW + timedelta(days=days))
        for days in (-3, -1)
    )
    hand_made_run(store, str(old.id), started="2026-01-01")
    day = (NOW - timedelta(days=2)).isoformat()
    hand_made_run(store, "ours", started=day)
    server: Any = Server([old, new], [])
    found = known_runs(server, store)
    assert [run.run for run in found] == [str(new.id), "ours", str(old.id)]
    assert [run.flow_run is None for run in found] == [False, True, False]
    assert server.asked == [
        ("EXPECTED_START_TIME_ASC", 200, True),
        ("EXPECTED_START_TIME_DESC", 200, False),
    ]
    assert known_runs(None, None) == []
    assert [run.run for run in known_runs(None, store)][0] == "ours"


def test_of_a_schedule_only_the_next_run_is_listed_and_all_that_a_person_planned() -> None:
    one, two = uuid4(), uuid4()

    def planned(deployment: UUID, name: str = "Scheduled", by_clock: bool = True) -> FlowRun:
        state: State[Any] = State(type=StateType.SCHEDULED, name=name)
        return flow_run(deployment_id=deployment, state=state, auto_scheduled=by_clock)

    runs = [
        planned(one),
        planned(one),
        planned(two),
        planned(one, by_clock=False),
        planned(one, name="AwaitingRetry"),
        planned(two),
    ]
    server: Any = Server([], runs)
    kept = _next_planned(server)
    assert [runs.index(run) for run in kept] == [0, 2, 3, 4]
    assert _due(server) == []


def test_a_deployment_is_called_by_its_flow_and_its_own_name() -> None:
    class Client:
        def read_flows(self) -> list[Any]:
            return [type("F", (), {"id": 1, "name": "refresh"})]

        def read_deployments(self) -> list[Any]:
            return [
                type("D", (), {"id": each, "flow_id": flow, "name": "letters"})
                for each, flow in ((7, 1), (8, 2))
            ]

    client: Any = Client()
    found: dict[Any, str] = dict(_deployment_names(client))
    assert found == {7: "refresh/letters", 8: "?/letters"}


def known(run: str = "abc", state: str = "failed", **more: Any) -> Known:
    return Known(run, "letters", state, None, None, "", **more)


def test_a_run_is_chosen_by_the_beginning_of_its_id_or_the_newest_that_fits() -> None:
    runs = [known("abc", "done"), known("abd"), known("b")]
    assert choose(runs, None, can_be_retried, "try again").run == "abd"
    assert choose(runs, "abc", can_be_retried, "try again").run == "abc"
    with pytest.raises(UserError, match="ab: 2 runs with an id that begins so"):
        choose(runs, "ab", can_be_retried, "try again")
    with pytest.raises(UserError, match="bc: no run with an id"):
        choose(runs, "bc", can_be_retried, "try again")
    with pytest.raises(UserError, match="there is no run to end"):
        choose(runs, None, is_under_way, "end")


def test_the_servers_word_counts_where_it_knows_a_run() -> None:
    for kind, retried, under_way in (
        (StateType.FAILED, True, False),
        (StateType.CRASHED, True, False),
        (StateType.CANCELLED, True, False),
        (StateType.COMPLETED, False, False),
        (StateType.RUNNING, False, True),
        (StateType.PENDING, False, True),
        (StateType.SCHEDULED, False, False),
        (StateType.CANCELLING, False, False),
    ):
        for state in ("failed", "running"):
            run = known(state=state, flow_run=flow_run(kind))
            assert (can_be_retried(run), is_under_way(run)) == (retried, under_way), kind
    for state in ("failed", "stopped", "killed", "done", "running"):
        assert can_be_retried(known(state=state)) is (state in ("failed", "stopped", "killed"))
        assert is_under_way(known(state=state)) is (state == "running")


def test_only_what_has_failed_goes_back_into_the_queue() -> None:
    server: Any = Server([], [])
    assert retry_at_server(server, known()) is False
    assert retry_at_server(server, known(flow_run=flow_run(deployment_id=None))) is False
    for kind in (StateType.RUNNING, StateType.COMPLETED, StateType.SCHEDULED):
        with pytest.raises(UserError, match="only what has failed is tried again"):
            retry_at_server(server, known(flow_run=flow_run(kind)))
    assert server.told == []
    failed = flow_run(StateType.FAILED)
    assert retry_at_server(server, known(flow_run=failed)) is True
    assert server.told == [(failed.id, "AwaitingRetry", True)]
    with pytest.raises(UserError, match="its store has no record of it"):
        check_may_go_on(known())


def test_what_runs_at_the_server_is_cancelled_there() -> None:
    server: Any = Server([], [])
    for kind in (StateType.COMPLETED, StateType.FAILED, StateType.CRASHED):
        with pytest.raises(UserError, match="abc is failed already"):
            cancel(server, known(flow_run=flow_run(kind)))
    running = flow_run(StateType.RUNNING)
    assert cancel(server, known(flow_run=running)).startswith("the worker ends it")
    waiting = flow_run(StateType.SCHEDULED)
    assert cancel(server, known(flow_run=waiting)) == "it will not start"
    assert server.told == [(running.id, "Cancelling", True), (waiting.id, "Cancelled", True)]


def test_a_process_of_ours_is_told_to_end_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[Any] = []
    monkeypatch.setattr(os, "kill", lambda *given: killed.append(given))
    for state, process, told in (
        ("done", this_process(), "there is nothing to end"),
        ("running", GONE, "there is nothing to end"),
        ("running", ELSEWHERE, "runs on another; end it there"),
        ("running", None, "runs on another-machine; end it there"),
    ):
        with pytest.raises(UserError, match=told):
            cancel(None, known(record=record(state, process)))
    assert killed == []
    own = known(record=record("running", this_process()))
    assert cancel(None, own).startswith(f"process {os.getpid()} was told to end")
    assert killed == [(os.getpid(), signal.SIGTERM)]
