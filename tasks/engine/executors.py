"""How units run: a bounded window of them in a pool, tiny ones in batches, lost ones once more.

    calls ──▶ batches ──▶ [ window: running and next ] ──▶ results as they end, committed at once
                               │ a worker died
                               ▼
              what was lost runs again, one by one, so that the guilty one is known

After a failure nothing new begins, and what is running may still end. Calls are drawn as the
window has room, so what the driver holds does not grow with what is still to come.
"""

import logging
import os
import pickle
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from tasks.engine.pools import InlinePool, Pool, WorkerDiedError

log = logging.getLogger(__name__)

R = TypeVar("R")

_STRAGGLER_SECONDS = 300.0
_SHOWN = 8
# A batch is to take so long: what it costs to hand it over is little beside it, and so is what
# a kill loses of it.
_BATCH_SECONDS = 0.1
_MOST_CALLS = 256


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


Batch = Sequence[Call]
# Of each call that was begun: its result and None, or None and its problem.
Outcomes = list[tuple[Any, BaseException | None]]
# What a worker does with all results of a batch together, before they travel.
Finish = Callable[[list[Any]], list[Any]]


def default_workers() -> int:
    """The processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_batch(
    calls: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]], finish: Finish | None
) -> tuple[float, Outcomes]:
    """The worker's half: call after call until one fails; the seconds it took, and the ends."""
    start = time.perf_counter()
    results: list[Any] = []
    failure: Outcomes = []
    for function, arguments in calls:
        try:
            results.append(function(*arguments))
        except (Exception, SystemExit) as problem:  # a unit may not end the run, least of all well
            failure = [(None, _portable(problem))]
            break
    if finish is not None and results:
        try:
            results = finish(results)
        except Exception as problem:
            results, failure = [], [(None, _portable(problem))]
    return time.perf_counter() - start, [(result, None) for result in results] + failure


def _portable(problem: BaseException) -> BaseException:
    """An error as it can travel: one that cannot be unpickled would break the pool instead."""
    trace = traceback.format_exc()
    try:
        pickle.loads(pickle.dumps(problem))
    except Exception:
        problem = RuntimeError(f"{type(problem).__name__}: {problem}")
    problem.add_note(trace)
    return problem


class Pace:
    """How many calls make a batch, from how long the last ones took."""

    def __init__(self) -> None:
        self.calls = 1

    def learn(self, calls: int, seconds: float) -> None:
        """Take note of a batch: go on at most doubling towards the wanted length."""
        wanted = _BATCH_SECONDS * calls / max(seconds, 1e-9)
        self.calls = max(1, min(int(wanted), 2 * self.calls, _MOST_CALLS))


class Workers:
    """Runs calls in a pool.

    Args:
        pool: Where.
        limit: The most batches under way at once; without it, two for each slot of the pool,
            so that no worker waits for the driver.
        finish: Called in the worker with the results of each batch; gives those that travel.
    """

    def __init__(self, pool: Pool, limit: int | None = None, finish: Finish | None = None) -> None:
        self.pool, self.limit, self.finish = pool, limit, finish
        self._pending: dict[Future[Any], Batch] = {}
        self._lost: list[Call] = []

    def run(self, calls: Iterable[Call]) -> Iterator[list[Ended[Any]]]:
        """Yield calls as they end, in no order, those of a batch together.

        After one with a problem none is begun.

        Closing the iterator early kills what is running.
        """
        waiting, pace = enumerate(calls), Pace()
        order: dict[str, int] = {}
        failed = False
        try:
            while True:
                while not failed and not self._lost and len(self._pending) < self._window():
                    batch = list(islice(waiting, pace.calls))
                    if not batch:
                        break
                    order.update((call.label, number) for number, call in batch)
                    self._submit([call for _, call in batch])
                if not self._pending and (failed or not self._lost):
                    if self._lost:
                        self.kill()  # nobody asks for them now: the next run has sound processes
                    return
                for group in self._next_ended(pace):
                    for ended in group:
                        order.pop(ended.call.label)
                    if group[-1].problem is not None and not failed:
                        failed = True
                        self._call_off()
                    yield group
                if self._lost and not self._pending and not failed:
                    again = sorted(self._lost, key=lambda call: order.pop(call.label))
                    self._lost = []
                    for ended in self._alone(again):
                        failed = failed or ended.problem is not None
                        yield [ended]
        except BaseException:
            self.kill()
            raise

    def _window(self) -> int:
        if isinstance(self.pool, InlinePool):
            return 1
        return self.limit or 2 * self.pool.slots()

    def _submit(self, batch: Batch) -> None:
        travelling = [(call.function, call.arguments) for call in batch]
        try:
            self._pending[self.pool.submit(run_batch, travelling, self.finish)] = batch
        except WorkerDiedError:
            self._lost += batch

    def _next_ended(self, pace: Pace) -> Iterator[list[Ended[Any]]]:
        """Wait for at least one batch; of each its last call may have failed.

        Calls whose worker died are counted as lost.
        """
        done: set[Future[Any]] = set()
        while self._pending and not done:
            done, _ = wait_for(
                self._pending, timeout=_STRAGGLER_SECONDS, return_when=FIRST_COMPLETED
            )
            if not done:
                labels = [call.label for batch in self._pending.values() for call in batch]
                shown = ", ".join(labels[:_SHOWN]) + (" ..." if len(labels) > _SHOWN else "")
                log.info("no unit ended for %.0f s; under way: %s", _STRAGGLER_SECONDS, shown)
        for future in done:
            batch = self._pending.pop(future, None)
            if batch is None:  # called off meanwhile
                continue
            problem = self.pool.problem(future)
            if isinstance(problem, WorkerDiedError):
                self._lost += batch
            elif problem is not None:
                yield [Ended(batch[0], problem=problem)]
            else:
                seconds, outcomes = future.result()
                pace.learn(len(outcomes), seconds)
                ends = zip(batch, outcomes, strict=False)
                yield [Ended(call, result, error) for call, (result, error) in ends]

    def _alone(self, lost: Sequence[Call]) -> Iterator[Ended[Any]]:
        """Run calls whose worker died once more, one at a time; the first to fail ends it."""
        labels = ", ".join(call.label for call in lost[:_SHOWN])
        log.warning("a worker process died; running again, one by one: %s", labels)
        self.kill()
        waiting = deque(lost)
        while waiting:
            self._submit([waiting.popleft()])
            ended = list(self._next_ended(Pace()))
            if self._lost:
                (guilty,), self._lost = self._lost, []
                self.pool.kill()
                yield Ended(guilty, problem=WorkerDiedError("the worker died twice"))
                return
            yield from ended[0]
            if ended[0][0].problem is not None:
                return

    def _call_off(self) -> None:
        """Call off what has not begun. Nobody may wait for it then: it would never be told."""
        for future in list(self._pending):
            if future.cancel():
                del self._pending[future]

    def close(self) -> None:
        """End the pool when it has nothing more to do."""
        self.pool.close()

    def kill(self) -> None:
        """End what is running at once: it is not committed anyway. Usable again after."""
        self._pending.clear()
        self._lost.clear()
        self.pool.kill()
