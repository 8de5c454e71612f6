"""Which runs an operator's commands see and choose, however many there are and will be."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound

from flows.serving.deployments import deploy, other_store
from flows.serving.operator import (
    Known,
    can_be_retried,
    cancel,
    check_may_go_on,
    choose,
    is_under_way,
    known_runs,
)
from tasks.config import Config
from tasks.errors import UserError

NOW = datetime.now(UTC)


def due_time(run: FlowRun) -> datetime:
    assert run.expected_start_time is not None
    return run.expected_start_time


class Server:
    """As much of a server as is asked: runs by when they are due."""

    def __init__(self, runs: list[FlowRun]) -> None:
        self.runs, self.told = runs, list[Any]()

    def read_flows(self) -> list[Any]:
        return []

    read_deployments = read_flows

    def read_flow_runs(self, flow_run_filter: Any, sort: Any, limit: int) -> list[FlowRun]:
        due = flow_run_filter.expected_start_time
        found = [
            run
            for run in self.runs
            if (due.before_ is None or due_time(run) <= due.before_)
            and (due.after_ is None or due_time(run) >= due.after_)
        ]
        newest_first = sort.value.endswith("DESC")
        return sorted(found, key=due_time, reverse=newest_first)[:limit]

    def set_flow_run_state(self, run: Any, state: State[Any], force: bool) -> None:
        self.told.append((run, state.type))


def flow_run(kind: StateType, hours: float, name: str | None = None) -> FlowRun:
    planned = kind == StateType.SCHEDULED and hours > 0
    when = NOW + timedelta(hours=hours)
    return FlowRun(
        id=uuid4(),
        flow_id=uuid4(),
        deployment_id=uuid4(),
        name="x",
        auto_scheduled=planned,
        expected_start_time=when,
        start_time=None if planned else when,
        state=State(type=kind, name=name),
    )


def test_cancel_ends_what_runs_and_not_what_will_start_on_sunday() -> None:
    """Every config has a `verify` that is due some day; it is not `the newest that runs`."""
    runs, planned = flow_run(StateType.RUNNING, -1), flow_run(StateType.SCHEDULED, 60)
    server: Any = Server([runs, planned])
    chosen = choose(known_runs(server, None), None, is_under_way, "end")
    assert chosen.run == str(runs.id)
    with pytest.raises(UserError, match="there is no run to end"):
        choose(known_runs(Server([planned]), None), None, is_under_way, "end")  # type: ignore


def test_schedules_of_many_configs_do_not_crowd_out_what_ran() -> None:
    """A server makes several runs of each schedule in advance."""
    ran = flow_run(StateType.FAILED, -3)
    planned = [flow_run(StateType.SCHEDULED, hours + 1) for hours in range(300)]
    server: Any = Server([ran, *planned])
    assert choose(known_runs(server, None), None, can_be_retried, "try again").run == str(ran.id)


@pytest.mark.parametrize("name", ["Late", "AwaitingConcurrencySlot", None])
def test_what_waits_is_cancelled_at_once(name: str | None) -> None:
    """No process has it, so there is none that could end it."""
    waiting = flow_run(StateType.SCHEDULED, -1, name)
    server: Any = Server([waiting])
    (known,) = known_runs(server, None)
    assert cancel(server, known) == "it will not start"
    assert server.told == [(waiting.id, StateType.CANCELLED)]


def known(**record: Any) -> Known:
    return Known("r", "letters", record["state"], None, None, "", record=record)


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"state": "done"}, "is done: only what has failed"),
        ({"state": "running"}, "is running: only what has failed"),
        ({"state": "failed", "flow": "refresh"}, "is a run of refresh"),
    ],
)
def test_a_retry_in_the_terminal_is_never_something_else(record: dict[str, Any], told: str) -> None:
    """Not a second run beside the first; and not a whole pipeline, which would be published."""
    with pytest.raises(UserError, match=told):
        check_may_go_on(known(**record))
    check_may_go_on(known(state="failed", flow="pretrain"))
    check_may_go_on(known(state="stopped"))  # by an earlier version


class Deployed:
    """A server that has a pipeline of one name, with a store."""

    def __init__(self, store: str) -> None:
        self.store = store

    def read_deployment_by_name(self, name: str) -> Any:
        if name != "pretrain/letters":
            raise ObjectNotFound(KeyError(name))
        return SimpleNamespace(parameters={"config": {"store": self.store}})


def test_a_second_pipeline_of_one_name_is_noticed() -> None:
    """Two folders each have a letters.yaml; the one deployed last would silently be both."""
    values = {"name": "letters", "store": "store", "corpus": [{"type": "docstrings"}]}
    config, server = Config.model_validate(values), Deployed("/one/store")
    asked: Any = server
    assert other_store(asked, config, Path("/one")) is None
    assert other_store(asked, config, Path("/two")) == "/one/store"
    renamed = config.model_copy(update={"name": "two"})
    assert other_store(asked, renamed, Path("/two")) is None


def test_a_time_that_no_clock_shows_is_refused_before_anything_is_registered() -> None:
    """In a sentence, and for all five deployments at once."""
    values = {"corpus": [{"type": "docstrings"}], "operations": {"prune": {"cron": "99 3 * * *"}}}
    nobody: Any = None
    with pytest.raises(UserError, match=r"operations\.prune\.cron: '99 3 \* \* \*' is no time"):
        deploy(nobody, Config.model_validate(values), Path("/"))
