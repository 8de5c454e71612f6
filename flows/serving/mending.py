"""States that nobody could tell the server, made true from the store.

A run whose process was killed, or whose server was dead when it ended, is `Running` there for
ever. One whose heartbeats were late, because somebody set the clock, is `Crashed` and works on. The
store knows better: its record says how the run ended, and whose process it is.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Completed, Crashed, Failed, Running

from tasks.engine.lease import is_gone, machine
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.errors import RobertaError
from tasks.inspection.runs import RUNS, read_run, state_of

log = logging.getLogger(__name__)

_DAYS = 7
_MOST_RUNS = 200
_SILENT_SECONDS = 60.0
# Longer than a run that was told to end takes, the trainer's last checkpoint included.
_LAST_WORDS_SECONDS = 45.0
_OPEN = [StateType.RUNNING, StateType.CANCELLING, StateType.CRASHED]


def mend(client: SyncPrefectClient) -> list[tuple[FlowRun, State[Any]]]:
    """Set the state of every recent run of which the store knows better; those that were set."""
    mended = []
    for run in _open_runs(client):
        try:
            state = true_state(run)
            if state is not None:
                client.set_flow_run_state(run.id, state, force=True)
                mended.append((run, state))
        except (RobertaError, OSError, ObjectNotFound) as problem:
            # Its store cannot be read, or somebody has deleted it: the other runs are mended.
            log.debug("run %s (%s) cannot be looked at: %s", run.id, run.name, problem)
    return mended


def _open_runs(client: SyncPrefectClient) -> Iterator[FlowRun]:
    wanted = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_OPEN)),
        start_time=FlowRunFilterStartTime(after_=datetime.now(UTC) - timedelta(days=_DAYS)),
    )
    yield from client.read_flow_runs(
        flow_run_filter=wanted, sort=FlowRunSort.START_TIME_DESC, limit=_MOST_RUNS
    )


def true_state(run: FlowRun) -> State[Any] | None:
    """What a run's state is, where its record tells of another one; else None.

    The record of an earlier try says nothing of this one.
    """
    store = store_of(run)
    if store is None or run.state is None:
        return None
    record = read_run(store, str(run.id))
    written = store.modified(f"{RUNS}/{run.id}.json")
    since = run.state.timestamp.timestamp()
    is_crashed = run.state.type == StateType.CRASHED
    if record is None or written is None or not _is_of_this_try(run, record, written):
        return None
    if not _has_ended(record, written):
        if is_crashed and _is_at_work(record) and time.time() - since > _LAST_WORDS_SECONDS:
            return Running(message=f"its process {record['process']['pid']} is at work")
        return None  # it may still say so itself
    return _state_of(record, run.state.type)


def _is_of_this_try(run: FlowRun, record: Mapping[str, Any], written: float) -> bool:
    """Whether a record is of the process that the worker has started last.

    Where no worker has told of one, it is if it was written after the run came into its state; a
    clock that is set in between deceives us then.
    """
    if run.infrastructure_pid and run.infrastructure_pid.isdecimal():
        return bool(int(run.infrastructure_pid) == record["process"]["pid"])
    assert run.state is not None
    return run.state.type == StateType.CRASHED or written >= run.state.timestamp.timestamp()


def _has_ended(record: Mapping[str, Any], written: float) -> bool:
    """Whether a run's process is gone; of another machine's we know only that it is silent."""
    if _is_here(record):
        return is_gone(record["process"])
    if state_of(record) == "killed":  # this machine has been restarted since
        return True
    return record.get("state") != "running" and time.time() - written > _SILENT_SECONDS


def _is_here(record: Mapping[str, Any]) -> bool:
    return bool((record.get("process") or {}).get("machine") == machine())


def _is_at_work(record: Mapping[str, Any]) -> bool:
    """Whether a run's process, which is not gone, is ours to look at and is not stopped."""
    if record["state"] != "running" or not _is_here(record):
        return False
    with suppress(psutil.Error):
        return bool(psutil.Process(record["process"]["pid"]).status() != psutil.STATUS_STOPPED)
    return False


def _state_of(record: Mapping[str, Any], at_server: StateType) -> State[Any] | None:
    state = state_of(record)
    if state == "done":
        return Completed(message="it ended well; the server was not there to hear of it")
    if at_server == StateType.CRASHED:
        return None
    if at_server == StateType.CANCELLING:
        return Cancelled(message="it has ended; a retry goes on from the last finished unit")
    if state == "failed":
        problem = next((e["problem"] for e in record["stages"] if e.get("problem")), "it failed")
        return Failed(message=str(problem))
    if state in ("stopped", "killed"):
        how = "was stopped" if state == "stopped" else "is gone"
        return Crashed(
            message=f"its process {record['process']['pid']} {how}; a retry goes on from the last "
            "finished unit"
        )
    return None


def store_of(run: FlowRun) -> Store | None:
    """The store that a run was started with, or None."""
    config = run.parameters.get("config")
    if not isinstance(config, dict) or not isinstance(config.get("store"), str):
        return None
    try:
        return open_store(config["store"])
    except RobertaError:
        return None
