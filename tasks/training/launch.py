"""Training processes as one supervised child of this one, which may have several of its own.

On our way out we send SIGTERM, and the trainer writes a checkpoint before it ends. If this
process dies, the trainer's stdin ends, and it does the same. A trainer that tells nothing any
more (a hung device, a collective that waits for a lost process) would hold the run for ever, so
it is ended, and the run with it: whoever is to look after it hears of it.
"""

import contextlib
import json
import os
import re
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tasks.config import LaunchConfig
from tasks.engine.executors import default_workers
from tasks.engine.files import disk_problem
from tasks.errors import StageError
from tasks.processes import Child, ChildSilentError, describe_code

GRACE_SECONDS = 25.0
_LISTEN_SECONDS = 5.0  # at a time
_MOST_FOR_SMALL_STEPS = 8
_MEETING = "--rdzv-endpoint"
_KILLED = re.compile(r"failed \(exitcode: (-\d+)\)")  # torch's launcher, of the first to go


def launch_arguments(launch: LaunchConfig, module: str, arguments: Sequence[str]) -> list[str]:
    """What Python is given to start the training processes: this module of its own, in each.

    One process is started as it is and several by torch's own launcher: `accelerate launch`
    would load torch once more only to do the same. It is for what a config of it describes.
    """
    what = ["-m", module, *arguments]
    if launch.accelerate_config is not None:
        accelerate = ["-m", "accelerate.commands.launch", "--config_file", launch.accelerate_config]
        return [*accelerate, *what]
    if launch.processes == 1:
        return what
    # Where processes meet, torch's launcher reads pickles: in a file of our own, as by its default
    # it is a port that listens on every interface and asks nobody who he is.
    meeting = ["--rdzv-backend", "c10d", "--rdzv-conf", "store_type=file", _MEETING, _new_file()]
    shared = ["--nnodes", "1", "--nproc_per_node", str(launch.processes)]
    return ["-m", "torch.distributed.run", *meeting, *shared, *what]


def _new_file() -> str:
    """An empty file that only this user may read and write."""
    descriptor, path = tempfile.mkstemp(prefix="roberta-meeting-")
    os.close(descriptor)
    return path


def threads_per_process(launch: LaunchConfig) -> int:
    """Compute threads for each training process on this machine."""
    return launch.threads or max(1, default_workers() // launch.processes)


def for_small_steps(launch: LaunchConfig) -> LaunchConfig:
    """The same for a training whose steps are small: on CPUs a process a core, of one thread each.

    Threads of one process wait for each other many times in a small step, and where other work
    runs beside them for very long. Whoever has said how many there are to be is left alone.
    """
    import torch

    said = launch.processes > 1 or launch.threads is not None
    if said or launch.accelerate_config is not None:
        return launch
    if launch.device != "cpu" and torch.cuda.is_available():
        return launch
    processes = min(default_workers(), _MOST_FOR_SMALL_STEPS)
    return launch.model_copy(update={"processes": processes, "threads": 1})


class Trainer(Child):
    """A running training: a child whose lines are events, one JSON object each."""

    def __init__(self, arguments: Sequence[str], threads: int) -> None:
        super().__init__(
            arguments,
            {
                "OMP_NUM_THREADS": str(threads),
                "MKL_NUM_THREADS": str(threads),
                "TOKENIZERS_PARALLELISM": "false",
                "ACCELERATE_DISABLE_RICH": "1",
                "PYTHONUNBUFFERED": "1",
            },
        )
        self._meetings = [Path(b) for a, b in pairwise(arguments) if a == _MEETING]

    def __exit__(self, *problem: object) -> None:
        super().__exit__(*problem)
        for path in self._meetings:
            path.unlink(missing_ok=True)

    def events(self, stall_minutes: float | None = None) -> Iterator[dict[str, Any]]:
        """Events as they come, until the trainer's output ends.

        Raises:
            StageError: none came for so many minutes; the trainer is killed.
        """
        lines = self.lines() if stall_minutes is None else self._watched_lines(60 * stall_minutes)
        return self._events_of(lines)

    def _watched_lines(self, stall_seconds: float) -> Iterator[str]:
        """Its lines, as long as some of them are events: what libraries print is no step.

        Only what was waited here counts as silence. A machine that sleeps takes this process
        along, and taking down an event takes time itself: a checkpoint may go to a far store.
        """
        reached, silent = "before its first step", 0.0
        most = min(_LISTEN_SECONDS, stall_seconds / 4)
        while True:
            began = time.monotonic()
            line: str | None = ""
            with contextlib.suppress(ChildSilentError):
                line = self.next_line(min(most, stall_seconds - silent))
            if line is None:
                return
            silent += min(time.monotonic() - began, most)
            if line:
                yield line
            if (event := _read_event(line)) is not None:
                silent = 0.0
                reached = f"after step {event['step']}" if event.get("step") else reached
            elif silent >= stall_seconds:
                self.kill()  # it could not write a checkpoint now: it finishes no step
                raise StageError(_stalled(stall_seconds / 60, reached))

    def stop(self) -> Iterator[dict[str, Any]]:
        """Ask the trainer to end; the events it still sends, its last checkpoint among them."""
        self.signal(signal.SIGTERM)
        return self._events_of(self.lines_within(GRACE_SECONDS))

    def _events_of(self, lines: Iterator[str]) -> Iterator[dict[str, Any]]:
        for line in lines:
            event = _read_event(line)
            if event is None:
                self.last_lines.append(line)
            else:
                yield event

    def check_end(self) -> None:
        """Wait for the end.

        Raises:
            StageError: the trainer failed; the message is its own last words.
        """
        code = self.wait()
        if code == 0:
            return
        killed = next(filter(None, map(_KILLED.search, self.last_lines)), None)
        if killed is not None:  # what the launcher tells of it ends in a table
            how = f"one of the training processes ended with {describe_code(int(killed[1]))}."
        elif full := disk_problem(OSError(words := self.last_words())):
            raise StageError(f"a training process could not write ({words}): {full}")
        else:
            how = f"the training process ended with {describe_code(code)}: {words}"
        raise StageError(f"{how} The last checkpoint is kept.")


def _stalled(minutes: float, reached: str) -> str:
    return (
        f"the training process told nothing for {minutes:g} min, {reached}, and was ended: its "
        "device, its disk or another of its processes hangs. The last checkpoint is kept. Look at "
        "the machine, then run the same command again; where a step, a checkpoint or the start "
        "rightly takes so long, raise engine.launch.stall_minutes."
    )


def _read_event(line: str) -> dict[str, Any] | None:
    """The event that a line is; None for what libraries print."""
    if not line.startswith("{"):
        return None
    try:
        event: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return event
