"""A run at work, rule by rule: what its record says, whatever ends it, and what is shown."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hand_made import GONE, hand_made, hand_made_run

from flows import running
from flows.running import RecordedProgress, Run, _at_work, _end_of_last, _failed_entry, recorded
from tasks.config import Config
from tasks.engine.lease import this_process
from tasks.engine.progress import Count
from tasks.engine.runner import Outcome
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.errors import StageError, UserError
from tasks.inspection.runs import read_run
from tasks.publishing.latest import point_latest, published_folder

CONFIG = Config.model_validate({"name": "letters", "corpus": [{"type": "docs"}]})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


class Watch:
    """As much of a watch as a run asks for."""

    def __init__(self) -> None:
        self.sinks: tuple[Any, ...] = ()
        self.shown: list[Any] = []

    def stage_ended(self, *shown: Any) -> None:
        self.shown.append(shown)

    def published(self) -> None:
        self.shown.append("leaderboard")

    def run_ended(self, record: Any, made: Any) -> None:
        self.shown.append((record["state"], list(made)))


def new_record() -> dict[str, Any]:
    return {
        "run": "r", "name": "letters", "state": "running", "started": "2026", "stages": [],
        "seconds": 0.0,
    }  # fmt: skip


def run_of(store: Store, config: Config = CONFIG) -> tuple[Run, Any]:
    watch: Any = Watch()
    workforce: Any = "workforce"
    return Run(config, store, new_record(), workforce, watch), watch


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, store: Store) -> list[Any]:
    """The stages that were run as tasks, each with what it was given."""
    given: list[Any] = []

    def as_task(name: str, config: Any, _: Any, inputs: Any, **more: Any) -> Any:
        given.append((name, config, dict(inputs), more))
        if name == "evaluate":
            raise StageError("evaluate: no pairs")
        state = SimpleNamespace(state_details=SimpleNamespace(task_run_id=f"task {name}"))
        made = hand_made(store, name, f"k-{name}")
        return Outcome(made, "cached" if name == "clean" else "done", 1.23456), state

    monkeypatch.setattr(running, "run_stage_as_task", as_task)
    return given


def test_stages_follow_each_other_and_each_is_in_the_record_at_once(
    store: Store, ran: list[Any]
) -> None:
    run, watch = run_of(store)
    last = run.stages(["download", "clean"], is_forced=lambda name: name == "clean")
    assert last.key == "k-clean"
    assert [(name, config is CONFIG, list(inputs)) for name, config, inputs, _ in ran] == [
        ("download", True, []),
        ("clean", True, ["download"]),
    ]
    assert [more["force"] for *_, more in ran] == [None, "r"], "the run's own id, see `run_stage`"
    befores = [more["after"] and more["after"].state_details.task_run_id for *_, more in ran]
    assert befores == [None, "task download"]
    assert all(more["progress"] is run.progress for *_, more in ran)
    assert all(more["workforce"] == "workforce" for *_, more in ran)
    entry = {"key": "k-clean", "name": "clean", "state": "cached", "seconds": 1.235}
    assert run.record["stages"][1] == {**entry, "path": store.url("2-clean/k-clean")}
    assert run.record["seconds"] == 2.47
    assert read_run(store, "r") == run.record
    shown = [(name, state, task) for name, state, _, task in watch.shown]
    assert shown == [("download", "done", "task download"), ("clean", "cached", "task clean")]


def test_a_stage_that_fails_is_in_the_record_with_its_problem(store: Store, ran: list[Any]) -> None:
    run, watch = run_of(store)
    with pytest.raises(StageError):
        run.stages(["download", "evaluate", "publish"])
    assert [name for name, *_ in ran] == ["download", "evaluate"]
    entry = run.record["stages"][-1]
    assert (entry["name"], entry["state"], entry["key"]) == ("evaluate", "failed", None)
    assert (entry["problem"], entry["path"]) == ("evaluate: no pairs", None)
    assert len(watch.shown) == 1


def test_what_runs_beside_changes_nothing_of_what_was_made(store: Store, ran: list[Any]) -> None:
    run, watch = run_of(store)
    run.stages(["download"])
    other = CONFIG.model_copy(update={"name": "other"})
    found = run.beside("pretrain", {"pack": run.made["download"]}, other)
    assert found.key == "k-pretrain"
    assert list(run.made) == ["download"]
    name, config, inputs, more = ran[-1]
    assert (name, config, list(inputs), more["force"]) == ("pretrain", other, ["pack"], None)
    assert len(watch.shown) == 1
    run.stages(["pack"], config=other)
    assert ran[-1][1] is other


def test_only_a_config_that_asks_for_it_teaches(store: Store, ran: list[Any]) -> None:
    run, _ = run_of(store)
    run.fine_tune()
    assert ran == []
    run, _ = run_of(store, CONFIG.model_copy(update={"downstream": ("x",)}))
    run.fine_tune(is_forced=lambda _: True)
    assert [(name, more["force"]) for name, *_, more in ran] == [("finetune", "r")]


def test_publishing_points_both_names_to_it_and_the_record_says_where(
    store: Store, ran: list[Any]
) -> None:
    run, _ = run_of(store)
    run.stages(["publish"])
    assert published_folder(store, "letters") is None
    run.publish()
    assert published_folder(store, "letters") == "7-publish/k-publish"
    assert run.record["model"] == store.url("7-publish/k-publish/model")
    assert run.record["report"] == store.url("7-publish/k-publish/report.html")
    assert run.record["replaces"] is None
    run.publish()
    assert run.record["replaces"] is None, "it takes its own place"
    point_latest(store, "7-publish/older", "letters")
    run.publish()
    assert run.record["replaces"] == "7-publish/older"


@pytest.mark.parametrize(
    ("problem", "state"),
    [(None, "done"), (ValueError("x"), "failed"), (KeyboardInterrupt(), "stopped")],
)
def test_however_a_run_ends_its_record_says_so(
    store: Store, problem: BaseException | None, state: str
) -> None:
    record, watch = new_record(), Watch()
    given: Any = watch
    block = contextmanager(_at_work)
    expected: Any = nullcontext() if problem is None else pytest.raises(type(problem))
    with expected, block(CONFIG, store, record, given) as run:
        run.made["download"] = hand_made(store, "download", "d")
        if problem is not None:
            raise problem
    found = read_run(store, "r")
    assert found is not None
    assert (found["state"], watch.shown) == (state, [(state, ["download"])])


@pytest.mark.parametrize(
    ("problem", "told", "logged"),
    [
        (StageError("no row"), "no row", "failed"),
        (ValueError(), "ValueError", "failed"),
        (KeyboardInterrupt(), "stopped by Ctrl-C", "stopped"),
    ],
)
def test_a_failed_entry_has_a_problem_whatever_it_was(
    problem: BaseException, told: str, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        entry = _failed_entry("pack", problem, 0.0)
    assert (entry["problem"], entry["state"], entry["key"]) == (told, "failed", None)
    assert entry["seconds"] > 0
    assert caplog.messages[0].split()[:2] == ["pack", logged]


@pytest.mark.parametrize(
    ("record", "end"),
    [
        ({"state": "failed"}, "failed"),
        ({"state": "stopped"}, "stopped"),
        ({"state": "running", "process": GONE}, "killed"),
        ({"state": "running", "process": this_process()}, "running"),
        ({"state": "done"}, "done"),
    ],
)
def test_only_the_last_run_of_the_name_counts(
    store: Store, record: dict[str, Any], end: str
) -> None:
    assert _end_of_last(store, "letters") is None
    other = "failed" if end == "done" else "done"
    hand_made_run(store, "a", started="1", state=other)
    hand_made_run(store, "b", started="2", **record)
    hand_made_run(store, "c", started="3", name="mail", state=other)
    assert _end_of_last(store, "letters") == end


@pytest.fixture
def around(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What happens around a run's block, in order."""
    happened: list[Any] = []

    @contextmanager
    def ending(record: dict[str, Any]) -> Iterator[None]:
        yield
        happened.append(("ended", record["state"]))

    @contextmanager
    def watching(*_: Any) -> Iterator[Watch]:
        yield Watch()

    def check(_: Any, __: Any, until: str | None) -> None:
        happened.append(("checked", until))

    monkeypatch.setattr(running, "ending", ending)
    monkeypatch.setattr(running, "watching", watching)
    monkeypatch.setattr(running, "check_before_run", check)
    monkeypatch.setattr(running, "_new_record", lambda _: new_record())
    monkeypatch.setattr(running, "tell", lambda *news: happened.append(("told", news[0], news[2])))
    return happened


