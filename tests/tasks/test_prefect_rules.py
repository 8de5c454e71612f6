"""What of a stage's end Prefect hears, and what it tries again: the rules, without a server."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from hand_made import hand_made
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.states import Completed, Failed

from tasks import prefect_task
from tasks.config import Config
from tasks.engine.runner import Outcome
from tasks.engine.stores import open_store
from tasks.errors import RobertaError, StageError, TransientError, UserError
from tasks.prefect_task import (
    RETRY_SECONDS,
    _Order,
    _stage_task,
    _tag,
    deployment_id,
    may_heal,
    run_stage_as_task,
)

CONFIG = Config.model_validate({"name": "letters", "corpus": [{"type": "docs"}]})


@pytest.mark.parametrize(
    ("problem", "heals"),
    [
        (TransientError("a server"), True),
        (StageError("a full disk"), False),
        (UserError("a wrong field"), False),
        (RobertaError("x"), False),
        (OSError("x"), False),
    ],
)
def test_only_what_may_come_back_by_itself_is_tried_again(problem: Exception, heals: bool) -> None:
    assert may_heal(None, None, Failed(data=problem)) is heals


def test_what_failed_is_tried_twice_more_each_time_later() -> None:
    assert RETRY_SECONDS == [30.0, 120.0]


@pytest.mark.parametrize(("deployment", "retries"), [(None, 0), ("d", 2)])
def test_a_stage_is_named_ordered_and_retried_where_nobody_watches(
    monkeypatch: pytest.MonkeyPatch, deployment: str | None, retries: int
) -> None:
    """Its result is not looked up in Prefect's own cache, and it waits for the stage before."""
    options: dict[str, Any] = {}
    calls: list[Any] = []
    outcome: Any = Outcome(SimpleNamespace(), "done", 0.0)  # type: ignore[arg-type]

    def named(*given: Any, **more: Any) -> Any:
        calls.append((given, more))
        return Completed(data=prefect_task._Result(outcome))

    def with_options(**given: Any) -> Any:
        options.update(given)
        return named

    monkeypatch.setattr(prefect_task, "deployment_id", lambda: deployment)
    monkeypatch.setattr(prefect_task, "_stage_task", SimpleNamespace(with_options=with_options))
    before: State[Any] = Completed()
    order: dict[str, Any] = {"force": "f", "progress": "p", "workforce": "w"}
    store: Any = "s"
    found, _ = run_stage_as_task("pack", CONFIG, store, {"a": outcome}, after=before, **order)
    assert found is outcome
    assert options == {
        "name": "pack",
        "task_run_name": "pack",
        "retries": retries,
        "retry_delay_seconds": [30.0, 120.0],
        "retry_condition_fn": may_heal,
    }
    ((name, handed), more) = calls[0]
    assert (name, more) == ("pack", {"return_state": True, "wait_for": [before]})
    assert vars(handed) == {"config": CONFIG, "store": "s", "inputs": {"a": outcome}, **order}
    run_stage_as_task("pack", CONFIG, store, {}, after=None, **order)
    assert calls[1][1]["wait_for"] == []


def test_prefects_own_cache_and_results_are_off() -> None:
    from prefect.cache_policies import NO_CACHE

    assert _stage_task.cache_policy == NO_CACHE
    assert _stage_task.persist_result is False
    assert _stage_task.tags == set(), "a server that is gone would hold up a tagged task"


@pytest.mark.parametrize(
    ("state", "name", "message"), [("cached", "Cached", "reused"), ("done", "Completed", "made")]
)
def test_a_stage_that_was_found_done_says_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, name: str, message: str
) -> None:
    store = open_store(str(tmp_path))
    outcome = Outcome(hand_made(store, "pack", "p"), state, 1.5)
    asked: list[Any] = []

    def run_stage(*given: Any, **more: Any) -> Outcome:
        asked.append((*given[1:], more))
        return outcome

    monkeypatch.setattr(prefect_task, "run_stage", run_stage)
    inputs, force, progress, workforce = object(), "f", object(), object()
    order: Any = (CONFIG, store, inputs, force, progress, workforce)
    ended = _stage_task.fn("pack", _Order(*order))
    assert (ended.name, ended.message) == (name, f"{message} {store.url('4-pack/p')}")
    assert ended.data.outcome is outcome
    told = {"force": force, "progress": progress, "workforce": workforce}
    assert asked == [(CONFIG, store, inputs, told)]


def test_a_task_has_the_names_of_pipeline_and_stage_beside_its_tags(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = SimpleNamespace(tags=["old"])
    context = SimpleNamespace(get=lambda: SimpleNamespace(task_run=run))
    monkeypatch.setattr(prefect_task, "TaskRunContext", context)
    _tag("pack", "letters")
    assert run.tags == ["letters", "old", "pack"]
    monkeypatch.setattr(prefect_task, "TaskRunContext", SimpleNamespace(get=lambda: None))
    _tag("pack", "letters")


def test_a_flow_that_another_has_called_is_of_that_ones_deployment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only then is the server asked."""
    asked = SimpleNamespace(deployment=SimpleNamespace(id="of-the-caller"))
    monkeypatch.setattr(prefect_task, "runtime", asked)
    context: Any = FlowRunContext
    called = FlowRun(flow_id=uuid4(), parent_task_run_id=uuid4())
    with context.model_construct(flow_run=called):
        assert deployment_id() == "of-the-caller"
    with context.model_construct(flow_run=FlowRun(flow_id=uuid4())):
        assert deployment_id() is None
    assert deployment_id() == "of-the-caller"
