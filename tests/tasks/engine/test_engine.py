"""The stage engine on two toy stages: keys, reuse, damage, failure, killed processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_stage import ToySlice, toy_stages

from tasks.config import Config
from tasks.engine.ledger import Ledger
from tasks.engine.records import read_manifest
from tasks.engine.runner import Outcome, run_stage
from tasks.engine.stage import StageContext, StageReport
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.errors import StageError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def config(workers: int = 1) -> Config:
    return Config.model_validate({"corpus": [{"type": "docs"}], "engine": {"workers": workers}})


def run_first(store: Store, numbers: list[int], workers: int = 1, **options: Any) -> Outcome:
    first, _ = toy_stages(ToySlice(numbers=numbers, **options))
    return run_stage(first, config(workers), store)


def contents(store: Store, outcome: Outcome) -> dict[str, bytes]:
    folder = Path(store.url(outcome.artifact.folder))
    return {path: (folder / path).read_bytes() for path, _ in outcome.artifact.outputs}


def test_a_second_run_is_served_from_the_store(store: Store, computed: Any) -> None:
    """The same config computes nothing, and hands on the same artifact."""
    first = run_first(store, [1, 2, 3])
    assert len(computed()) == 3
    again = run_first(store, [1, 2, 3])

    assert (first.state, again.state, computed()) == ("done", "cached", [])
    assert again.artifact.manifest == first.artifact.manifest


def test_outputs_are_handed_on_in_the_order_of_their_paths(store: Store) -> None:
    """Shards are read in this order: rows get their numbers, and so their masks, by it."""
    made = run_first(store, list(range(12))).artifact
    paths = [path for path, _ in made.outputs]
    assert paths == [f"numbers/{number:05d}.txt" for number in range(12)]
    assert [file.local().read_text() for file in made.files("numbers/")] == [
        f"{number}\n" for number in range(12)
    ]


def test_execution_fields_and_workers_are_no_part_of_the_key(store: Store, computed: Any) -> None:
    """Another worker count or a field marked as execution reuses the artifact."""
    run_first(store, [1, 2], workers=1)
    computed()
    assert run_first(store, [1, 2], workers=2, trace="elsewhere").state == "cached"
    assert run_first(store, [1, 2], value=2).state == "done"


def test_bytes_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    """One process and three processes write the same artifact under the same key."""
    numbers = [5, 3, 8, 8, 1, 13]
    one = run_first(open_store(str(tmp_path / "one")), numbers, workers=1)
    three = run_first(open_store(str(tmp_path / "three")), numbers, workers=3)

    assert one.artifact.key == three.artifact.key
    assert one.artifact.digest == three.artifact.digest


def test_a_grown_input_computes_only_the_new_units(store: Store, computed: Any) -> None:
    """Units of an earlier artifact are taken over, whatever their place was there."""
    run_first(store, [1, 2, 3])
    computed()
    grown = run_first(store, [0, 1, 2, 3])

    assert computed() == ["numbers/00000"]
    assert contents(store, grown)["numbers/00003.txt"] == b"3\n"


def test_a_failed_unit_leaves_the_others_behind(store: Store, computed: Any) -> None:
    """The failure is named; a later run with the cause removed does only what is missing."""
    with pytest.raises(StageError, match="numbers/00001: RuntimeError: this number always fails"):
        run_first(store, [1, 666, 3])
    computed()
    run_first(store, [1, 2, 3])
    assert "numbers/00000" not in computed()


def test_a_killed_worker_is_a_clear_failure(store: Store) -> None:
    """A worker that dies (out of memory) ends the stage with advice, and hangs nothing."""
    with pytest.raises(StageError, match="a worker process was killed.*engine.workers"):
        run_first(store, [1, 777, 3], workers=2)


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_output_is_never_served_and_comes_back_the_same(
    store: Store, computed: Any, damage: str
) -> None:
    """Only the damaged unit is computed again, and the manifest is as it was, times and all."""
    outcome = run_first(store, [4, 5, 6])
    before = contents(store, outcome)
    computed()
    path = Path(store.url(f"{outcome.artifact.folder}/numbers/00001.txt"))
    if damage == "flip":
        path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    elif damage == "cut":
        path.write_bytes(b"")
    else:
        path.unlink()

    assert outcome.artifact.damaged() == {"numbers/00001": ["numbers/00001.txt"]}
    again = run_first(store, [4, 5, 6])

    assert again.state == "done"
    assert computed() == ["numbers/00001"]
    assert contents(store, again) == before
    assert again.artifact.manifest == outcome.artifact.manifest


@pytest.mark.parametrize("place", ["manifest.json", "units"])
def test_a_damaged_record_is_noticed_and_rebuilt(store: Store, computed: Any, place: str) -> None:
    """A flipped byte in a manifest or a unit record is found; no unit is computed again."""
    outcome = run_first(store, [4, 5])
    computed()
    path = Path(store.url(f"{outcome.artifact.folder}/{place}"))
    if path.is_dir():
        path = sorted(path.iterdir())[0]
    sound = path.read_bytes()
    path.write_bytes(sound.replace(b'"rows"', b'"rowz"', 1))
    assert path.read_bytes() != sound

    assert run_first(store, [4, 5]).state == "done"
    assert computed() == []
    assert path.read_bytes() == sound


def test_an_unchanged_output_leaves_the_next_stage_cached(store: Store) -> None:
    """A stage that runs again to the same bytes does not wake the stages after it."""
    settings = config()
    first, second = toy_stages(ToySlice(numbers=[2, 2], value=3))
    one = run_stage(first, settings, store)
    run_stage(second, settings, store, {"first": one.artifact})

    other_first, other_second = toy_stages(ToySlice(numbers=[3, 3], value=2))
    two = run_stage(other_first, settings, store)
    assert one.artifact.key != two.artifact.key
    assert one.artifact.digest == two.artifact.digest
    assert run_stage(other_second, settings, store, {"first": two.artifact}).state == "cached"


def test_force_computes_everything_again(store: Store, computed: Any) -> None:
    """--force trusts nothing that is stored for this stage."""
    run_first(store, [1, 2])
    computed()
    first, _ = toy_stages(ToySlice(numbers=[1, 2]))
    outcome = run_stage(first, config(), store, force="again")
    assert outcome.state == "done"
    assert len(computed()) == 2


def test_what_is_forced_is_so_once_for_each_who_asks(
    store: Store, computed: Callable[[], list[str]]
) -> None:
    """A run that is tried again goes on with what it made itself; another one begins anew."""
    run_first(store, [1, 2])
    computed()
    first, _ = toy_stages(ToySlice(numbers=[1, 2]))
    found = []
    for word in ("one run", "one run", "another run"):
        found.append((run_stage(first, config(), store, force=word).state, len(computed())))
    assert found == [("done", 2), ("cached", 0), ("done", 2)]


def test_a_ledger_that_does_not_balance_fails(tmp_path: Path) -> None:
    """What came in must be kept or dropped for a reason, to the last document."""
    ledger = Ledger()
    ledger.take(documents=3)
    ledger.keep(documents=1)
    ledger.drop("short", documents=1)
    with pytest.raises(StageError, match="3 documents came in.* 1 are unaccounted"):
        ledger.check("clean")
    ledger.drop("long", documents=1)
    ledger.check("clean")
    ledger.keep(documents=1)  # one document counted twice is as wrong as one that is lost
    with pytest.raises(StageError, match="3 documents came in.* -1 are unaccounted"):
        ledger.check("clean")
    assert Ledger.from_json(ledger.to_json()).to_json() == ledger.to_json()


@pytest.mark.parametrize("arrived", [1, 3])
def test_what_a_stage_takes_in_is_what_the_one_before_it_kept(store: Store, arrived: int) -> None:
    """Text that is lost on the way, or there twice, is a defect even if each ledger adds up."""
    kept = run_first(store, [1, 2])
    assert kept.artifact.ledger.balances["documents"].kept == 2

    def takes(_: StageContext[Any]) -> StageReport:
        ledger = Ledger()
        ledger.take(documents=arrived)
        ledger.keep(documents=arrived)
        return StageReport(ledger)

    _, second = toy_stages(ToySlice(numbers=[1, 2]))
    inputs = {"first": kept.artifact}
    with pytest.raises(StageError, match=f"first kept 2 documents but {arrived} arrived"):
        run_stage(replace(second, run=takes), config(), store, inputs)


KILLED_RUN = """
import sys
from toy_stage import ToySlice, toy_stages
from tasks.config import Config
from tasks.engine.runner import run_stage
from tasks.engine.store import Store
from tasks.engine.stores import open_store
if __name__ == "__main__":
    config = Config.model_validate({"corpus": [{"type": "docs"}], "engine": {"workers": 2}})
    first, _ = toy_stages(ToySlice(numbers=list(range(1, 13))))
    print(run_stage(first, config, open_store(sys.argv[1])).artifact.digest)