def test_a_run_is_checked_recorded_and_its_recovery_told(store: Store, around: list[Any]) -> None:
    """It is in the store before its first stage; the last try of it may have been the failure."""
    config = CONFIG.model_copy(update={"store": store.url("")})
    with recorded(config, "clean"):
        found = read_run(store, "r")
        assert found is not None
        assert found["state"] == "running"
    assert around == [("checked", "clean"), ("ended", "done")]
    around.clear()
    hand_made_run(store, "r", state="failed")
    with recorded(config):
        pass
    words = "the last run did not end well, this one did"
    assert around == [("checked", None), ("told", "recovery", words), ("ended", "done")]
    around.clear()
    hand_made_run(store, "r", state="stopped")
    with recorded(config):
        pass
    words = "this run has finished what the last one was stopped in"
    assert around[1] == ("told", "recovery", words), "one's own Ctrl-C is no failure"
    around.clear()
    hand_made_run(store, "r", state="failed")
    with pytest.raises(ZeroDivisionError), recorded(config):
        raise ZeroDivisionError
    assert ("told", "recovery") not in around


def test_a_config_that_may_not_is_refused_before_anything_is_written(
    store: Store, around: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBERTA_ROOTS", "/elsewhere")
    config = CONFIG.model_copy(update={"store": store.url("")})
    with pytest.raises(UserError, match="lies outside"), recorded(config):
        pass
    assert around == []
    assert store.names("runs") == []


def test_progress_is_written_at_most_every_ten_seconds(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(running, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    record = new_record()
    sink = RecordedProgress(store, record)
    written = []
    for moment in (105.0, 109.9, 110.0, 119.9, 120.0):
        clock[0] = moment
        sink.update(Count("pack", "", 200, "rows", done=moment))
        written.append((record.get("progress") or {}).get("percent"))
    assert written == [None, None, 55.0, 55.0, 60.0]
    found = read_run(store, "r")
    assert found is not None
    assert found["progress"]["stage"] == "pack"


def test_progress_that_cannot_be_written_stops_no_stage(store: Store, monkeypatch: Any) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(running, "_PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(running, "write_run", full)
    RecordedProgress(store, new_record()).update(Count("pack", "", 2, "rows", done=1))
