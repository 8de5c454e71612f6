"""The places that units run in: this process, processes of this machine, a Dask cluster.

A pool takes calls and gives futures. What is waited for, repeated and called off is decided
above it, in `tasks.engine.executors`, alike for all of them.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, Protocol

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


class WorkerDiedError(Exception):
    """The process that ran a call is gone, with whatever it was doing."""


class Pool(Protocol):
    """Where calls run."""

    def slots(self) -> int:
        """How many calls can run at once now; it may change."""
        ...

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Begin a call, or queue it.

        Raises:
            WorkerDiedError: the pool broke under an earlier call.
        """
        ...

    def problem(self, future: "Future[Any]") -> BaseException | None:
        """What an ended call failed with; `WorkerDiedError` if it was lost with its worker."""
        ...

    def close(self) -> None:
        """End the workers that are ours when they have nothing more to do."""
        ...

    def kill(self) -> None:
        """End at once: what is being computed is not committed anyway. Usable again after."""
        ...


class InlinePool:
    """Runs each call at once in this process."""

    def slots(self) -> int:
        """One."""
        return 1

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Call the function now; the future is already done."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as problem:
            future.set_exception(problem)
        return future

    def problem(self, future: "Future[Any]") -> BaseException | None:
        """What the call raised."""
        return future.exception()

    def close(self) -> None:
        """Nothing to end."""

    def kill(self) -> None:
        """Nothing to end."""


class ProcessPool:
    """Processes of this machine: started when first needed, and anew after one of them died.

    Workers ignore Ctrl-C (the parent decides), keep to one compute thread each, and end when
    their parent dies.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._executor: ProcessPoolExecutor | None = None

    def slots(self) -> int:
        """The number of processes."""
        return self.count

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Queue a call; see `Pool.submit`."""
        if self._executor is None:
            method = "forkserver" if sys.platform.startswith("linux") else "spawn"
            context = multiprocessing.get_context(method)
            self._executor = ProcessPoolExecutor(
                self.count, mp_context=context, initializer=_start_worker
            )
        try:
            return self._executor.submit(function, *arguments)
        except (BrokenProcessPool, EOFError, ConnectionError) as problem:
            # The last two: the process that workers are forked from was killed meanwhile.
            raise WorkerDiedError from problem

    def problem(self, future: "Future[Any]") -> BaseException | None:
        """What the call raised; every call under way is lost when one process dies."""
        problem = future.exception()
        return WorkerDiedError() if isinstance(problem, BrokenProcessPool) else problem

    def close(self) -> None:
        """End the processes when they have nothing more to do."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=True)

    def kill(self) -> None:
        """End the processes at once; new ones are started when needed."""
        executor, self._executor = self._executor, None
        if executor is None:
            return
        for process in list((getattr(executor, "_processes", None) or {}).values()):
            process.kill()
        executor.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for variable in THREAD_VARIABLES:
        os.environ[variable] = "1"
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    """End this worker when its parent is gone: a killed run leaves no processes behind."""
    parent_id = os.getppid()
    while not wait([parent.sentinel], timeout=1.0):
        if os.getppid() != parent_id:
            break
    time.sleep(0.1)
    os._exit(1)
