"""Training processes as a supervised child of this one, one or several.

    this process ──stdin (its end means: stop)──▶ trainer
                 ◀─stdout, one JSON event a line─

The trainer lives in its own session, so that Ctrl-C reaches only us; on our way out we send
SIGTERM, and it writes a checkpoint before it ends. If this process dies, the trainer's stdin
ends, and it does the same: nothing is orphaned.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import IO, Any

from tasks.config import LaunchConfig
from tasks.engine.executors import default_workers
from tasks.errors import StageError

GRACE_SECONDS = 25.0
_LAST_LINES = 200  # of several processes, the launcher's own last words alone are 40


def launch_command(launch: LaunchConfig, module: str, arguments: Sequence[str]) -> list[str]:
    """The command line that starts the training processes: this module of Python's, in each.

    One process is started as it is and several by torch's own launcher: `accelerate launch`
    would load torch once more only to do the same. It is for what a config of it describes.
    """
    what = ["-m", module, *arguments]
    if launch.accelerate_config is not None:
        accelerate = ["-m", "accelerate.commands.launch", "--config_file", launch.accelerate_config]
        return [sys.executable, *accelerate, *what]
    if launch.processes == 1:
        return [sys.executable, *what]
    shared = ["--standalone", "--nnodes", "1", "--nproc_per_node", str(launch.processes)]
    return [sys.executable, "-m", "torch.distributed.run", *shared, *what]


def threads_per_process(launch: LaunchConfig) -> int:
    """Compute threads for each training process on this machine."""
    return launch.threads or max(1, default_workers() // launch.processes)


class Trainer:
    """A running training; iterate over it for its events, in a `with` block."""

    def __init__(self, command: Sequence[str], threads: int) -> None:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "TOKENIZERS_PARALLELISM": "false",
            "ACCELERATE_DISABLE_RICH": "1",
            "PYTHONUNBUFFERED": "1",
        }
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=environment,
        )
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            _read_in_background(self.process.stdout, self._take_line, self._no_more_events),
            _read_in_background(self.process.stderr, self.last_lines.append, lambda: None),
        ]

    def __enter__(self) -> "Trainer":
        return self

    def __exit__(self, *problem: object) -> None:
        self.kill()

    def _take_line(self, line: str) -> None:
        if line.startswith("{"):
            with contextlib.suppress(ValueError):
                self._events.put(json.loads(line))
                return
        self.last_lines.append(line)

    def _no_more_events(self) -> None:
        self._events.put(None)

    def events(self) -> Iterator[dict[str, Any]]:
        """Events as they come, until the trainer's output ends."""
        while (event := self._events.get()) is not None:
            yield event

    def stop(self) -> Iterator[dict[str, Any]]:
        """Ask the trainer to end; the events it still sends, its last checkpoint among them."""
        self.signal(signal.SIGTERM)
        until = time.monotonic() + GRACE_SECONDS
        while (left := until - time.monotonic()) > 0:
            try:
                event = self._events.get(timeout=left)
            except queue.Empty:
                return
            if event is None:
                return
            yield event

    def signal(self, number: int) -> None:
        """Send a signal to all of the trainer's processes."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """End whatever still runs, at once."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.signal(signal.SIGKILL)
        self.process.wait()
        for reader in self._readers:
            reader.join(timeout=5)

    def check_end(self) -> None:
        """Wait for the end.

        Raises:
            StageError: the trainer failed; the message is its own last words.
        """
        code = self.process.wait()
        for reader in self._readers:
            reader.join(timeout=5)
        if code == 0:
            return
        raise StageError(
            f"the training process ended with {describe_code(code)}: "
            f"{last_words(self.last_lines)} The last checkpoint is kept."
        )


def describe_code(code: int) -> str:
    """An exit code as people say it."""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        hint = ", most often because memory ran out" if name == "SIGKILL" else ""
        return f"signal {name}{hint}"
    return f"exit code {code}"


def last_words(lines: Sequence[str]) -> str:
    """The line in a process's last output that says what went wrong."""
    for line in reversed(lines):
        text = line.strip()
        kind, separator, message = text.partition(": ")
        if separator and kind.rsplit(".", 1)[-1].endswith(("Error", "Exception")):
            if "CalledProcessError" in kind or "ChildFailedError" in kind:
                continue
            return message if kind.endswith("ValueError") else text
    meaningful = [line.strip() for line in lines if line.strip()]
    return meaningful[-1] if meaningful else "it said nothing."


def _read_in_background(stream: IO[bytes], take: Any, end: Any) -> threading.Thread:
    def read() -> None:
        with stream:
            for line in stream:
                take(line.decode("utf-8", errors="replace").rstrip("\n"))
        end()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread
