"""What is shown of a run, when and under which key; and the lines and news that are sent of it."""

import logging
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from hand_made import hand_made, hand_made_run
from prefect.logging.handlers import APILogHandler

from flows import artifacts, news, run_logs, telling, watching
from flows.run_logs import RunLogHandler, _is_not_sent_yet, lines_of_run
from flows.telling import Shown, Teller
from flows.watching import LiveLoss, StageProgress, Watch
from tasks.config import Config
from tasks.engine.progress import Count
from tasks.engine.store import Store
from tasks.engine.stores import open_store

CONFIG = Config.model_validate({"name": "Team_A", "corpus": [{"type": "docs"}]})
COUNTS = {"documents": {"in": 1, "kept": 1, "dropped": {}}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


class Shows:
    """Takes down what is to be shown."""

    def __init__(self, run: str = "r") -> None:
        self.run, self.shown = run, list[tuple[str, Shown, Any]]()

    def show(self, key: str, shown: Shown, task_run: Any = None) -> None:
        self.shown.append((key, shown, task_run))


def watch_of(store: Store, run: str = "r") -> tuple[Watch, Any]:
    teller: Any = Shows(run)
    return Watch(CONFIG, store, teller), teller


@pytest.mark.parametrize(
    ("stage", "keys"),
    [
        ("download", ["ledger", "corpus"]),
        ("clean", ["ledger", "corpus"]),
        ("tokenizer", ["tokenizer"]),
        ("pack", ["ledger"]),
        ("pretrain", ["loss"]),
        ("evaluate", ["fills", "scores"]),
        ("publish", []),
        ("finetune", ["tasks"]),
    ],
)
def test_each_stage_has_its_pages(store: Store, stage: str, keys: list[str]) -> None:
    """Named after the pipeline, at its task; progress is at its end."""
    watch, teller = watch_of(store)
    ledger = COUNTS if "ledger" in keys else {}
    made = {stage: hand_made(store, stage, "k", ledger=ledger)}
    task = uuid4()
    watch.stage_ended(stage, "cached", made, task)
    (key, shown, told_at), *pages = teller.shown
    assert (key, shown.kind, shown.data, told_at) == (
        f"team-a-{stage}-progress",
        "progress",
        100.0,
        task,
    )
    assert shown.description == f"Team\\_A, {stage}: cached, headline of k"
    assert [key for key, *_ in pages] == [f"team-a-{name}" for name in keys]
    assert all(at == task and page.kind == "markdown" for _, page, at in pages)
    assert all(callable(page.data) for _, page, _ in pages)


def test_the_runs_page_links_to_its_report_only_where_it_is_served(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(artifacts, "run_page", lambda *handed: given.append(handed))
    record = {"run": "abc", "state": "done"}
    for deployment, page in ((None, None), ("d", "/roberta/reports/abc")):
        monkeypatch.setattr(watching, "deployment_id", lambda deployment=deployment: deployment)
        watch, teller = watch_of(store)
        watch.run_ended(record, {})
        ((key, shown, task),) = teller.shown
        assert (key, shown.description, task) == ("team-a-run", "Team\\_A: the run, done", None)
        shown.data()
        assert given.pop() == (record, {}, page)


def test_the_model_before_is_the_newest_of_another_run_that_published(store: Store) -> None:
    watch, _ = watch_of(store, "now")
    assert watch._published_before() is None
    for run, started, keys, name in (
        ("old", "1", {"evaluate": "e-old", "publish": "p"}, "Team_A"),
        ("before", "2", {"evaluate": "e-before", "publish": "p"}, "Team_A"),
        ("gone", "3", {"evaluate": "e-gone", "publish": "p"}, "Team_A"),
        ("unpublished", "4", {"evaluate": "e-unpublished"}, "Team_A"),
        ("other", "5", {"evaluate": "e-other", "publish": "p"}, "mail"),
        ("now", "6", {"evaluate": "e-now", "publish": "p"}, "Team_A"),
    ):
        hand_made_run(store, run, keys, started=started, name=name)
        if run != "gone":
            hand_made(store, "evaluate", f"e-{run}", summary={"of": run})
    assert watch._published_before() == {"of": "before"}


def test_progress_is_shown_at_begin_and_end_and_in_between_now_and_then(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(watching, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    watch, teller = watch_of(store)
    sink = StageProgress(watch)
    count = Count("pack", "", 100, "rows")
    sink.begin(count)
    for moment in (1.0, 3.9, 4.0, 7.9, 8.0):
        clock[0] = count.done = moment
        sink.update(count)
    count.done = 9
    sink.end(count)
    assert [shown.data for _, shown, _ in teller.shown] == [0.0, 4.0, 8.0, 9.0]
    assert {key for key, *_ in teller.shown} == {"team-a-pack-progress"}


def test_the_loss_is_drawn_again_every_half_minute_of_all_its_points(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(watching, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    given: list[Any] = []
    monkeypatch.setattr(artifacts, "live_loss_page", lambda *handed: given.append(handed))
    watch, teller = watch_of(store)
    sink, count = LiveLoss(watch), Count("pretrain", "", 100, "steps")
    sink.begin(count)
    for step, loss in ((1, 4.0), (3, None), (5, 3.0), (34, 2.0), (35, 1.0)):
        clock[0] = step
        count.reach(step, {} if loss is None else {"loss": loss})
        sink.update(count)
    for _, shown, _ in teller.shown:
        shown.data()
    assert [points for points, *_ in given] == [
        [(1, 4.0), (5, 3.0)],
        [(1, 4.0), (5, 3.0), (34, 2.0), (35, 1.0)],
    ]
    assert {total for _, _, total, _ in given} == {100}
    sink.begin(count)
    assert sink._points == [], "another training begins anew"


def test_the_points_of_a_long_training_are_bounded(store: Store) -> None:
    watch, _ = watch_of(store)
    sink, count = LiveLoss(watch), Count("pretrain", "", 10**6, "steps")
    sink._due = float("inf")
    for step in range(2001):
        count.reach(step, {"loss": 1.0})
        sink.update(count)
    assert len(sink._points) == 667
    assert sink._points[-1][0] == 1999


def test_an_artifact_is_made_once_and_updated_then(monkeypatch: pytest.MonkeyPatch) -> None:
    teller, calls = Teller(UUID(int=7)), list[Any]()

    class Client:
        def create_artifact(self, made: Any) -> Any:
            calls.append(
                (
                    made.key,
                    made.type,
                    made.data,
                    made.description,
                    made.flow_run_id,
                    made.task_run_id,
                )
            )
            return SimpleNamespace(id=UUID(int=9))

        def update_artifact(self, id: Any, made: Any) -> None:
            calls.append((id, made.data, made.description))

    client: Any = Client()
    teller._show("a", Shown("markdown", "one", "d1"), UUID(int=8), client)
    teller._show("a", Shown("markdown", lambda: "two", "d2"), None, client)
    assert calls == [
        ("a", "markdown", "one", "d1", UUID(int=7), UUID(int=8)),
        (UUID(int=9), "two", "d2"),
    ]


def test_slots_are_told_in_their_order_and_only_their_newest_word() -> None:
    teller, told = Teller(uuid4()), list[Any]()
    client: Any = None

    def note(word: int, _: Any) -> None:
        told.append(word)

    for slot, word in (("a", 1), ("b", 2), ("a", 3)):
        teller.tell(slot, partial(note, word))
    assert teller.missed() == ["a", "b"]
    while teller._waiting:
        following = teller._next(0.0)
        assert following is not None
        slot, call = following
        assert slot in teller.missed(), "it is not heard yet"
        assert teller._try(slot, call, client)
        teller._under_way = None
    assert told == [3, 2]
    assert teller.missed() == []


def test_a_slot_that_was_refused_is_missed_until_it_is_taken(monkeypatch: Any) -> None:
    monkeypatch.setattr(telling, "_MOST_SLOTS", 2)
    teller = Teller(uuid4())
    for slot in ("a", "b", "c", "b"):
        teller.tell(slot, lambda _: None)
    assert (list(teller._waiting), teller.missed()) == (["a", "b"], ["a", "b", "c"])
    teller._waiting.clear()
    teller.tell("c", lambda _: None)
    assert teller.missed() == ["c"]
    teller._waiting.clear()
    assert teller.missed() == []


def test_a_call_that_fails_is_not_heard() -> None:
    teller = Teller(uuid4())
    client: Any = None
    assert teller._try("a", lambda _: None, client) is True
    assert teller._try("a", lambda _: 1 / 0, client) is False


@pytest.mark.parametrize("deployment", [None, "d"])
def test_news_is_sent_of_deployments_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, deployment: str | None
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr("tasks.prefect_task.deployment_id", lambda: deployment)
    monkeypatch.setattr(
        "prefect.events.emit_event", lambda *given, **more: sent.append((given, more))
    )
    record = {"run": "r", "name": "letters", "model": "m", "report": "p", "config": "secret"}
    with caplog.at_level(logging.INFO):
        news.tell("score_drop", "letters", "it fell", record)
    assert caplog.messages == ["it fell"]
    resource = {
        "prefect.resource.id": "roberta.pipeline.letters",
        "prefect.resource.name": "letters",
    }
    payload = {"run": "r", "name": "letters", "model": "m", "report": "p", "message": "it fell"}
    told = [(("roberta.score-drop", resource), {"payload": payload})]
    assert sent == ([] if deployment is None else told)


def test_news_that_cannot_be_sent_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no server")

    monkeypatch.setattr("tasks.prefect_task.deployment_id", lambda: "d")
    monkeypatch.setattr("prefect.events.emit_event", fail)
    news.tell("publish", "letters", "there is one", {})


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[logging.LogRecord]:
    """The lines that a run's handler sends."""
    lines: list[logging.LogRecord] = []
    monkeypatch.setattr(APILogHandler, "emit", lambda _, record: lines.append(record))
    return lines


def test_our_lines_are_sent_of_the_run_while_it_runs(sent: list[logging.LogRecord]) -> None:
    """INFO of what tells how it goes, warnings of all of ours; levels are as before then."""
    run = uuid4()
    before = {name: logging.getLogger(name).level for name in ("tasks.stages", "tasks.engine")}
    logging.getLogger("tasks.engine").setLevel(logging.DEBUG)
    try:
        with lines_of_run(run):
            logging.getLogger("tasks.stages.pack").info("one")
            logging.getLogger("tasks.costs").warning("two")
            logging.getLogger("roberta_model.x").warning("three")
            logging.getLogger("other").warning("not ours")
            assert logging.getLogger("tasks.stages").level == logging.INFO
            assert logging.getLogger("tasks.engine").level == logging.DEBUG
        logging.getLogger("tasks.costs").warning("after")
        assert logging.getLogger("tasks.engine").level == logging.DEBUG
    finally:
        logging.getLogger("tasks.engine").setLevel(before["tasks.engine"])
    assert logging.getLogger("tasks.stages").level == before["tasks.stages"]
    assert [line.getMessage() for line in sent] == ["one", "two", "three"]
    assert {getattr(line, "flow_run_id") for line in sent} == {str(run)}  # noqa: B009
    assert not any(hasattr(line, "task_run_id") for line in sent)


def test_a_line_within_a_task_is_at_the_task(
    sent: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = SimpleNamespace(task_run=SimpleNamespace(id=UUID(int=5)))
    monkeypatch.setattr(run_logs, "TaskRunContext", SimpleNamespace(get=lambda: context))
    with lines_of_run(uuid4()):
        logging.getLogger("tasks.costs").warning("two")
    assert [getattr(line, "task_run_id") for line in sent] == [str(UUID(int=5))]  # noqa: B009


def test_a_line_that_prefect_sends_itself_is_not_sent_twice(sent: list[logging.LogRecord]) -> None:
    """Of its handler at the line's logger or above it, where the line gets there."""
    theirs, ours = APILogHandler(), RunLogHandler(uuid4())
    parent, child = logging.getLogger("theirs"), logging.getLogger("theirs.child")
    record = logging.LogRecord("theirs.child", logging.INFO, "", 0, "x", None, None)
    try:
        parent.addHandler(ours)
        assert _is_not_sent_yet(record)
        parent.addHandler(theirs)
        assert not _is_not_sent_yet(record)
        child.propagate = False
        assert _is_not_sent_yet(record)
    finally:
        child.propagate = True
        parent.handlers.clear()
