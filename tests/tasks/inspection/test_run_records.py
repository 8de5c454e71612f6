"""Records of runs, rule by rule: which is the newest, which counts, what it used."""

from pathlib import Path
from typing import Any

import pytest
from hand_made import GONE, hand_made, hand_made_run

from tasks.config import Config
from tasks.engine.lease import this_process
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.inspection.runs import (
    artifacts_of,
    config_of,
    newest_artifact,
    read_run,
    read_runs,
    state_of,
    states_under_way,
    write_run,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def test_records_come_newest_first_whatever_their_files_are_called(store: Store) -> None:
    for run, started, name in (("a", "2", "letters"), ("b", "3", "mail"), ("c", "1", "letters")):
        hand_made_run(store, run, started=started, name=name)
    assert [record["run"] for record in read_runs(store)] == ["b", "a", "c"]
    assert [record["run"] for record in read_runs(store, "letters")] == ["a", "c"]
    assert read_runs(store, "letter") == []


def test_a_record_is_replaced_by_a_later_state_of_it_and_keeps_its_letters(store: Store) -> None:
    record = hand_made_run(store, "a", name="письма")
    write_run(store, {**record, "state": "failed"})
    assert [one["state"] for one in read_runs(store, "письма")] == ["failed"]
    assert "письма".encode() in (store.read("runs/a.json") or b"")


@pytest.mark.parametrize("content", [b"[1]", b"null", b"{", b"7", b""])
def test_what_is_no_json_object_is_no_record(store: Store, content: bytes) -> None:
    store.write("runs/a.json", content)
    assert read_run(store, "a") is None
    assert read_run(store, "not there") is None


@pytest.mark.parametrize(
    "change",
    [
        {"run": 7},
        {"name": None},
        {"started": 2026},
        {"process": "1234"},
        {"process": {"machine": "m", "pid": 1}},
        {"stages": [{"name": 3}]},
        {"stages": [{"key": "k"}]},
    ],
)
def test_a_record_that_lacks_what_its_readers_rely_on_is_none(
    store: Store, change: dict[str, Any]
) -> None:
    hand_made_run(store, "a")
    record = hand_made_run(store, "b", process={"machine": "m", "pid": 1, "process_start": 2.0})
    assert read_run(store, "b") == record
    write_run(store, {**record, **change, "run": "b"} if "run" not in change else record)
    if "run" in change:
        store.write("runs/b.json", b'{"run": 7, "name": "x", "started": "1", "stages": []}')
    assert read_run(store, "b") is None


@pytest.mark.parametrize(
    ("record", "state"),
    [
        ({"state": "running", "process": GONE}, "killed"),
        ({"state": "running", "process": this_process()}, "running"),
        ({"state": "running", "process": None}, "running"),
        ({"state": "running"}, "running"),
        ({"state": "done", "process": GONE}, "done"),
        ({"state": "failed", "process": GONE}, "failed"),
    ],
)
def test_only_a_run_that_never_said_how_it_ended_was_killed(
    record: dict[str, Any], state: str
) -> None:
    assert state_of({"started": "2026-01-01", **record}) == state


def test_a_time_that_cannot_be_read_was_not_before_a_restart() -> None:
    host, _, spaces = this_process()["machine"].split(" ")
    process = {**this_process(), "machine": f"{host} earlier-boot {spaces}"}
    record = {"state": "running", "process": process}
    assert state_of({**record, "started": "2000-01-01"}) == "killed"
    assert state_of({**record, "started": "long ago"}) == "running"


def test_how_a_run_at_work_came_by_its_artifacts(store: Store) -> None:
    """Of the run that has all of them; of one that has ended nothing is told."""
    stages = [
        {"name": "clean", "key": "c", "state": "cached"},
        {"name": "pack", "key": "k", "state": "done"},
        {"name": "pretrain", "key": "t", "state": "done"},
    ]
    wanted = {"clean": "c", "pack": "k"}
    hand_made_run(store, "ended", stages=stages, started="3")
    assert states_under_way(store, wanted) == {}
    hand_made_run(store, "less", stages=stages[:1], started="2", state="running")
    other = [{**stages[0], "key": "other"}, stages[1]]
    hand_made_run(store, "other", stages=other, started="2", state="running")
    assert states_under_way(store, wanted) == {}
    hand_made_run(store, "work", stages=stages, started="1", state="running")
    assert states_under_way(store, wanted) == {"clean": "cached", "pack": "done"}


def test_finished_artifacts_come_newest_first_by_when_they_ended(store: Store) -> None:
    for key, ended in (("a", "2026-01-02"), ("b", "2026-01-03"), ("c", None), ("d", "2026-01-01")):
        hand_made(store, "pack", key, ended=ended)
    store.write("4-pack/partial/units/x--y.json", b"{}")
    assert [each.key for each in artifacts_of(store, "pack")] == ["b", "a", "d", "c"]


def test_the_newest_artifact_is_that_of_the_newest_run_of_the_name_that_is_there(
    store: Store,
) -> None:
    """Not the one that was made last: an older one may have been used again."""
    hand_made(store, "pack", "used", ended="2026-01-01")
    hand_made(store, "pack", "made", ended="2026-01-09")
    hand_made_run(store, "a", {"pack": "made"}, started="1")
    hand_made_run(store, "b", {"clean": "x", "pack": "used"}, started="2")
    hand_made_run(store, "c", {"pack": "removed"}, started="3")
    hand_made_run(store, "d", {"pack": ""}, started="4")
    hand_made_run(store, "e", {"pack": "made"}, started="5", name="mail")
    found = newest_artifact(store, "pack", "letters")
    assert found is not None
    assert found.key == "used"
    assert newest_artifact(store, "pack", "nobody") is None
    assert newest_artifact(store, "tokenizer", "letters") is None


def test_a_runs_config_is_read_as_it_was_started_with() -> None:
    config = Config.model_validate({"name": "x", "corpus": [{"type": "docs"}]})
    record = {"config": config.model_dump(mode="json", by_alias=True)}
    assert config_of(record) == config
