"""`status` tells how each run is, what is new about it, and what lies in the store."""

from pathlib import Path

import pytest
from hand_made import GONE, hand_made, hand_made_run

from tasks.engine.lease import Lease, this_process
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.inspection.status import read_status


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def test_the_newest_run_comes_first_with_the_state_it_is_really_in(store: Store) -> None:
    hand_made_run(store, "a", started="2026-01-01")
    hand_made_run(store, "b", started="2026-01-03", state="running", process=GONE, seconds=1.5)
    hand_made_run(store, "c", started="2026-01-02", state="failed")
    told = [(run["run"], run["state"], run["seconds"]) for run in read_status(store)["runs"]]
    assert told == [("b", "killed", 1.5), ("c", "failed", None), ("a", "done", None)]


def test_how_far_a_run_is_is_told_only_while_it_runs(store: Store) -> None:
    progress = {"stage": "pack", "percent": 5.0, "text": "5 of 100"}
    alive = this_process()
    hand_made_run(store, "a", state="running", process=alive, progress=progress)
    hand_made_run(store, "b", state="failed", progress=progress)
    hand_made_run(store, "c", state="running", process=GONE, progress=progress)
    hand_made_run(store, "d", state="running", process=alive, progress={"stage": "pack", "text": 5})
    hand_made_run(store, "e", state="running", process=alive, progress="far")
    told = {run["run"]: run["progress"] for run in read_status(store)["runs"]}
    assert told == {"a": progress, "b": None, "c": None, "d": None, "e": None}


def test_a_run_is_held_against_the_one_before_it_of_its_own_name(store: Store) -> None:
    hand_made_run(store, "a", started="1", config={"steps": 1, "seed": 7})
    hand_made_run(store, "b", started="2", config={"steps": 2, "seed": 7, "width": 8})
    hand_made_run(store, "x", started="3", name="mail", config={"steps": 9})
    hand_made_run(store, "c", started="4", config={"steps": 3, "width": 8})
    changed = {run["run"]: run["changed"] for run in read_status(store)["runs"]}
    assert changed == {
        "c": {"seed": None, "steps": 3},
        "x": {},
        "b": {"steps": 2, "width": 8},
        "a": {},
    }


def test_a_list_that_was_empty_and_a_field_without_a_value_are_no_change(store: Store) -> None:
    task = {"task": "qa", "test": None}
    hand_made_run(store, "a", started="1", config={"downstream": []})
    hand_made_run(store, "b", started="2", config={"downstream": [task]})
    hand_made_run(store, "c", started="3", config={"downstream": [{**task, "test": "t.json"}]})
    changed = {run["run"]: run["changed"] for run in read_status(store)["runs"]}
    assert changed == {
        "c": {"downstream.0.test": "t.json"},
        "b": {"downstream.0.task": "qa"},
        "a": {},
    }


def test_a_problem_is_text_or_nothing(store: Store) -> None:
    stages = [
        {"name": "pack", "key": None, "state": "failed", "problem": problem}
        for problem in ("no row is full", "  ", 7)
    ]
    hand_made_run(store, "a", stages=stages)
    (run,) = read_status(store)["runs"]
    assert [entry["problem"] for entry in run["stages"]] == ["no row is full", None, None]
    assert run["stages"][0]["state"] == "failed"


def test_an_artifact_is_told_with_units_bytes_and_whether_somebody_works_on_it(
    store: Store,
) -> None:
    hand_made(store, "clean", "ab", ended="2026-01-05")
    for name in ("k1--a.json", "batch-0f--9.json"):
        store.write(f"4-pack/cd/units/{name}", b"12345")
    (done, partial) = read_status(store)["artifacts"]
    size = len(store.read("2-clean/ab/manifest.json") or b"")
    assert done == {
        "stage": "clean",
        "key": "ab",
        "state": "done",
        "in_use": False,
        "units": 0,
        "bytes": size,
        "ended": "2026-01-05",
    }
    assert (partial["state"], partial["units"], partial["bytes"]) == ("partial", 10, 10)
    assert (partial["ended"], partial["in_use"]) == (None, False)
    with Lease(store, "4-pack/cd").held(lambda _: None):
        assert [one["in_use"] for one in read_status(store)["artifacts"]] == [False, True]