"""


def test_a_run_killed_at_any_moment_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """Kill -9 of the whole process group, several times; finished units are never redone."""
    script = tmp_path / "killed_run.py"
    script.write_text(KILLED_RUN)
    trace = tmp_path / "trace.txt"
    support = str(Path(__file__).parents[2] / "support")
    root = str(Path(__file__).parents[3])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([support, root]),
        "TOY_TRACE": str(trace),
        "TOY_SECONDS": "0.4",
    }
    command = [sys.executable, str(script), str(tmp_path / "store")]

    kills = 0
    for delay in (1.2, 1.5, 1.8):
        process = subprocess.Popen(
            command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL
        )
        try:
            process.wait(timeout=delay)
            break
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
    assert kills
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)

    undisturbed = run_first(open_store(str(tmp_path / "other")), list(range(1, 13)))
    assert done.stdout.strip() == undisturbed.artifact.digest
    labels = trace.read_text().split() if trace.exists() else []
    # A unit that no record says is done at a kill is computed once more. Two are in the making at a
    # time; on a busy machine two more are made, and the driver has not come to record them.
    assert len(labels) <= 12 + 4 * kills


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    """Kill -9 of the parent alone leaves no process behind."""
    script = tmp_path / "killed_run.py"
    script.write_text(KILLED_RUN)
    support = str(Path(__file__).parents[2] / "support")
    root = str(Path(__file__).parents[3])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([support, root]),
        "TOY_SECONDS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "store")],
        env=environment,
        start_new_session=True,
    )
    session = process.pid
    _wait_until(lambda: len(_members(session)) >= 3)
    process.kill()
    process.wait()
    _wait_until(lambda: not _members(session))


def _members(session: int) -> list[int]:
    import psutil

    return [
        process.pid
        for process in psutil.process_iter()
        if process.pid != session and _session_of(process.pid) == session
    ]


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _wait_until(condition: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def test_two_runs_at_once_share_the_work(tmp_path: Path) -> None:
    """The second run waits for the first and is then served, rather than doing it again."""
    script = tmp_path / "killed_run.py"
    script.write_text(KILLED_RUN)
    trace = tmp_path / "trace.txt"
    support = str(Path(__file__).parents[2] / "support")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([support, str(Path(__file__).parents[3])]),
        "TOY_TRACE": str(trace),
        "TOY_SECONDS": "0.05",
    }
    command = [sys.executable, str(script), str(tmp_path / "store")]
    runs = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [run.communicate(timeout=60)[0] for run in runs]

    assert outputs[0] == outputs[1] != ""
    assert len(trace.read_text().split()) == 12


def test_a_partial_artifact_is_no_artifact(store: Store) -> None:
    """Without its manifest a folder full of outputs is not read by anybody."""
    outcome = run_first(store, [1])
    store.remove(f"{outcome.artifact.folder}/manifest.json")
    assert read_manifest(store, outcome.artifact.folder) is None
