"""What an operator does with runs: list them, try them again, end them.

A run that the server started is the server's: it is put back into its queue, or cancelled there.
One that a person started in a terminal lives in the store alone, and its process is ours.
"""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterExpectedStartTime
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import AwaitingRetry, Cancelled, Cancelling

from flows.serving.mending import store_of
from tasks.engine.lease import is_gone, machine
from tasks.engine.store import Store
from tasks.errors import RobertaError, UserError
from tasks.inspection.runs import PRETRAIN, read_run, read_runs, state_of

_FAILED = ("failed", "stopped", "killed")
_ENDED = {StateType.FAILED, StateType.CRASHED, StateType.CANCELLED}
_UNDER_WAY = {StateType.RUNNING, StateType.PENDING}
_LIMIT = 200


@dataclass(frozen=True)
class Known:
    """A run as an operator sees it.

    Attributes:
        run: Its id.
        name: Of its deployment, such as `refresh/letters`; else of the pipeline.
        state: As the server has it, or the store where the server knows nothing of it.
        started: ISO 8601 in UTC, or None.
        seconds: How long it took or has taken.
        message: Why it is in its state, or what runs just now.
        flow_run: The server's, or None.
        record: The store's, or None.
    """

    run: str
    name: str
    state: str
    started: str | None
    seconds: float | None
    message: str
    flow_run: FlowRun | None = None
    record: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """What `roberta runs --json` tells."""
        told = ("run", "name", "state", "started", "seconds", "message")
        place = "store" if self.flow_run is None else "server"
        return {**{name: getattr(self, name) for name in told}, "known_to": place}


def known_runs(client: SyncPrefectClient | None, store: Store | None) -> list[Known]:
    """The runs of the server and those of the store that it does not know, newest first."""
    found: dict[str, Known] = {}
    if client is not None:
        names = _deployment_names(client)
        runs = [*_next_planned(client), *_due(client)]
        found = {str(run.id): _of_server(run, names) for run in runs}
    for record in read_runs(store) if store is not None else ():
        if str(record["run"]) not in found:
            found[str(record["run"])] = _of_store(record)
    return sorted(found.values(), key=lambda run: run.started or "9999", reverse=True)


def _deployment_names(client: SyncPrefectClient) -> dict[UUID, str]:
    """`flow/name` of every deployment, by its id."""
    flows = {flow.id: flow.name for flow in client.read_flows()}
    return {
        each.id: f"{flows.get(each.flow_id, '?')}/{each.name}" for each in client.read_deployments()
    }


def _due(client: SyncPrefectClient) -> list[FlowRun]:
    """The newest runs whose time has come; what schedules will start takes no place of theirs."""
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC))
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=_LIMIT,
    )


def _next_planned(client: SyncPrefectClient) -> list[FlowRun]:
    """Of what a schedule will start, only the next run of each deployment."""
    planned = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            expected_start_time=FlowRunFilterExpectedStartTime(after_=datetime.now(UTC))
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=_LIMIT,
    )
    kept: list[FlowRun] = []
    seen: set[UUID | None] = set()
    for run in planned:
        is_planned = run.auto_scheduled and run.state is not None and run.state.name == "Scheduled"
        if not is_planned or run.deployment_id not in seen:
            kept.append(run)
        if is_planned:
            seen.add(run.deployment_id)
    return kept


def _of_server(run: FlowRun, names: Mapping[UUID, str]) -> Known:
    is_running = run.state is not None and run.state.type == StateType.RUNNING
    # Of a deployment's run that has ended nobody wants the record, which may lie far away.
    record = _record_of(run) if is_running or run.deployment_id is None else None
    state = run.state.name or "" if run.state else ""
    started = run.start_time or run.expected_start_time
    took = run.estimated_run_time.total_seconds() if run.start_time else None
    message = (run.state.message or "") if run.state else ""
    if record is not None and is_running:
        done = [entry["name"] for entry in record["stages"]]
        message = f"done: {', '.join(done)}" if done else "begun"
    text = None if started is None else started.isoformat(timespec="seconds")
    name = names.get(run.deployment_id, run.name) if run.deployment_id else run.name
    return Known(str(run.id), name, state, text, took, message, run, record)


