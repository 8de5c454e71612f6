"""The server and the worker as children of `roberta serve`, which ends them in the right order.

Both end when their stdin ends, so neither outlives a `roberta serve` that was killed.
"""

import logging
import os
import socket
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from flows.embedded_server import START_SECONDS
from tasks.config.places import ROOTS
from tasks.errors import StageError
from tasks.processes import Child, ChildSilentError

log = logging.getLogger(__name__)

# A trainer is given 25 s to write its last checkpoint.
WORKER_SECONDS = 40.0
SERVER_SECONDS = 15.0


@dataclass(frozen=True)
class Place:
    """Where the server listens, and how it is reached from this machine."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in ("127.0.0.1", "localhost", "::1")

    @property
    def origin(self) -> str:
        """Its address for a browser on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "localhost": "127.0.0.1", "::": "::1"}.get(
            self.host, self.host
        )
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def api(self) -> str:
        """Where its API is."""
        return f"{self.origin}/api"


def free_port(host: str) -> int:
    """A port of an address that nobody listens on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listening:
        return int(listening.getsockname()[1])


def server_environment(place: Place, database: str | None, auth: str | None) -> dict[str, str]:
    """What a server for people needs beside the defaults.

    It is closed to other web pages, and to all without the password where there is one.
    """
    settings = {
        "PREFECT_UI_API_URL": "/api",
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": place.origin,
    }
    if database is not None:
        settings["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database
    if auth is not None:
        settings["PREFECT_SERVER_API_AUTH_STRING"] = auth
    return settings


def start_server(place: Place, environment: Mapping[str, str]) -> Child:
    """A server that answers.

    Raises:
        StageError: it did not come up.
    """
    arguments = ["-m", "flows.server_process", place.host, str(place.port)]
    child = Child(arguments, {"PREFECT_API_URL": "", **environment})
    try:
        if not next(child.lines_within(START_SECONDS), "").strip():
            raise StageError(
                f"the server did not start on {place.host}:{place.port}: {child.last_words()} "
                "Another --port, or PREFECT_HOME or --database put right, is the usual remedy."
            )
    except BaseException:
        child.kill()
        raise
    _drain(child)
    return child


def start_worker(pool: str, roots: list[str]) -> Child:
    """A worker for a pool that may touch only the given roots."""
    name = f"serve-{os.getpid()}"
    arguments = ["-m", "flows.serving.worker_process", pool, name]
    child = Child(arguments, {ROOTS: "\n".join(roots), "PREFECT_WORKER_QUERY_SECONDS": "3"})
    _drain(child)
    return child


def stop(child: Child, seconds: float) -> None:
    """End a child: by itself when it can."""
    child.end_input()
    try:
        child.wait(seconds)
    except ChildSilentError:
        log.warning("process %d did not end in %.0f s and is killed", child.process.pid, seconds)
    child.kill()


def _drain(child: Child) -> None:
    """Pass on what a child says; nobody else reads it."""

    def pass_on() -> None:
        for line in child.lines():
            log.debug("%s", line)

    threading.Thread(target=pass_on, daemon=True).start()


def python_command() -> str:
    """How a worker starts a flow run: with this very Python."""
    return f"{sys.executable} -m prefect.engine"
