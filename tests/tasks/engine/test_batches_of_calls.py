"""How calls become batches, what of a batch counts when one fails, and what is never begun."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from tasks.config import EngineConfig
from tasks.engine import executors, workforce
from tasks.engine.computing import flush_units
from tasks.engine.executors import Call, Ended, Pace, Workers, _portable, default_workers, run_batch
from tasks.engine.pools import InlinePool, ProcessPool, WorkerDiedError
from tasks.engine.workforce import Workforce


@pytest.mark.parametrize(
    ("before", "calls", "seconds", "after"),
    [
        (1, 1, 0.001, 2),  # at most doubling
        (4, 4, 0.05, 8),
        (8, 8, 0.1, 8),  # as long as wanted
        (8, 8, 0.2, 4),
        (8, 4, 0.2, 2),  # of a batch that was cut short its own calls count
        (8, 8, 5.0, 1),
        (200, 200, 0.0, 256),
        (256, 256, 0.0, 256),
    ],
)
def test_the_pace_goes_towards_batches_of_a_tenth_of_a_second(
    before: int, calls: int, seconds: float, after: int
) -> None:
    pace = Pace()
    assert pace.calls == 1
    pace.calls = before
    pace.learn(calls, seconds)
    assert pace.calls == after


def fails(problem: BaseException) -> Callable[[], None]:
    def raises() -> None:
        raise problem

    return raises


def test_a_batch_ends_at_its_first_failure_and_keeps_what_came_before() -> None:
    done: list[int] = []
    calls: list[Any] = [(done.append, (1,)), (fails(KeyError("x")), ()), (done.append, (2,))]
    seconds, outcomes = run_batch([(len, ("abc",)), *calls], lambda results: [*results])
    assert done == [1]
    assert [result for result, _ in outcomes] == [3, None, None]
    assert [type(problem) for _, problem in outcomes] == [type(None), type(None), KeyError]
    assert seconds >= 0


def test_what_a_batch_gives_is_finished_together() -> None:
    """Those before a failure too; where there is nothing, nothing is finished."""
    finished: list[list[int]] = []

    def finish(results: list[int]) -> list[int]:
        finished.append(results)
        return [10 * result for result in results]

    calls: list[Any] = [(len, ("a",)), (len, ("bc",)), (fails(KeyError("x")), ())]
    _, outcomes = run_batch(calls, finish)
    assert finished == [[1, 2]]
    assert [result for result, _ in outcomes] == [10, 20, None]
    _, outcomes = run_batch(calls[2:], finish)
    assert len(finished) == 1
    assert len(outcomes) == 1


def test_results_that_cannot_be_finished_do_not_count() -> None:
    """They are not flushed: a power cut may take them."""

    def finish(_: list[Any]) -> list[Any]:
        raise OSError("full")

    _, outcomes = run_batch([(len, ("a",)), (len, ("b",))], finish)
    ((result, problem),) = outcomes
    assert result is None
    assert str(problem) == "full"


def test_a_call_that_exits_fails_and_ctrl_c_is_not_a_failure() -> None:
    _, outcomes = run_batch([(fails(SystemExit(0)), ())], None)
    assert isinstance(outcomes[0][1], SystemExit)
    with pytest.raises(KeyboardInterrupt):
        run_batch([(fails(KeyboardInterrupt()), ())], None)


class OddError(Exception):
    """Cannot be made again from its text alone."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")


def test_an_error_travels_with_its_trace_even_if_it_cannot() -> None:
    def told(problem: Exception) -> BaseException:
        try:
            raise problem
        except Exception as caught:
            return _portable(caught)

    assert type(told(KeyError("x"))) is KeyError
    odd = told(OddError("a", "b"))
    assert (type(odd), str(odd)) == (RuntimeError, "OddError: a and b")
    assert any("in told" in note for note in odd.__notes__)


class Slots(InlinePool):
    """A pool of several slots that runs nothing until it is told to."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.submitted: list[tuple[Future[Any], Any]] = []
        self.killed = 0

    def slots(self) -> int:
        return self.count

    def kill(self) -> None:
        self.killed += 1


@pytest.mark.parametrize(("limit", "window"), [(None, 6), (2, 2), (9, 9)])
def test_two_batches_are_under_way_for_each_slot_unless_limited(
    limit: int | None, window: int
) -> None:
    pool = ProcessPool(3)
    assert Workers(pool, limit)._window() == window
    assert Workers(InlinePool())._window() == 1


def calls(log: list[int], *numbers: int, bad: int = -1) -> Iterator[Call]:
    def run(number: int) -> int:
        log.append(number)
        return 1 // 0 if number == bad else 10 * number

    for number in numbers:
        yield Call(f"u{number}", run, (number,))


def test_every_call_ends_once_with_its_own_result(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[int] = []
    groups = list(Workers(InlinePool()).run(calls(log, *range(20))))
    ended = [each for group in groups for each in group]
    assert log == list(range(20))
    found = {each.call.label: each.result for each in ended}
    assert found == {f"u{number}": 10 * number for number in range(20)}
    assert len(ended) == 20
    assert not any(each.problem for each in ended)


def test_after_a_failure_nothing_new_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "_BATCH_SECONDS", 30.0)
    log: list[int] = []
    groups = list(Workers(InlinePool()).run(calls(log, *range(50), bad=4)))
    assert log == [0, 1, 2, 3, 4]
    ended = [each for group in groups for each in group]
    assert [each.call.label for each in ended] == ["u0", "u1", "u2", "u3", "u4"]
    assert isinstance(ended[-1].problem, ZeroDivisionError)
    assert [each.result for each in ended[:-1]] == [0, 10, 20, 30]


def test_calls_are_drawn_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver may not hold a corpus of calls."""
    drawn: list[int] = []

    def drawing() -> Iterator[Call]:
        for call in calls([], *range(10_000)):
            drawn.append(1)
            yield call

    running: Any = Workers(InlinePool()).run(drawing())
    next(running)
    assert len(drawn) == 1
    next(running)
    assert len(drawn) <= 3
    running.close()


