"""States made true from the store: what a record tells, and when it tells nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType

from flows.serving.mending import true_state
from tasks.engine.lease import this_process
from tasks.engine.stores import open_store
from tasks.inspection.runs import RUNS, write_run

SAY = (
    "import json; from tasks.engine.lease import this_process as me; "
    "print(json.dumps(me()), flush=True)"
)


@pytest.fixture(scope="module")
def ended() -> dict[str, object]:
    """A process that is gone, as a record names it."""
    told = subprocess.run([sys.executable, "-c", SAY], stdout=subprocess.PIPE, check=True)
    process: dict[str, object] = json.loads(told.stdout)
    return process


def at_work(
    store: Path,
    since: float,
    process: dict[str, object],
    kind: StateType = StateType.RUNNING,
    started: object = None,
) -> FlowRun:
    """A run that is in a state since so many seconds ago, and its record of now: at work.

    `started` is the process that the worker has started last, unless it is the record's.
    """
    at = datetime.now(UTC) - timedelta(seconds=since)
    run = FlowRun(
        id=uuid4(),
        flow_id=uuid4(),
        state=State(type=kind, timestamp=at),
        parameters={"config": {"store": str(store)}},
        infrastructure_pid=str(started or process["pid"]),
    )
    record = {"run": str(run.id), "name": "letters", "state": "running", "stages": []}
    begun = {"started": datetime.now(UTC).isoformat(), "process": process}
    write_run(open_store(str(store)), {**record, **begun})
    return run


def test_a_run_whose_process_is_gone_has_crashed(tmp_path: Path, ended: dict[str, object]) -> None:
    """And one whose process lives is left alone."""
    state = true_state(at_work(tmp_path, 60, ended))
    assert state is not None
    assert state.type == StateType.CRASHED
    assert true_state(at_work(tmp_path, 60, this_process())) is None


@pytest.mark.parametrize("since", [5, -3600])
@pytest.mark.parametrize("kind", [StateType.RUNNING, StateType.CRASHED])
def test_the_record_of_an_earlier_try_says_nothing(
    tmp_path: Path, ended: dict[str, object], since: float, kind: StateType
) -> None:
    """The new try has not written its own yet; whatever the clock was set to."""
    assert true_state(at_work(tmp_path, since, ended, kind, started=os.getpid())) is None


def test_without_a_worker_the_times_tell(tmp_path: Path, ended: dict[str, object]) -> None:
    """A record that was written before the run came into its state is of an earlier try."""
    run = at_work(tmp_path, 5, ended)
    run.infrastructure_pid = None
    state = true_state(run)
    assert state is not None
    assert state.type == StateType.CRASHED
    before = time.time() - 30
    os.utime(tmp_path / RUNS / f"{run.id}.json", (before, before))
    assert true_state(run) is None


def test_a_clock_that_was_set_back_hides_no_dead_run(
    tmp_path: Path, ended: dict[str, object]
) -> None:
    """It came into its state an hour from now."""
    state = true_state(at_work(tmp_path, -3600, ended))
    assert state is not None
    assert state.type == StateType.CRASHED
    assert true_state(at_work(tmp_path, -3600, this_process())) is None


def test_a_run_that_only_seemed_to_have_crashed_is_running_again(
    tmp_path: Path, ended: dict[str, object]
) -> None:
    """Its heartbeats were late; one that is writing its last checkpoint is left time for it."""
    state = true_state(at_work(tmp_path, 60, this_process(), StateType.CRASHED))
    assert state is not None
    assert state.type == StateType.RUNNING
    assert true_state(at_work(tmp_path, 20, this_process(), StateType.CRASHED)) is None
    assert true_state(at_work(tmp_path, 60, ended, StateType.CRASHED)) is None


def test_a_stopped_process_is_not_at_work(tmp_path: Path) -> None:
    """Whoever stopped it may wake it, and then the run goes on."""
    command, pipe = [sys.executable, "-c", f"{SAY}; input()"], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as child:
        assert child.stdout is not None
        process = json.loads(child.stdout.readline())
        run = at_work(tmp_path, 60, process, StateType.CRASHED)
        child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
        assert true_state(run) is None
        child.send_signal(signal.SIGCONT)
        os.waitid(os.P_PID, child.pid, os.WCONTINUED)
        state = true_state(run)
        assert state is not None
        assert state.type == StateType.RUNNING
        child.communicate(b"\n")
