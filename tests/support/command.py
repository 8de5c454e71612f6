"""The `roberta` command in processes of its own, as a user starts it.

Every process gets a mark in its environment that its children inherit, so that a test can ask
what is still running of a command whose process has gone.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
MARK = "ROBERTA_TEST_MARK"
_PREFECT = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}


@dataclass(frozen=True)
class Done:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document and nothing else."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Command:
    """`roberta` in a working folder, with a Prefect home and a configured server or none."""

    folder: Path
    home: Path
    api: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """What the processes see: nothing of the caller's own Prefect settings."""
        kept = {name: value for name, value in os.environ.items() if "PREFECT" not in name}
        server = {} if self.api is None else {"PREFECT_API_URL": self.api}
        return {
            **kept,
            "PREFECT_HOME": str(self.home),
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
            "ROBERTA_CACHE": str(self.folder / "cache"),
            "PYTHONPATH": str(ROOT),
            **server,
            **self.variables,
        }

    def start(self, *arguments: str | Path, mark: str = "", **options: Any) -> Any:
        """A running command, its output in pipes."""
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment() | {MARK: mark or new_mark()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def __call__(self, *arguments: str | Path, timeout: float = 200, **options: Any) -> Done:
        """Run a command to its end."""
        mark = new_mark()
        process = self.start(*arguments, mark=mark, **options)
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            end_all(mark)
        return Done(process.returncode, out, err)


def new_mark() -> str:
    """A mark that no other process has."""
    return uuid.uuid4().hex


def processes_with(mark: str) -> list[psutil.Process]:
    """All processes that carry a mark."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def left_after(mark: str, seconds: float) -> list[list[str]]:
    """The command lines of those still running after at most so many seconds."""
    end = time.monotonic() + seconds
    while (left := processes_with(mark)) and time.monotonic() < end:
        time.sleep(0.1)
    return [process.cmdline() for process in left]


def end_all(mark: str) -> None:
    """Kill whatever carries a mark; a test that fails leaves nothing behind."""
    for process in processes_with(mark):
        with contextlib.suppress(psutil.Error):
            process.kill()


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def prefect_server(home: Path, start_seconds: float = 120) -> Iterator[str]:
    """A real `prefect server` on a free port; the address of its API."""
    port = free_port()
    mark = new_mark()
    kept = {name: value for name, value in os.environ.items() if "PREFECT" not in name}
    api = f"http://127.0.0.1:{port}/api"
    settings = {**_PREFECT, "PREFECT_HOME": str(home), "PREFECT_UI_API_URL": api}
    log = (home / "server.log").open("w")
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, "--port", str(port)],
        env={**kept, **settings, MARK: mark},
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + start_seconds
        while not _answers(f"{api}/health"):
            told = (home / "server.log").read_text()
            assert process.poll() is None, told
            assert time.monotonic() < end, told
            time.sleep(0.2)
        yield api
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        end_all(mark)
        process.wait()
        log.close()


def server_process(api: str) -> psutil.Process:
    """The server's own process, of a `prefect_server` of ours."""
    port = api.removesuffix("/api").rsplit(":", 1)[1]
    found = [p for p in psutil.process_iter(["cmdline"]) if port in (p.info["cmdline"] or [])]
    (process,) = [p for p in found if p.parent() not in found]
    return process


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def ask(api: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """One question to Prefect's REST API."""
    request = urllib.request.Request(
        f"{api}/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)
