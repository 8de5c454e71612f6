"""A real Dask scheduler with real worker processes: the same bytes, whoever comes and goes."""

import importlib.util
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dask_cluster import DaskCluster, dask_cluster
from toy_stage import SLOW, ToySlice, toy_stages

from tasks.config import Config
from tasks.engine.executors import Call, Workers
from tasks.engine.runner import Outcome, run_stage
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.unit_records import UNITS, count_units
from tasks.errors import StageError, UserError

needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None,
    reason="distributed is not installed: make setup EXTRAS=dask",
)
pytestmark = [
    pytest.mark.timeout(180),
    # What distributed itself leaves open when a client is closed.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path_factory.mktemp("dask")) as started:
        yield started


def run(store: Store, numbers: list[int], address: str | None = None) -> Outcome:
    dask = {"kind": "dask", "address": address}
    engine = {"workers": 2} if address is None else dask
    config = Config.model_validate({"corpus": [{"type": "docs"}], "engine": engine})
    first, _ = toy_stages(ToySlice(numbers=numbers))
    return run_stage(first, config, store)


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def num_recorded(store: Store) -> int:
    names = store.names("1-first")
    return sum(count_units(store.names(f"1-first/{key}/{UNITS}")) for key in names)


@needs_dask
def test_dask_writes_the_bytes_of_the_local_engine(
    shared_cluster: DaskCluster, tmp_path: Path
) -> None:
    """Same key, same digests: where a unit ran is no part of anything but its provenance."""
    numbers = [5, 3, 8, 8, 1, 13]
    theirs = run(open_store(str(tmp_path / "dask")), numbers, shared_cluster.address)
    ours = run(open_store(str(tmp_path / "local")), numbers)
    assert theirs.artifact.key == ours.artifact.key
    assert theirs.artifact.digest == ours.artifact.digest
    assert theirs.artifact.manifest["outputs"] == ours.artifact.manifest["outputs"]
    processes = {unit.provenance["pid"] for unit in theirs.artifact.units}
    assert os.getpid() not in processes


@needs_dask
@pytest.mark.slow
def test_dask_and_s3_together(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Workers that share nothing with the driver but the object store."""
    url = request.getfixturevalue("place")("s3")("store")
    with dask_cluster(tmp_path) as cluster:
        theirs = run(open_store(url), [5, 3, 8], cluster.address)
    ours = run(open_store(str(tmp_path / "local")), [5, 3, 8])
    assert theirs.artifact.digest == ours.artifact.digest
    assert theirs.artifact.damaged(anew=True) == {}


@needs_dask
def test_a_worker_that_is_killed_and_one_that_comes(tmp_path: Path) -> None:
    """Kill -9 of one in the middle, another added: every unit is there, and none is named."""
    numbers = list(range(SLOW, SLOW + 160))
    store = open_store(str(tmp_path / "dask"))
    with dask_cluster(tmp_path, workers=1) as cluster:
        victim = cluster.add_worker()
        outcomes: list[Outcome] = []
        driver = threading.Thread(
            target=lambda: outcomes.append(run(store, numbers, cluster.address))
        )
        driver.start()
        wait_until(lambda: num_recorded(store) >= 8)
        victim.kill()
        killed_at = num_recorded(store)
        added = cluster.add_worker()
        driver.join()
    (outcome,) = outcomes
    assert killed_at < len(numbers)
    assert outcome.artifact.digest == run(open_store(str(tmp_path / "o")), numbers).artifact.digest
    assert added.pid in {unit.provenance["pid"] for unit in outcome.artifact.units}


@needs_dask
def test_a_unit_that_kills_its_workers_is_named(tmp_path: Path) -> None:
    """It ends the stage after its second try; the others are kept."""
    with dask_cluster(tmp_path, workers=3) as cluster:
        store = open_store(str(tmp_path / "dask"))
        with pytest.raises(StageError, match=r"numbers/00005: a worker process was killed"):
            run(store, [1, 2, 3, 4, 5, 777], cluster.address)
        assert num_recorded(store) == 5


@needs_dask
def test_a_unit_that_fails_is_told_as_on_the_local_engine(
    shared_cluster: DaskCluster, tmp_path: Path
) -> None:
    """The same paragraph, and the same units are kept for the next run."""
    store = open_store(str(tmp_path / "dask"))
    with pytest.raises(StageError, match="numbers/00001: RuntimeError: this number always fails"):
        run(store, [1, 666, 3], shared_cluster.address)
    assert run(store, [1, 2, 3], shared_cluster.address).state == "done"


@needs_dask
def test_a_scheduler_that_ends_in_the_middle_is_told(tmp_path: Path) -> None:
    """No unit is blamed; what was finished is kept."""
    store = open_store(str(tmp_path / "dask"))
    with dask_cluster(tmp_path) as cluster:

        def end() -> None:
            wait_until(lambda: num_recorded(store) >= 3)
            cluster.scheduler.kill()

        threading.Thread(target=end).start()
        with pytest.raises(StageError, match="Dask scheduler at .* cannot be reached any more"):
            run(store, list(range(SLOW, SLOW + 200)), cluster.address)
    assert num_recorded(store) >= 3


@needs_dask
def test_many_tiny_calls_go_in_batches(shared_cluster: DaskCluster) -> None:
    """What waits is drawn as the window has room: the driver's memory does not grow with it."""
    from tasks.engine.dask_pool import DaskPool

    drawn, furthest = 0, 0

    def calls() -> Iterator[Call]:
        nonlocal drawn
        for number in range(20_000):
            drawn += 1
            yield Call(str(number), abs, (-number,))

    workers = Workers(DaskPool(shared_cluster.address))
    total = 0
    ended = 0
    for group in workers.run(calls()):
        ended += len(group)
        furthest = max(furthest, drawn - ended)
        total += sum(call.result or 0 for call in group)
    workers.close()
    assert total == sum(range(20_000))
    assert furthest <= 2 * 2 * 256 + 256


@needs_dask
def test_an_address_where_nothing_answers_is_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the two commands that start a cluster."""
    from tasks.engine import dask_pool

    monkeypatch.setattr(dask_pool, "_CONNECT_SECONDS", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(UserError, match="no Dask scheduler answers at .*dask scheduler"):
            run(open_store(str(tmp_path)), [1, 2], address)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One paragraph that says which extra to install."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match="make setup EXTRAS=dask"):
        run(open_store(str(tmp_path)), [1, 2], "tcp://127.0.0.1:1")


def test_the_kind_and_its_address_belong_together() -> None:
    """Configs of before keep their meaning; half of a setting is refused."""
    corpus = [{"type": "docs"}]

    def kind(**engine: str) -> str:
        return Config.model_validate({"corpus": corpus, "engine": engine}).engine.kind

    assert kind() == kind(type="local") == kind(kind="local") == "local"
    assert kind(kind="dask", address="tcp://host:8786") == "dask"
    with pytest.raises(ValueError, match="needs the scheduler's address"):
        kind(kind="dask")
    with pytest.raises(ValueError, match="belongs to kind: dask"):
        kind(address="tcp://host:8786")
