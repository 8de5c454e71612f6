"""Child processes that are looked after: the trainer, the embedded server, stock's own check.

    this process ──stdin (its end means: stop)──▶ child
                 ◀─stdout, line by line───────────
                 ◀─stderr, of which the last lines are kept

A child lives in a session of its own, so that Ctrl-C reaches only us and we decide how it ends.
Where it heeds the end of its stdin, it ends even when this process is killed: nothing is
orphaned. Modules are found as this process finds them, and never in the folder it runs in.
"""

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Self

_LAST_LINES = 200  # of several processes, the launcher's own last words alone are 40
_READ_SECONDS = 5.0
# What gloo and NCCL say in a process whose neighbour has fallen.
_OF_A_PEER = re.compile("gloo/transport/|remote process (has )?exited")


class ChildSilentError(Exception):
    """A child said nothing in the time it had."""


class Child:
    """A Python program as a child of this one; a context manager that kills what still runs.

    Args:
        arguments: What follows `python`, such as `-m` and a module.
        environment: Variables beside our own.

    Attributes:
        process: The process itself.
        last_lines: The last lines of its stderr, for people.
    """

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "PYTHONSAFEPATH": "1", **(environment or {})},
        )
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._lines: queue.Queue[str | None] = queue.Queue()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            _read_in_background(self.process.stdout, self._lines.put),
            _read_in_background(self.process.stderr, self._take_last),
        ]

    def _take_last(self, line: str | None) -> None:
        if line is not None:
            self.last_lines.append(line)

    def lines(self) -> Iterator[str]:
        """The lines of its stdout as they come, until the output ends."""
        while (line := self._lines.get()) is not None:
            yield line

    def next_line(self, seconds: float) -> str | None:
        """The next line of its stdout, None at the end of the output.

        Raises:
            ChildSilentError: there is none within some seconds.
        """
        try:
            return self._lines.get(timeout=max(0.0, seconds))
        except queue.Empty:
            raise ChildSilentError(f"no line in {seconds:.0f} s") from None

    def lines_within(self, seconds: float) -> Iterator[str]:
        """The lines that come within some seconds, or until the output ends."""
        until = time.monotonic() + seconds
        with contextlib.suppress(ChildSilentError):
            while (left := until - time.monotonic()) > 0:
                if (line := self.next_line(left)) is None:
                    return
                yield line

    def signal(self, number: int) -> None:
        """Send a signal to the child and all of its own children."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def end_input(self) -> None:
        """End its stdin, by which it is to end itself."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def wait(self, seconds: float | None = None) -> int:
        """Its exit code, once it has ended and all it said is read.

        Raises:
            ChildSilentError: it still runs after some seconds.
        """
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired as problem:
            raise ChildSilentError(f"no end in {seconds:.0f} s") from problem
        for reader in self._readers:
            reader.join(timeout=_READ_SECONDS)
        return code

    def kill(self) -> None:
        """End whatever still runs, at once."""
        self.end_input()
        self.signal(signal.SIGKILL)
        self.wait()

    def last_words(self) -> str:
        """The line of its stderr that says what went wrong."""
        return last_words(self.last_lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self.kill()


def describe_code(code: int) -> str:
    """An exit code as people say it.

    >>> describe_code(3), describe_code(-15)
    ('exit code 3', 'signal SIGTERM')
    """
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        hint = ", most often because memory ran out" if name == "SIGKILL" else ""
        return f"signal {name}{hint}"
    return f"exit code {code}"


def last_words(lines: Sequence[str]) -> str:
    """The line in a process's last output that says what went wrong.

    Of several processes the first that falls takes the others along: what they say of it comes
    later and tells nothing, so it counts only where nothing else is told.

    >>> last_words(["Traceback", "  File ...", "OSError: no space left", "gone"])
    'OSError: no space left'
    >>> last_words(["OSError: no space left", "RuntimeError: gloo/transport/tcp: closed"])
    'OSError: no space left'
    """
    echo: str | None = None
    for line in reversed(lines):
        text = line.strip()
        kind, separator, message = text.partition(": ")
        if separator and kind.rsplit(".", 1)[-1].endswith(("Error", "Exception")):
            if "CalledProcessError" in kind or "ChildFailedError" in kind:
                continue
            told = message if kind.endswith("ValueError") else text
            if not _OF_A_PEER.search(message):
                return told
            echo = echo or told
    if echo is not None:
        return echo
    meaningful = [line.strip() for line in lines if line.strip()]
    return meaningful[-1] if meaningful else "it said nothing."


def _read_in_background(stream: IO[bytes], take: Callable[[str | None], None]) -> threading.Thread:
    """Give each line to `take`, and None at the end."""

    def read() -> None:
        with stream:
            for line in stream:
                take(line.decode("utf-8", errors="replace").rstrip("\n"))
        take(None)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread
