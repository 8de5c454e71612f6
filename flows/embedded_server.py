"""A Prefect server for one command, where none is configured: quiet, offline, never orphaned.

    this process ──stdin (its end means: stop)──▶ server
                 ◀─stdout, its port once it is ready─

Prefect has such a server of its own, but SIGTERM or `kill -9` of the command would leave it
running for ever, and Ctrl-C would end it before the run's last state is told. Ours is a child
in its own session: it ends when its stdin ends, however this process goes.

It serves the user's own Prefect database, secrets among it, on a port that every process and
every web page on this machine can find. So it asks for a password that is drawn anew each time
and that only this process and its children know.
"""

import contextlib
import os
import secrets
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from tasks.errors import StageError, UserError
from tasks.processes import Child, ChildSilentError

# What a run needs of Prefect without a configured server. Whatever the user has set wins.
DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # Small batches keep the last task states from being lost at exit. Whole seconds: Prefect
    # cuts a fraction to 0 and the server then spins on one core.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}
_OURS = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")
START_SECONDS = 120.0
_STOP_SECONDS = 15.0


@contextlib.contextmanager
def prefect_api() -> Iterator[Callable[[], None]]:
    """Inside the `with` block there is a Prefect API: the configured one, or a server of ours.

    The server takes seconds to start, so the block begins at once and is given a function that
    waits for it; call that before the first flow run.

    Raises:
        UserError: PREFECT_HOME cannot be written.
        StageError: the server did not start, or the configured one does not answer.
    """
    set_defaults()
    from flows.serving.address import use_served_api

    url = use_served_api()
    if url is not None:
        yield lambda: _check_answers(url)
        return
    check_home()
    password = f"run:{secrets.token_urlsafe(32)}"
    own = {
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
        "PREFECT_SERVER_API_AUTH_STRING": password,
        # No page is served to anybody, so none may ask from elsewhere.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "http://nobody.invalid",
        "PREFECT_SERVER_UI_ENABLED": "false",
    }
    with Child(["-m", "flows.server_process"], own) as server, _set_back(*_OURS):
        try:
            yield lambda: _use(server, password)
        finally:
            # After Ctrl-C too: what is held back would be sent at exit, to a server that is gone.
            # One that nobody has used has nothing to write down: it is killed.
            with contextlib.ExitStack() as ending:
                if os.environ.get("PREFECT_API_AUTH_STRING") == password:
                    ending.callback(_stop, server)
                _drain()


@contextlib.contextmanager
def _set_back(*names: str) -> Iterator[None]:
    """Leave environment variables as they were before the block."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def set_defaults() -> None:
    """What we need of Prefect, before it is imported; whatever the user has set wins."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    # `check_home` says it with what to do, and not with a line of Prefect's code.
    warnings.filterwarnings("ignore", "Failed to create the Prefect home", UserWarning)


def _check_answers(url: str) -> None:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        problem = client.api_healthcheck()
    if problem is not None:
        raise StageError(
            f"the Prefect server at {url} does not answer: {problem}. Start it, correct "
            "PREFECT_API_URL, or unset it to run with a server of this command's own."
        )


def check_home() -> None:
    """Look whether Prefect can keep its records.

    Raises:
        UserError: PREFECT_HOME cannot be written.
    """
    from prefect.settings import get_current_settings

    home = Path(get_current_settings().home)
    try:
        # Its database has the user's secrets, and the key to them.
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as problem:
        raise UserError(
            f"PREFECT_HOME: {home} cannot be written: {problem}. Prefect keeps its records of "
            "runs there; set PREFECT_HOME to a folder that can be written."
        ) from problem


def _use(server: Child, password: str) -> None:
    """Wait until the server is ready and make it this process's Prefect API."""
    from prefect.context import refresh_global_settings_context

    port = next(server.lines_within(START_SECONDS), "").strip()
    if not port:
        raise StageError(
            f"the embedded Prefect server did not start: {server.last_words()} Check PREFECT_HOME "
            "(`~/.prefect`), or set PREFECT_API_URL to a server that runs."
        )
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{int(port)}/api"
    os.environ["PREFECT_API_AUTH_STRING"] = password
    refresh_global_settings_context()


def _drain() -> None:
    """Send what Prefect still holds back in this process, if it ever ran: states and log lines."""
    if "prefect.flow_engine" not in sys.modules:
        return
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for service in (EventsWorker, APILogWorker):
        service.drain_all(timeout=5)


def _stop(server: Child) -> None:
    """End the server: by itself when it can, so that it writes down what it has heard."""
    server.end_input()
    with contextlib.suppress(ChildSilentError):  # then it is killed
        server.wait(_STOP_SECONDS)
