"""How a run of the command ends, whether or not the Prefect server is there to hear of it.

Prefect's flow engine tells the server each end of a run itself, and when the server is gone it
tries for minutes, several times over; so do its senders of events and log lines when the process
ends. The work is done by then and written down. So the run's own end is noted here, inside the
flow; if the server is silent at that moment, Prefect's attempts are cut short.
"""

import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas import State
from prefect.context import FlowRunContext
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Cancelled

log = logging.getLogger(__name__)

_TRIES = 2  # a server may be busy, or just being started again
_ANSWER_SECONDS = 4.0
_PAUSE_SECONDS = 1.0
_ABANDON_SECONDS = 5.0


@dataclass
class Ended:
    """How a run ended, by its own account.

    Attributes:
        record: The run's record; None: it never began.
        problem: What ended it, if it did not come to its end.
        missed: The artifacts that the server has not heard of.
        is_heard: Whether the server was told how the run ended.
    """

    record: Mapping[str, Any] | None = None
    problem: BaseException | None = None
    missed: list[str] = field(default_factory=list)
    is_heard: bool = False

    def told_missing(self) -> str | None:
        """One line about what the server does not know; None: it knows everything."""
        if self.record is None or (self.is_heard and not self.missed):
            return None
        what = [] if self.is_heard else [f"that this run is {self.record['state']}"]
        if number := len(self.missed):
            what.append(f"{number} {'artifact' if number == 1 else 'artifacts'}")
        how = "has not taken everything" if self.is_heard else "does not answer"
        return (
            f"the Prefect server at {PREFECT_API_URL.value()} {how}; it missed "
            f"{' and '.join(what)}. The store has everything."
        )


_ENDED: ContextVar[Ended | None] = ContextVar("ended", default=None)


@contextlib.contextmanager
def ending(record: Mapping[str, Any]) -> Iterator[None]:
    """Around what a flow does: note how it ended, and see whether the server is still there."""
    problem: BaseException | None = None
    try:
        yield
    except BaseException as caught:
        problem = caught
        raise
    finally:
        if (ended := _ENDED.get()) is not None:
            ended.record, ended.problem = record, problem
            # Whoever interrupts a run is waiting, and kills it before long.
            is_interrupted = not isinstance(problem, Exception | None)
            if not _server_answers(1 if is_interrupted else _TRIES):
                _cut_off()
            elif type(problem) is KeyboardInterrupt:  # a subclass is the sign of SIGTERM
                _call_cancelled()


def note_missed(artifacts: list[str]) -> None:
    """Note which artifacts the server has not heard of; in a log, where there is no command."""
    if (ended := _ENDED.get()) is not None:
        ended.missed = artifacts
    elif artifacts:
        log.warning("the Prefect server has not heard of: %s", ", ".join(artifacts))


def run_to_end(flow: Callable[..., Any], *arguments: Any, **more: Any) -> Ended:
    """Run a flow that uses `ending`, and return in seconds once its work has ended.

    Raises:
        KeyboardInterrupt: it was told to stop.
        Exception: Prefect could not even begin it.
    """
    ended = Ended()
    token = _ENDED.set(ended)
    raise_before = logging.raiseExceptions
    if not log.isEnabledFor(logging.DEBUG):
        # What cannot be sent in the background is told by us, in one line, and not event by event.
        logging.raiseExceptions = False
        logging.getLogger("prefect._internal.concurrency").disabled = True
    try:
        state = flow(*arguments, **more, return_state=True)
        ended.is_heard = True
        if ended.record is None:
            ended.problem = state.result(raise_on_failure=False)
    except Exception as problem:
        if ended.record is None:
            raise
        log.debug("the end of the run was not heard: %r", problem)
        _abandon_senders()
    finally:
        _ENDED.reset(token)
        logging.raiseExceptions = raise_before
    if isinstance(ended.problem, KeyboardInterrupt):
        raise ended.problem
    if not isinstance(ended.problem, Exception | None):
        signal.raise_signal(signal.SIGTERM)  # Prefect's own sign of it; cli's handler follows
    return ended


def _server_answers(tries: int) -> bool:
    """Whether the server says anything at all within some seconds."""
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        get_client(httpx_settings={"timeout": _ANSWER_SECONDS}, sync_client=True) as client,
    ):
        for number in range(tries):
            if number:
                time.sleep(_PAUSE_SECONDS)
            if client.api_healthcheck() is None:
                return True
    return False


def _cut_off() -> None:
    """Let the flow engine's further calls fail at once: its client is closed."""
    context = FlowRunContext.get()
    assert context is not None
    client = context.client._client
    assert isinstance(client, httpx.Client)
    client.close()


def _call_cancelled() -> None:
    """Say that a run which somebody has ended by Ctrl-C was cancelled: to Prefect it has crashed.

    The engine leaves a run as it is that has an end already.
    """
    context = FlowRunContext.get()
    assert context is not None
    run, client = context.flow_run, context.client
    assert run is not None
    assert isinstance(client, SyncPrefectClient)
    state: State[Any] = Cancelled(message="stopped by Ctrl-C; the same command goes on")
    with contextlib.suppress(Exception):  # then it is told as Prefect does it
        client.set_flow_run_state(run.id, state, force=True)
        run.state = state


def _abandon_senders() -> None:
    """Call off what Prefect would still send in the background, which the exit would wait for."""
    for kind in (EventsWorker, APILogWorker):
        for service in list(kind._instances.values()):  # type: ignore[misc]
            if isinstance(service, kind) and service._task and service._loop:
                service._loop.call_soon_threadsafe(service._task.cancel)
    end = time.monotonic() + _ABANDON_SECONDS
    for kind in (EventsWorker, APILogWorker):
        with contextlib.suppress(Exception):
            kind.drain_all(timeout=max(0.1, end - time.monotonic()))
