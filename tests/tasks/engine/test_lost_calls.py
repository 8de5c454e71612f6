"""Calls that are lost with their worker, while others are under way or have failed."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from tasks.engine import executors
from tasks.engine.executors import Call, Workers
from tasks.engine.pools import WorkerDiedError


class Death(BaseException):
    """Ends the worker that a call runs in."""


class Queue:
    """A pool of one slot: what is submitted runs when somebody waits for it, one at a time."""

    def __init__(self, *, newest_first: bool = False) -> None:
        self.newest_first, self.killed = newest_first, 0
        self._calls: dict[Future[Any], tuple[Callable[..., Any], tuple[Any, ...]]] = {}

    def slots(self) -> int:
        return 1

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._calls[future] = function, arguments
        return future

    def problem(self, future: Future[Any]) -> BaseException | None:
        return future.exception()

    def close(self) -> None:
        """Nothing to end."""

    def kill(self) -> None:
        self.killed += 1

    def wait(self, futures: Any, **_: Any) -> tuple[set[Future[Any]], set[Future[Any]]]:
        """Run the oldest or the newest of these."""
        future = list(futures)[-1 if self.newest_first else 0]
        function, arguments = self._calls.pop(future)
        try:
            future.set_result(function(*arguments))
        except Death:
            future.set_exception(WorkerDiedError())
        return {future}, set()


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Queue]:
    """Makes a pool that is waited for; each batch is one call."""

    def made(**options: bool) -> Queue:
        pool = Queue(**options)
        monkeypatch.setattr(executors, "wait_for", pool.wait)
        monkeypatch.setattr(executors, "_MOST_CALLS", 1)
        return pool

    return made


def calls(log: list[int], count: int, deaths: dict[int, int], bad: int = -1) -> Iterator[Call]:
    def run(number: int) -> int:
        log.append(number)
        if log.count(number) <= deaths.get(number, 0):
            raise Death
        if number == bad:
            raise KeyError(number)
        return 10 * number

    for number in range(count):
        yield Call(f"u{number}", run, (number,))


def ends(pool: Queue, *arguments: Any) -> list[tuple[str, Any]]:
    """Of each call that ended: its label, and its result or the name of its problem."""
    groups = Workers(pool).run(calls(*arguments))
    return [
        (each.call.label, type(each.problem).__name__ if each.problem else each.result)
        for group in groups
        for each in group
    ]


def test_what_is_under_way_ends_before_the_lost_runs_again(queue: Any) -> None:
    """And nothing begins in between: one after the other the guilty one is known."""
    log: list[int] = []
    pool = queue()
    assert ends(pool, log, 5, {0: 1}) == [
        *(("u1", 10), ("u0", 0), ("u2", 20), ("u3", 30), ("u4", 40))
    ]
    assert log == [0, 1, 0, 2, 3, 4]
    assert pool.killed == 1


def test_several_that_were_lost_run_again_in_their_own_order(queue: Any) -> None:
    log: list[int] = []
    found = ends(queue(newest_first=True), log, 4, {0: 1, 1: 1})
    assert log[:4] == [1, 0, 0, 1]
    assert sorted(found) == [("u0", 0), ("u1", 10), ("u2", 20), ("u3", 30)]


def test_what_is_lost_after_a_failure_is_not_run_again(queue: Any) -> None:
    """The next run has sound processes all the same."""
    log: list[int] = []
    pool = queue()
    futures: list[Any] = []
    submit = pool.submit

    def begun(*arguments: Any) -> Any:
        future = submit(*arguments)
        future.set_running_or_notify_cancel()
        futures.append(future)
        return future

    pool.submit = begun
    assert ends(pool, log, 5, {1: 9}, 0) == [("u0", "KeyError")]
    assert log == [0, 1]
    assert pool.killed == 1


def test_what_is_lost_before_a_failure_is_not_run_again_either(queue: Any) -> None:
    log: list[int] = []
    pool = queue()
    assert ends(pool, log, 5, {0: 9}, 1) == [("u1", "KeyError")]
    assert log == [0, 1]
    assert pool.killed == 1


def test_what_has_not_begun_when_another_fails_is_called_off(queue: Any) -> None:
    log: list[int] = []
    pool = queue()
    assert ends(pool, log, 5, {}, 0) == [("u0", "KeyError")]
    assert log == [0]
    assert pool.killed == 0


def test_the_one_that_kills_its_worker_again_ends_the_run(queue: Any) -> None:
    """It is the last to be told; those lost with it that come later are not run."""
    log: list[int] = []
    pool = queue(newest_first=True)
    assert ends(pool, log, 5, {0: 9, 1: 1}) == [("u0", "WorkerDiedError")]
    assert log == [1, 0, 0]
    assert pool.killed == 2


def test_the_one_that_fails_when_it_runs_again_ends_the_run(queue: Any) -> None:
    log: list[int] = []
    assert ends(queue(newest_first=True), log, 5, {0: 1, 1: 1}, 0) == [("u0", "KeyError")]
    assert log == [1, 0, 0]


def test_a_pool_that_broke_under_an_earlier_call_loses_the_next(queue: Any) -> None:
    log: list[int] = []
    pool = queue()
    submit, broken = pool.submit, iter([True])

    def breaks(*arguments: Any) -> Any:
        if next(broken, False):
            raise WorkerDiedError
        return submit(*arguments)

    pool.submit = breaks
    assert sorted(ends(pool, log, 3, {})) == [("u0", 0), ("u1", 10), ("u2", 20)]
    assert log == [0, 1, 2]
