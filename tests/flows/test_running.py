"""A run at work: what it may touch, by who has started it, and what it writes down on the way."""

from pathlib import Path
from typing import Any

import pytest

from flows.running import RecordedProgress, check_allowed, recorded
from tasks.config import Config
from tasks.config.places import ROOTS
from tasks.engine.progress import Count
from tasks.engine.stores import open_store
from tasks.errors import UserError
from tasks.inspection.runs import read_run
from tasks.inspection.status import read_status


def config(folder: Path) -> Config:
    source: dict[str, Any] = {"type": "files", "paths": [str(folder / "a.txt")]}
    return Config.model_validate({"corpus": [source], "store": str(folder / "store")})


def test_a_deployed_run_touches_nothing_where_nobody_has_said_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was started by hand, without the variable; a person's own run may go on."""
    monkeypatch.delenv(ROOTS, raising=False)
    check_allowed(config(tmp_path))
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "of-a-form")
    with pytest.raises(UserError, match=rf"does not know what its runs may touch.* {ROOTS}"):
        check_allowed(config(tmp_path))
    monkeypatch.setenv(ROOTS, str(tmp_path))
    check_allowed(config(tmp_path))
    monkeypatch.setenv(ROOTS, str(tmp_path / "elsewhere"))
    with pytest.raises(UserError, match="lies outside"):
        check_allowed(config(tmp_path))


def test_how_far_a_stage_is_stands_in_the_record_of_a_local_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most every few seconds; a store that may not answer is not asked on the way."""
    monkeypatch.setattr("flows.running._PROGRESS_SECONDS", 0.0)
    for url in (str(tmp_path / "store"), "memory://progress"):
        store = open_store(url)
        record = {"run": "r", "name": "n", "state": "running", "started": "2026", "stages": []}
        sink = RecordedProgress(store, record)
        count = Count("pretrain", "", 10, "steps", done=4)
        sink.update(count)
        found = read_run(store, "r")
        assert (found is not None) == store.is_local
        if found is not None:
            assert found["progress"]["percent"] == 40.0
            assert "4 of 10 steps" in found["progress"]["text"]
            (shown,) = read_status(store)["runs"]
            assert shown["progress"] == found["progress"]
        sink.end(count)
        assert record.get("progress") is None


def test_a_deployed_run_that_is_refused_stands_in_the_store_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has seen it end, and the next one is to be told of as a recovery."""
    broken = config(tmp_path)
    with pytest.raises(UserError, match=r"a\.txt"), recorded(broken):
        pass
    store = open_store(broken.store)
    assert store.names("runs") == [], "a person has read why on the terminal"
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "of-a-form")
    monkeypatch.setenv(ROOTS, str(tmp_path))
    with pytest.raises(UserError, match=r"a\.txt"), recorded(broken):
        pass
    (shown,) = read_status(store)["runs"]
    assert shown["state"] == "failed"
