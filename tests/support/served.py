"""A real `roberta serve`, and what an operator or a browser asks of it."""

import json
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil
from command import Command, end_all, new_mark, processes_with
from tiny_pipeline import merged

LONG = {"steps": 100_000, "checkpoint_steps": 20}
"""A training that does not end by itself."""

ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass
class Served:
    """A running `roberta serve`.

    Attributes:
        command: `roberta` beside it: same folder, same Prefect home.
        process: The `serve` itself.
        origin: Where it serves.
        mark: What its processes carry, see `command`.
        said: The lines it has printed.
        readers: The threads that take them down.
    """

    command: Command
    process: "subprocess.Popen[str]"
    origin: str
    mark: str
    said: list[str]
    headers: Mapping[str, str]
    readers: list[threading.Thread]

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """One question to the API; the answer as JSON."""
        status, answer = self.request(f"/api/{path}", body, method)
        assert status < 300, (status, answer)
        return json.loads(answer) if answer else None

    def request(self, path: str, body: Any = None, method: str | None = None) -> tuple[int, str]:
        """One request to anything that is served: status and text."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **self.headers}
        if data is not None or method not in (None, "GET"):
            client = "served-tests"
            token = self._get(f"/api/csrf-token?client={client}")
            if token[0] == 200:
                headers |= {
                    "Prefect-Csrf-Token": json.loads(token[1])["token"],
                    "Prefect-Csrf-Client": client,
                }
        wanted = urllib.request.Request(f"{self.origin}{path}", data, headers, method=method)
        for _ in range(20):  # SQLite is busy; a browser's user would press the button again
            status, answer = _answer(wanted)
            if status != 503:
                break
            time.sleep(0.5)
        return status, answer

    def _get(self, path: str) -> tuple[int, str]:
        return _answer(urllib.request.Request(f"{self.origin}{path}", headers=dict(self.headers)))

    def deployment(self, name: str) -> dict[str, Any]:
        """One deployment by `flow/name`."""
        found: dict[str, Any] = self.ask(f"deployments/name/{name}")
        return found

    def config_with(self, **changes: Any) -> dict[str, Any]:
        """The config deployed as `letters` with some fields changed, as its form would send it."""
        found = self.deployment("pretrain/letters")["parameters"]["config"]
        return merged(found, changes)

    def trainers(self) -> list[psutil.Process]:
        """The training processes of its runs."""
        module = "roberta_model.training.process"
        return [process for process in processes_with(self.mark) if module in process.cmdline()]

    def start(self, name: str, **parameters: Any) -> str:
        """Start a deployment as its form does; the run's id."""
        deployment = self.deployment(name)
        body = {"parameters": {**deployment["parameters"], **parameters}}
        return str(self.ask(f"deployments/{deployment['id']}/create_flow_run", body)["id"])

    def run(self, run: str) -> dict[str, Any]:
        """A flow run as the server has it."""
        found: dict[str, Any] = self.ask(f"flow_runs/{run}")
        return found

    def wait(self, run: str, *states: str, seconds: float = 120) -> dict[str, Any]:
        """Wait until a run is in one of the states (default: ended)."""
        wanted = states or ENDED
        ended: dict[str, Any] = self.until(
            lambda: found if (found := self.run(run))["state_type"] in wanted else None, seconds
        )
        return ended

    def until(self, look: Callable[[], Any], seconds: float = 60) -> Any:
        """Wait for something to be true; what it was."""
        end = time.monotonic() + seconds
        while not (found := look()):
            assert time.monotonic() < end, "\n".join(self.said[-40:])
            time.sleep(0.25)
        return found

    def stages(self, run: str) -> dict[str, str]:
        """How each stage of a run ended, by its name; of its last try."""
        body = {"flow_runs": {"id": {"any_": [run]}}, "sort": "EXPECTED_START_TIME_ASC"}
        return {task["name"]: task["state_name"] for task in self.ask("task_runs/filter", body)}


def _answer(request: urllib.request.Request) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status), answer.read().decode()
    except urllib.error.HTTPError as problem:
        return problem.code, problem.read().decode(errors="replace")


@contextmanager
def served(
    command: Command, *arguments: str | Path, headers: Mapping[str, str] | None = None
) -> Iterator[Served]:
    """Start `roberta serve` on a free port; ended, if it still runs, as Ctrl-C would."""
    running = begin(command, *arguments, headers=headers)
    try:
        yield running
    finally:
        end(running)


def begin(
    command: Command,
    *arguments: str | Path,
    port: int = 0,
    headers: Mapping[str, str] | None = None,
) -> Served:
    """Start `roberta serve` and wait until it serves; whoever calls ends it with `end`.

    Raises:
        AssertionError: it did not come up; nothing of it is left.
    """
    mark = new_mark()
    process = command.start(
        "serve", *arguments, "--port", str(port), mark=mark, start_new_session=True, bufsize=1
    )
    said: list[str] = []
    readers = [
        threading.Thread(target=_take_down, args=(stream, said), daemon=True)
        for stream in (process.stdout, process.stderr)
    ]
    for reader in readers:
        reader.start()
    running = Served(command, process, "", mark, said, headers or {}, readers)
    try:
        end_time = time.monotonic() + 120
        while not any(line.startswith("serving ") for line in said):
            assert process.poll() is None, "".join(said)
            assert time.monotonic() < end_time, "".join(said)
            time.sleep(0.1)
    except BaseException:
        end(running)
        raise
    running.origin = next(line for line in said if line.startswith("serving ")).split()[1]
    return running


def _take_down(stream: IO[str], said: list[str]) -> None:
    with stream:
        said.extend(iter(stream.readline, ""))


def end(running: Served) -> None:
    """End a `roberta serve` as Ctrl-C would, and whatever it has left."""
    process = running.process
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
    end_all(running.mark)
    process.wait()
    for reader in running.readers:
        reader.join(10)
