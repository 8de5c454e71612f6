"""Runs of deployments as a server and a store would tell of them, made by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from prefect.client.schemas.objects import FlowRun, State, StateType

from tasks.engine.lease import this_process

NOW = datetime.now(UTC)
ELSEWHERE = {**this_process(), "machine": "another boot pid:[1]"}


def flow_run(kind: StateType = StateType.RUNNING, since: float = 0, **more: Any) -> FlowRun:
    """A run of a deployment that is in a state since so many seconds ago."""
    state: State[Any] = State(type=kind, timestamp=NOW - timedelta(seconds=since), message="why")
    given = {"deployment_id": uuid4(), "state": state, "name": "x", **more}
    return FlowRun(id=uuid4(), flow_id=uuid4(), **given)


def record(state: str = "running", process: Any = None, **more: Any) -> dict[str, Any]:
    started = "2026-01-01T00:00:00+00:00"
    return {"state": state, "process": process, "started": started, "stages": [], **more}
