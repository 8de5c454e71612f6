"""Records of runs say which format they are in."""

import json
from pathlib import Path

import pytest

from tasks.engine.lease import machine, this_process
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.errors import StageError
from tasks.inspection.runs import FORMAT, read_run, read_runs, state_of, write_run

RECORD = {"run": "one", "name": "mine", "started": "2026-01-01", "stages": []}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def test_a_run_is_written_with_its_format_and_read_as_it_was(store: Store) -> None:
    """The number is the file's matter: nobody who reads a record meets it."""
    write_run(store, RECORD)
    assert json.loads(store.read("runs/one.json") or b"")["format"] == FORMAT
    assert read_run(store, "one") == RECORD
    assert read_runs(store, "mine") == [RECORD]


def test_a_run_of_before_there_were_formats_is_read(store: Store) -> None:
    """Runs of earlier versions stay in the history, and what they used stays kept."""
    store.write("runs/one.json", json.dumps(RECORD).encode())
    assert read_runs(store) == [RECORD]


def test_a_run_of_a_later_version_gets_a_sentence(store: Store) -> None:
    """Guessing at its fields could prune what it needs."""
    store.write("runs/one.json", json.dumps({**RECORD, "format": FORMAT + 1}).encode())
    with pytest.raises(StageError, match=rf"later version .*run format {FORMAT + 1}.*another --st"):
        read_runs(store)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {**RECORD, "started": None},
        {**RECORD, "stages": {}},
        {**RECORD, "stages": ["pack"]},
        {**RECORD, "process": {}},
    ],
)
def test_a_file_that_is_no_record_is_passed_over(store: Store, content: object) -> None:
    """Anybody can put a file there; it must not keep every command from the runs beside it."""
    write_run(store, RECORD)
    store.write("runs/two.json", json.dumps(content).encode())
    assert read_run(store, "two") is None
    assert read_runs(store) == [RECORD]


@pytest.mark.parametrize(
    ("change", "state"),
    [({}, "killed"), ({"host": "another"}, "running"), ({"started": "2999-01-01"}, "running")],
)
def test_a_run_that_was_at_work_when_the_machine_was_restarted_was_killed(
    change: dict[str, str], state: str
) -> None:
    """Else it would be under way for ever, and prune would keep all that was made since."""
    host, _, spaces = machine().split(" ")
    process = {**this_process(), "machine": f"{change.get('host', host)} earlier-boot {spaces}"}
    record = {**RECORD, "state": "running", "process": process}
    assert state_of({**record, "started": change.get("started", "2000-01-01")}) == state
