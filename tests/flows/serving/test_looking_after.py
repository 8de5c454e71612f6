"""What a server does beside its runs goes on, whatever one store or one record says."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Running

from flows.commands.serve import _look_after
from flows.serving import stores
from flows.serving.mending import mend
from flows.serving.metrics import metrics_text
from flows.serving.stores import find_report, shown_stores, stores_of
from tasks.engine.lease import this_process
from tasks.engine.stores import open_store
from tasks.inspection.runs import FORMAT, write_run

GONE = {**this_process(), "process_start": 1.0}


def record(run: str, **more: Any) -> dict[str, Any]:
    return {
        "run": run, "name": "letters", "state": "running", "started": "2026-01-01", "seconds": 1,
        "stages": [], "process": GONE, **more,
    }  # fmt: skip


class Server:
    """Runs that are said to be under way, of which some are deleted when a state is set."""

    def __init__(self, runs: list[FlowRun], deleted: FlowRun | None = None) -> None:
        self.runs, self.deleted, self.told = runs, deleted, list[Any]()

    def read_flow_runs(self, **_: Any) -> list[FlowRun]:
        return self.runs

    def set_flow_run_state(self, run: Any, state: Any, force: bool) -> None:
        if self.deleted is not None and run == self.deleted.id:
            raise ObjectNotFound(KeyError(run))
        self.told.append((run, state.type))

    def read_deployments(self) -> list[Any]:
        raise OSError(28, "No space left on device")


def under_way(store: Path) -> FlowRun:
    started = datetime.now(UTC) - timedelta(days=1)
    state: State[Any] = Running().model_copy(update={"timestamp": started})
    parameters = {"config": {"store": str(store)}}
    return FlowRun(id=uuid4(), flow_id=uuid4(), name="x", parameters=parameters, state=state)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """Of three runs one's store is of a later version, and one's run is deleted just now."""
    runs = [under_way(tmp_path / name) for name in ("later", "deleted", "sound")]
    for run, name in zip(runs, ("later", "deleted", "sound"), strict=True):
        write_run(open_store(str(tmp_path / name)), record(str(run.id)))
    later = tmp_path / "later" / "runs" / f"{runs[0].id}.json"
    later.write_text(json.dumps({**record(str(runs[0].id)), "format": FORMAT + 1}))
    return Server(runs, deleted=runs[1])


def test_one_run_that_cannot_be_looked_at_keeps_no_other_from_being_mended(server: Any) -> None:
    """And the pass itself goes on to the next."""
    assert [run.id for run, _ in mend(server)] == [server.runs[2].id]
    assert server.told == [(server.runs[2].id, StateType.CRASHED)]


def test_nothing_that_is_looked_after_ends_the_server(server: Any) -> None:
    """With it would end every run; on a full disk, say, of a list that can be written later."""
    _look_after(server)
    assert server.told


def test_a_store_that_cannot_be_read_takes_no_figures_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor one that is spelt in two ways its series twice, for which Prometheus refuses all."""
    write_run(open_store(str(tmp_path / "sound")), record("one", state="done"))
    (tmp_path / "sound" / "runs" / "two.json").write_text("{}")
    (tmp_path / "later" / "runs").mkdir(parents=True)
    (tmp_path / "later" / "runs" / "x.json").write_text(json.dumps({"format": FORMAT + 1}))
    urls = [f"{tmp_path}/later", f"{tmp_path}/sound", f"file://{tmp_path}/sound/", "nodriver://x"]
    monkeypatch.setattr(stores, "_file", lambda: tmp_path / "none.json")
    monkeypatch.setenv(stores.STORES, "\n".join(urls))
    assert len(shown_stores()) == 2
    series = [line for line in metrics_text().splitlines() if line.startswith("roberta_runs{")]
    assert series == [f'roberta_runs{{store="{tmp_path}/sound",pipeline="letters",state="done"}} 1']
    assert find_report("x") is None


def test_the_store_of_the_folder_is_shown_beside_those_of_deployments(tmp_path: Path) -> None:
    """It is the one that `roberta status` there shows; one without a run is not."""
    deployed: list[dict[str, Any]] = [{"store": "s3://bucket/a"}, {}, {"store": None}]
    assert stores_of(deployed, tmp_path) == ["s3://bucket/a"]
    (tmp_path / "artifacts").mkdir()
    assert stores_of(deployed, tmp_path) == ["s3://bucket/a"]
    write_run(open_store(str(tmp_path / "artifacts")), record("one", state="done"))
    assert stores_of(deployed, tmp_path) == ["s3://bucket/a", f"{tmp_path}/artifacts"]


def test_looking_after_shows_the_folder_that_serve_was_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stores, "_file", lambda: tmp_path / "shown.json")
    write_run(open_store("./artifacts"), record("one", state="done"))
    server = Server([])
    monkeypatch.setattr(server, "read_deployments", lambda: [])
    _look_after(server)
    assert [store.url("") for store in shown_stores()] == [f"{tmp_path}/artifacts"]
