"""Every way a unit can end, with many more units than workers, against the clock."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path

import pytest
from toy_stage import SLOW, ToySlice, toy_stages

from tasks.config import Config
from tasks.engine import computing
from tasks.engine.lease import LeaseLostError
from tasks.engine.outside import check_unchanged
from tasks.engine.runner import Outcome, run_stage
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.unit_records import UNITS, count_units
from tasks.errors import StageError

MANY = 60
SUPPORT, ROOT = Path(__file__).parents[2] / "support", Path(__file__).parents[3]

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def config(workers: int) -> Config:
    return Config.model_validate({"corpus": [{"type": "docs"}], "engine": {"workers": workers}})


def run(store: Store, numbers: list[int], workers: int = 2) -> Outcome:
    first, _ = toy_stages(ToySlice(numbers=numbers))
    return run_stage(first, config(workers), store)


def committed(store: Store) -> int:
    (folder,) = store.names("1-first")
    return count_units(store.names(f"1-first/{folder}/{UNITS}"))


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize(
    "places", [[0], [MANY // 2], [MANY - 1], [0, 1, 2], [0, MANY - 1]], ids=str
)
def test_a_unit_that_fails_among_many_ends_the_stage(
    store: Store, workers: int, places: list[int]
) -> None:
    """First of many, last of many, several at once: named, and what was finished is kept."""
    numbers = [666 if place in places else place + 1 for place in range(MANY)]
    with pytest.raises(StageError, match=r"numbers/\d+: RuntimeError: this number always fails"):
        run(store, numbers, workers)
    if min(places) == MANY - 1:
        assert committed(store) == MANY - 1
    assert run(store, list(range(1, MANY + 1)), workers).state == "done"


@pytest.mark.parametrize("place", [0, MANY // 2, MANY - 1])
def test_a_worker_that_dies_again_and_again_is_named(store: Store, place: int) -> None:
    """The unit that killed its worker twice is named; its neighbours are not lost with it."""
    numbers = [777 if number == place else number + 1 for number in range(MANY)]
    with pytest.raises(StageError, match=rf"numbers/{place:05}: a worker process was killed"):
        run(store, numbers)
    if place == MANY - 1:
        assert committed(store) == MANY - 1


def test_a_worker_that_dies_once_costs_nothing_but_time(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """One retry: the run ends well, and with every unit."""
    outcome = run(store, [*range(1, MANY), 778])
    assert "a worker process died" in caplog.text
    assert len(outcome.artifact.outputs) == MANY


def test_a_killed_fork_server_costs_nothing_but_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies while a worker is asked of it: another one is started."""
    read: Callable[[int], int] = forkserver.read_signed
    killed: list[int] = []

    def dies_once(channel: int) -> int:
        process: int = read(channel)
        if killed:
            return process
        killed.append(process)
        os.kill(process, signal.SIGKILL)
        raise EOFError("unexpected EOF")

    monkeypatch.setattr(forkserver, "read_signed", dies_once)
    assert len(run(store, list(range(20))).artifact.outputs) == 20
    assert killed


@pytest.mark.parametrize("workers", [1, 2])
def test_a_unit_that_exits_fails_and_ends_no_run(store: Store, workers: int) -> None:
    """Where it runs in this process, `sys.exit(0)` would end the run as if all were done."""
    numbers = [number + 1 for number in range(20)]
    numbers[9] = 888
    with pytest.raises(StageError, match=r"numbers/00009: SystemExit: 0"):
        run(store, numbers, workers)
    assert committed(store) >= 9


def test_one_worker_commits_each_unit_as_it_ends(store: Store) -> None:
    """With `workers: 1` a kill must not cost everything that was done before it."""
    with pytest.raises(StageError):
        run(store, [1, 2, 3, 666], workers=1)
    assert committed(store) == 3


def test_a_lost_lease_ends_the_stage_and_its_workers(store: Store) -> None:
    """A successor took over in the middle: nothing more is recorded, nobody is left behind."""
    before = _workers()
    with taken_over(store, after=5), pytest.raises(LeaseLostError, match="another run took over"):
        run(store, list(range(SLOW, SLOW + MANY)))
    assert committed(store) <= 8
    assert not _workers() - before