class Death(BaseException):
    """Ends the worker that a call runs in."""


class Mortal(InlinePool):
    """A pool whose worker may die, and takes its whole batch with it."""

    def __init__(self) -> None:
        self.killed = 0

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        try:
            return super().submit(function, *arguments)
        except Death:
            future: Future[Any] = Future()
            future.set_exception(WorkerDiedError())
            return future

    def kill(self) -> None:
        self.killed += 1


def deadly(log: list[int], number: int, deaths: int) -> Iterator[Call]:
    """Calls of which one dies so often; the fourth batch has the numbers 7 to 14."""

    def run(each: int) -> int:
        log.append(each)
        if each == number and log.count(each) <= deaths:
            raise Death
        return 10 * each

    for each in range(20):
        yield Call(f"u{each}", run, (each,))


def test_what_was_lost_with_a_worker_runs_once_more_in_its_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(executors, "_BATCH_SECONDS", 30.0)
    log: list[int] = []
    pool = Mortal()
    groups = list(Workers(pool).run(deadly(log, 9, deaths=1)))
    assert log == [*range(7), 7, 8, 9, *range(7, 15), *range(15, 20)]
    ended = [each for group in groups for each in group]
    assert [each.result for each in ended] == [10 * number for number in range(20)]
    assert pool.killed == 1


def test_who_kills_a_worker_twice_is_named_and_the_last_to_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(executors, "_BATCH_SECONDS", 30.0)
    log: list[int] = []
    groups = list(Workers(Mortal()).run(deadly(log, 9, deaths=9)))
    assert log == [*range(7), 7, 8, 9, 7, 8, 9]
    ended = [each for group in groups for each in group]
    assert [each.call.label for each in ended] == [f"u{number}" for number in range(10)]
    assert [type(each.problem) for each in ended] == [type(None)] * 9 + [WorkerDiedError]


def test_workers_can_be_used_again_after_a_death(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Workers(Mortal())
    list(workers.run(deadly([], 0, deaths=9)))
    ended = [each for group in workers.run(deadly([], 0, deaths=0)) for each in group]
    assert [each.result for each in ended] == [10 * number for number in range(20)]


def test_who_stops_listening_ends_what_runs() -> None:
    pool = Slots(1)
    running: Any = Workers(pool).run(calls([], 1, 2, 3))
    next(running)
    running.close()
    assert pool.killed == 1


def test_a_result_or_a_problem_belongs_to_its_call() -> None:
    call = Call("u", len, ())
    assert Ended(call, 3) == Ended[int](call, 3, None)


def test_an_inline_pool_gives_what_was_raised() -> None:
    pool = InlinePool()
    problem = KeyError("x")
    assert pool.submit(len, "abc").result() == 3
    assert pool.problem(pool.submit(fails(problem))) is problem
    assert pool.problem(pool.submit(len, "abc")) is None
    assert pool.slots() == 1


def test_a_process_pool_knows_a_lost_call_from_a_failed_one() -> None:
    from concurrent.futures.process import BrokenProcessPool

    pool, lost, failed = ProcessPool(3), Future[int](), Future[int]()
    lost.set_exception(BrokenProcessPool())
    failed.set_exception(KeyError("x"))
    assert isinstance(pool.problem(lost), WorkerDiedError)
    assert isinstance(pool.problem(failed), KeyError)
    assert pool.slots() == 3


@pytest.mark.parametrize(
    ("workers", "wanted", "num_units", "processes"),
    [
        (3, None, 50, 3),
        (3, None, 2, 3),
        (3, None, 1, 1),
        (3, None, 0, 1),
        (3, 2, 50, 2),
        (3, 1, 50, 1),
        (None, None, 50, 7),
        (1, 5, 50, 5),
    ],
)
def test_what_a_map_wants_counts_before_the_config_and_that_before_the_cores(
    monkeypatch: pytest.MonkeyPatch,
    workers: int | None,
    wanted: int | None,
    num_units: int,
    processes: int,
) -> None:
    monkeypatch.setattr(workforce, "default_workers", lambda: 7)
    with Workforce(EngineConfig(workers=workers)) as force:
        found = force.workers(wanted, num_units)
        assert found.pool.slots() == processes
        assert isinstance(found.pool, InlinePool) == (processes == 1)
        assert found.limit is None
        assert found.finish is flush_units, "files are flushed before they travel"
        assert force.workers(wanted, num_units) is found


def test_as_many_workers_as_this_process_may_use_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 3, 5})
    assert default_workers() == 3


def test_a_unit_that_takes_long_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Of many the first eight, and that there are more."""
    workers = Workers(Slots(1))
    for number in range(10):
        workers._pending[Future()] = [Call(f"u{number}", len, ())]
    waits = iter([set(), {next(iter(workers._pending))}])
    monkeypatch.setattr(executors, "wait_for", lambda *_, **__: (next(waits), set()))
    future = next(iter(workers._pending))
    future.set_result((0.1, [(5, None)]))
    with caplog.at_level(logging.INFO):
        (group,) = workers._next_ended(Pace())
    assert group == [Ended(Call("u0", len, ()), 5)]
    assert "under way: u0, u1, u2, u3, u4, u5, u6, u7 ..." in caplog.text
