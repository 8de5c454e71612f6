"""Where units run: a bounded window of them in a pool of processes, or this process itself.

    calls ──▶ [ window: running and next ] ──▶ results as they end, each committed at once
                     │ a worker died
                     ▼
              a new pool; what was lost runs again, one by one, so that the guilty one is known

After a failure nothing new begins, and what is running may still end. Workers ignore Ctrl-C (the
parent decides), keep to one compute thread each, and end when their parent dies.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, Generic, TypeVar

log = logging.getLogger(__name__)

R = TypeVar("R")

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "RAYON_NUM_THREADS",
)
_STRAGGLER_SECONDS = 300.0


@dataclass(frozen=True)
class Call:
    """A function to be called in a worker; `label` names it to people."""

    label: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Ended(Generic[R]):
    """A call that returned, or the problem that it ended with."""

    call: Call
    result: R | None = None
    problem: BaseException | None = None


class _InlineExecutor(Executor):
    """Runs each call at once in this process."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call the function now; the future is already done."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as problem:
            future.set_exception(problem)
        return future


def default_workers() -> int:
    """The processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """A pool that starts when it is first needed, and anew after one of its processes died.

    Args:
        count: Processes; with one, calls run in this process.
    """

    def __init__(self, count: int) -> None:
        self.count = max(1, count)
        self._executor: Executor | None = None

    def run(self, calls: Iterable[Call]) -> Iterator[Ended[Any]]:
        """Yield each call as it ends, in no order; after one with a problem none is begun.

        Closing the iterator early kills what is running.
        """
        waiting = iter(calls)
        window = 1 if self.count == 1 else 2 * self.count
        pending: dict[Future[Any], Call] = {}
        lost: list[Call] = []
        failed = False
        try:
            while True:
                while not failed and not lost and len(pending) < window:
                    call = next(waiting, None)
                    if call is None:
                        break
                    self._submit(call, pending, lost)
                if not pending and (failed or not lost):
                    return
                for ended in _next_ended(pending, lost):
                    if ended.problem is not None and not failed:
                        failed = True
                        _cancel(pending)
                    yield ended
                if lost and not pending and not failed:
                    for ended in self._alone(lost):
                        failed = failed or ended.problem is not None
                        yield ended
                    lost.clear()
        except BaseException:
            self.kill()
            raise

    def _submit(self, call: Call, pending: dict[Future[Any], Call], lost: list[Call]) -> None:
        try:
            pending[self._pool().submit(call.function, *call.arguments)] = call
        except BrokenProcessPool:
            lost.append(call)

    def _alone(self, lost: list[Call]) -> Iterator[Ended[Any]]:
        """Run calls whose worker died once more, one at a time; the first to fail ends it."""
        labels = ", ".join(call.label for call in lost)
        log.warning("a worker process died; running again, one by one: %s", labels)
        for call in lost:
            self.kill()
            pending: dict[Future[Any], Call] = {}
            again: list[Call] = []
            self._submit(call, pending, again)
            ended = list(_next_ended(pending, again))
            if again:
                yield Ended(call, problem=BrokenProcessPool("the worker died twice"))
                return
            yield from ended
            if ended[0].problem is not None:
                return

    def _pool(self) -> Executor:
        if self._executor is None:
            self._executor = _InlineExecutor() if self.count == 1 else _make_pool(self.count)
        return self._executor

    def close(self) -> None:
        """End the processes when they have nothing more to do."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=True)

    def kill(self) -> None:
        """End the processes at once: what they were computing is not committed anyway."""
        executor, self._executor = self._executor, None
        if executor is None:
            return
        for process in list((getattr(executor, "_processes", None) or {}).values()):
            process.kill()
        executor.shutdown(wait=True, cancel_futures=True)


def _next_ended(pending: dict[Future[Any], Call], lost: list[Call]) -> Iterator[Ended[Any]]:
    """Wait for at least one call; those whose worker died go to `lost`."""
    done: set[Future[Any]] = set()
    while pending and not done:
        done, _ = wait_for(pending, timeout=_STRAGGLER_SECONDS, return_when=FIRST_COMPLETED)
        if not done:
            running = sorted(call.label for future, call in pending.items() if future.running())
            log.info("still at work after %.0f s: %s", _STRAGGLER_SECONDS, ", ".join(running))
    for future in done:
        call = pending.pop(future, None)
        if call is None:  # called off meanwhile
            continue
        problem = future.exception()
        if isinstance(problem, BrokenProcessPool):
            lost.append(call)
        elif problem is not None:
            yield Ended(call, problem=problem)
        else:
            yield Ended(call, result=future.result())


def _cancel(pending: dict[Future[Any], Call]) -> None:
    """Call off what has not begun. Nobody may wait for it then: it would never be told."""
    for future in list(pending):
        if future.cancel():
            del pending[future]


def _make_pool(workers: int) -> Executor:
    method = "forkserver" if sys.platform.startswith("linux") else "spawn"
    context = multiprocessing.get_context(method)
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)


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