def _record_of(run: FlowRun) -> Mapping[str, Any] | None:
    """What a run's store says of it; None where that cannot be read."""
    store = store_of(run)
    try:
        return None if store is None else read_run(store, str(run.id))
    except (OSError, RobertaError):
        return None


def _of_store(record: Mapping[str, Any]) -> Known:
    problem = next((e["problem"] for e in record["stages"] if e.get("problem")), "")
    return Known(
        str(record["run"]),
        str(record["name"]),
        state_of(record),
        str(record["started"]),
        record.get("seconds"),
        problem,
        record=record,
    )


def choose(
    runs: Sequence[Known], wanted: str | None, fits: Callable[[Known], bool], what: str
) -> Known:
    """The run that was named, by its id or the beginning of it; else the newest that fits.

    Raises:
        UserError: there is none, or several begin so.
    """
    if wanted is None:
        fitting = [run for run in runs if fits(run)]
        if not fitting:
            raise UserError(f"there is no run to {what}. `roberta runs` lists those there are.")
        return fitting[0]
    fitting = [run for run in runs if run.run.startswith(wanted)]
    if len(fitting) != 1:
        found = "no run" if not fitting else f"{len(fitting)} runs"
        raise UserError(
            f"{wanted}: {found} with an id that begins so. `roberta runs` lists their ids."
        )
    return fitting[0]


def can_be_retried(known: Known) -> bool:
    """Whether it has ended otherwise than well."""
    if known.flow_run is not None:
        return known.flow_run.state is not None and known.flow_run.state.type in _ENDED
    return known.state in _FAILED


def is_under_way(known: Known) -> bool:
    """Whether it works or is just being started; what a schedule will start is not."""
    if known.flow_run is not None:
        return known.flow_run.state is not None and known.flow_run.state.type in _UNDER_WAY
    return known.state == "running"


def retry_at_server(client: SyncPrefectClient, known: Known) -> bool:
    """Put a run back into its queue, if it is of a deployment; whether it is.

    Raises:
        UserError: it has not ended, or ended well.
    """
    run = known.flow_run
    if run is None or run.deployment_id is None:
        return False
    if run.state is None or run.state.type not in _ENDED:
        raise UserError(f"{known.run} is {known.state}: only what has failed is tried again.")
    client.set_flow_run_state(run.id, AwaitingRetry(), force=True)
    return True


def check_may_go_on(known: Known) -> None:
    """Refuse to go on here with a run for which that is not the same as trying it again.

    Raises:
        UserError: its store has no record of it; it has not ended, or ended well; or it was no
            whole pipeline, so it goes on where it was started.
    """
    if known.record is None:
        raise UserError(f"{known.run}: its store has no record of it, so it cannot go on.")
    if (state := state_of(known.record)) not in _FAILED:
        raise UserError(f"{known.run} is {state}: only what has failed is tried again.")
    if (flow := known.record.get("flow") or PRETRAIN) != PRETRAIN:
        raise UserError(
            f"{known.run} is a run of {flow}, which the server has started. Start it with "
            "`roberta serve`, then `roberta retry` goes on with it there."
        )


def cancel(client: SyncPrefectClient | None, known: Known) -> str:
    """End a run; how, in words.

    Raises:
        UserError: it is not running, or not on this machine and not the server's.
    """
    run = known.flow_run
    if client is not None and run is not None and run.deployment_id is not None:
        if run.state is None or run.state.is_final():
            raise UserError(f"{known.run} is {known.state} already.")
        if run.state.type == StateType.SCHEDULED:  # no process has it yet
            client.set_flow_run_state(run.id, Cancelled(), force=True)
            return "it will not start"
        client.set_flow_run_state(run.id, Cancelling(), force=True)
        return "the worker ends it; a training writes a checkpoint first"
    record = known.record
    if record is None or state_of(record) != "running":
        raise UserError(f"{known.run} is {known.state}: there is nothing to end.")
    process = record.get("process") or {"machine": "another-machine"}
    if process["machine"] != machine() or is_gone(process):
        raise UserError(f"{known.run} runs on {process['machine'].split(' ')[0]}; end it there.")
    with suppress(ProcessLookupError):
        os.kill(process["pid"], signal.SIGTERM)
    return f"process {process['pid']} was told to end; a training writes a checkpoint first"
