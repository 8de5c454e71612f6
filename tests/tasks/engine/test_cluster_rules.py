"""Workers of a cluster: how many there are, what a lost call is told as, how many run at once."""

import time
from concurrent.futures import Future
from typing import Any

import pytest

from tasks.config import EngineConfig
from tasks.engine import workforce
from tasks.engine.dask_pool import DaskPool
from tasks.engine.executors import Workers
from tasks.engine.pools import InlinePool, ProcessPool, WorkerDiedError
from tasks.engine.workforce import Workforce, _make_pool
from tasks.errors import StageError


class KilledError(Exception):
    """As distributed's own."""


class Client:
    """A connection to workers with these threads."""

    def __init__(self, *threads: int) -> None:
        self.threads, self.asked, self.is_away = list(threads), 0, False

    def nthreads(self) -> dict[str, int]:
        self.asked += 1
        if self.is_away:
            raise TimeoutError
        return {str(number): count for number, count in enumerate(self.threads)}


def pool_of(client: Client) -> DaskPool:
    pool = object.__new__(DaskPool)
    fields: dict[str, Any] = {"address": "tcp://h:1", "_client": client, "_lost": KilledError}
    pool.__dict__.update({**fields, "_slots": 0, "_looked": time.monotonic() - 10})
    return pool


def ended(problem: BaseException | None = None) -> Future[Any]:
    future: Future[Any] = Future()
    if problem is None:
        future.set_result(3)
    else:
        future.set_exception(problem)
    return future


def test_slots_are_the_threads_of_all_workers_and_one_for_who_may_come() -> None:
    assert pool_of(Client(2, 3)).slots() == 5
    assert pool_of(Client()).slots() == 1
    assert Workers(pool_of(Client(2, 3)))._window() == 10


def test_workers_are_counted_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    client = Client(2)
    pool = pool_of(client)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    pool._looked = 0.0
    for passed, slots, asked in ((0.0, 2, 1), (0.9, 2, 1), (0.2, 3, 2)):
        now[0] += passed
        assert (pool.slots(), client.asked) == (slots, asked)
        client.threads = [3]
    client.is_away = True
    now[0] += 2.0
    assert pool.slots() == 3, "what was last known"


def test_a_lost_call_is_lost_and_a_lost_scheduler_is_told() -> None:
    pool = pool_of(Client(1))
    failed = KeyError("x")
    assert pool.problem(ended(failed)) is failed
    assert pool.problem(ended()) is None
    assert isinstance(pool.problem(ended(KilledError("died"))), WorkerDiedError)
    cancelled: Future[Any] = Future()
    cancelled.cancel()
    told = pool.problem(cancelled)
    assert type(told) is StageError
    assert "tcp://h:1 ended or cannot be reached" in str(told)


@pytest.mark.parametrize(
    ("wanted", "num_units", "limit", "is_here"),
    [(None, 50, None, False), (None, 1, None, False), (3, 50, 3, False), (1, 50, 1, True)],
)
def test_on_a_cluster_a_map_may_limit_what_runs_at_once(
    monkeypatch: pytest.MonkeyPatch,
    wanted: int | None,
    num_units: int,
    limit: int | None,
    is_here: bool,
) -> None:
    cluster = ProcessPool(9)
    monkeypatch.setattr(workforce, "_make_pool", lambda *_: cluster)
    force = Workforce(EngineConfig(kind="dask", address="tcp://h:1"))
    found = force.workers(wanted, num_units)
    assert found.limit == limit
    assert (found.pool is cluster) is not is_here
    assert isinstance(found.pool, InlinePool) is is_here


def test_a_local_pool_has_its_processes() -> None:
    assert isinstance(_make_pool(EngineConfig(), 1), InlinePool)
    pool = _make_pool(EngineConfig(), 4)
    assert isinstance(pool, ProcessPool)
    assert pool.slots() == 4
