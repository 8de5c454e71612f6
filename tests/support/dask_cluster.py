"""A real Dask scheduler and real worker processes on loopback, to be killed and added to."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# A task that kills its worker is told of at once; Dask's own default is three workers more.
_SCHEDULER = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}


class DaskCluster:
    """What `dask scheduler` and `dask worker` start."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
        self.environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        self.environment |= environment
        self._processes: list[subprocess.Popen[str]] = []
        self.scheduler, self.address = self._start(
            r"Scheduler at:\s+(tcp://\S+)",
            *("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"),
        )

    def add_worker(self) -> "subprocess.Popen[str]":
        """Start a worker with one thread and no nanny, and wait until it is registered."""
        process, _ = self._start(
            r"(Registered to)",
            *("worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard"),
            *("--local-directory", str(self.folder)),
        )
        return process

    def _start(self, sign: str, *arguments: str) -> "tuple[subprocess.Popen[str], str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={**self.environment, **_SCHEDULER},
        )
        self._processes.append(process)
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(sign, line):
                threading.Thread(target=_drain, args=(process.stderr,), daemon=True).start()
                return process, found[1]
        raise AssertionError("".join(said))

    def close(self) -> None:
        """Kill all that is left."""
        for process in reversed(self._processes):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()
            assert process.stderr is not None
            with suppress(OSError):
                process.stderr.close()


def _drain(stream: Any) -> None:
    with suppress(ValueError, OSError):
        for _ in stream:
            pass


@contextmanager
def dask_cluster(folder: Path, workers: int = 2, **environment: str) -> Iterator[DaskCluster]:
    """A scheduler with some workers."""
    cluster = DaskCluster(folder, environment)
    try:
        for _ in range(workers):
            cluster.add_worker()
        yield cluster
    finally:
        cluster.close()