def test_a_unit_whose_files_are_in_place_is_not_recorded_without_the_lease(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The successor comes between the files and the record: the fence is passed again."""
    move = type(store).move_new

    def overtaken(self: Store, source: str, target: str) -> bool:
        moved = move(self, source, target)
        folder = "/".join(target.split("/")[:2])
        self.create(f"{folder}/.lease/00000002.json", b"{}")
        return moved

    monkeypatch.setattr(type(store), "move_new", overtaken)
    with pytest.raises(LeaseLostError):
        run(store, [1, 2, 3], workers=1)
    assert committed(store) == 0


def test_no_file_is_put_without_the_lease(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The successor comes while a unit is computed: its files stay outside the artifact."""
    check = check_unchanged

    def overtaken(payload: object) -> None:
        check(payload)
        (folder,) = store.names("1-first")
        store.create(f"1-first/{folder}/.lease/00000002.json", b"{}")

    monkeypatch.setattr(computing, "check_unchanged", overtaken)
    with pytest.raises(LeaseLostError):
        run(store, [1, 2, 3], workers=1)
    assert committed(store) == 0
    assert not [path for path in store.files("1-first") if path.endswith(".txt")]


class taken_over:  # noqa: N801
    """Another owner's lease file appears once some units are recorded."""

    def __init__(self, store: Store, after: int) -> None:
        self.store, self.after = store, after
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.thread.join()

    def _watch(self) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            names = self.store.names("1-first")
            if names and len(self.store.names(f"1-first/{names[0]}/{UNITS}")) >= self.after:
                self.store.create(f"1-first/{names[0]}/.lease/00000002.json", b"{}")
                return
            time.sleep(0.01)


def _workers() -> set[int]:
    """Living descendants that are no children: a pool's processes are forked by its server."""
    import psutil

    return {
        child.pid
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE and child.ppid() != os.getpid()
    }


SCRIPT = """
import sys
import tasks.engine.lease as lease
from toy_stage import SLOW, ToySlice, toy_stages
from tasks.config import Config
from tasks.engine.runner import run_stage
from tasks.engine.store import Store
from tasks.engine.stores import open_store
if __name__ == "__main__":
    lease.SECONDS = 2.0
    config = Config.model_validate({"corpus": [{"type": "docs"}], "engine": {"workers": 2}})
    first, _ = toy_stages(ToySlice(numbers=list(range(1, 13))))
    try:
        print(run_stage(first, config, open_store(sys.argv[1])).artifact.digest)
    except lease.LeaseLostError as lost:
        print("LOST", lost)
        sys.exit(1)
"""


def start(tmp_path: Path, seconds: float) -> "subprocess.Popen[str]":
    script = tmp_path / "toy_run.py"
    script.write_text(SCRIPT)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(SUPPORT), str(ROOT)]),
        "TOY_SECONDS": str(seconds),
    }
    return subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "store")],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_ctrl_c_ends_a_run_with_many_units(tmp_path: Path) -> None:
    """It ends at once, without its workers, and the next run goes on."""
    process = start(tmp_path, 0.5)
    _wait_for_units(tmp_path, 2)
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=20)
    again = start(tmp_path, 0)
    digest, _ = again.communicate(timeout=40)
    whole = open_store(str(tmp_path / "whole"))
    assert digest.strip() == run(whole, list(range(1, 13))).artifact.digest


@pytest.mark.parametrize("whole_group", [True, False], ids=["all asleep", "only the driver"])
def test_an_owner_that_wakes_up_says_nothing_more(tmp_path: Path, whole_group: bool) -> None:
    """SIGSTOP past the lease's end, a second run finishes, the first wakes: no harm is done."""
    sleeper = start(tmp_path, 0.4)
    _wait_for_units(tmp_path, 2)
    pause = os.killpg if whole_group else os.kill
    pause(sleeper.pid, signal.SIGSTOP)
    second = start(tmp_path, 0)
    digest, _ = second.communicate(timeout=40)
    pause(sleeper.pid, signal.SIGCONT)
    said, _ = sleeper.communicate(timeout=40)

    assert sleeper.returncode == 1
    assert said.startswith("LOST")
    store = open_store(str(tmp_path / "store"))
    served = run(store, list(range(1, 13)))
    assert served.state == "cached"
    assert served.artifact.digest == digest.strip()
    assert len(served.artifact.outputs) == 12
    assert served.artifact.damaged(anew=True) == {}
    assert (
        served.artifact.digest
        == run(open_store(str(tmp_path / "o")), [*range(1, 13)]).artifact.digest
    )


def _wait_for_units(tmp_path: Path, count: int) -> None:
    end = time.monotonic() + 30
    while len(list((tmp_path / "store").glob("1-first/*/units/*.json"))) < count:
        assert time.monotonic() < end, "no unit was committed in time"
        time.sleep(0.02)
