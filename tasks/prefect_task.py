"""The one place where a stage becomes a Prefect task.

Prefect orders, shows and retries; it never decides what is done. Its own cache is off: the
task asks the store for a sound artifact and says `Cached` when there is one, so a retry from
the UI, a new run and another machine all go on from the same place.

What nobody watches is tried again after a while where it failed for want of something that may
come back by itself (`TransientError`: a server, a worker), and never for anything else: a wrong
config or a full disk is as wrong or full two minutes later.
"""

from collections.abc import Mapping
from typing import Any

from prefect import runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import State
from prefect.context import FlowRunContext, TaskRunContext
from prefect.states import Completed

from tasks.config import Config
from tasks.engine.progress import Progress
from tasks.engine.records import Artifact
from tasks.engine.runner import Outcome, run_stage
from tasks.engine.store import Store
from tasks.engine.workforce import Workforce
from tasks.errors import TransientError
from tasks.stages import get_stage

RETRY_SECONDS = [30.0, 120.0]
"""How long a deployed stage waits before each further try."""


def deployment_id() -> str | None:
    """The deployment of the flow run under way; None for one that a person started.

    Prefect's own `runtime.deployment.id` asks the server each time where there is none, and waits
    for one that hangs as long as it hangs. Here only what another flow has called asks, for that
    flow's deployment.
    """
    context = FlowRunContext.get()
    run = None if context is None else context.flow_run
    if run is None or run.parent_task_run_id is not None:
        found: str | None = runtime.deployment.id
        return found
    return None if run.deployment_id is None else str(run.deployment_id)


def may_heal(_task: object, _run: object, state: State[Any]) -> bool:
    """Whether a stage's failure may pass by itself."""
    return isinstance(state.result(raise_on_failure=False), TransientError)


class _Order:
    """What a stage is run with.

    A plain object, because Prefect looks into every dict, list and dataclass that a task is
    given, and an artifact of 20,000 units has millions of values.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        inputs: Mapping[str, Artifact],
        force: str | None,
        progress: Progress,
        workforce: Workforce,
    ) -> None:
        self.config, self.store, self.inputs = config, store, inputs
        self.force, self.progress, self.workforce = force, progress, workforce


@task(cache_policy=NO_CACHE, persist_result=False, log_prints=False)
def _stage_task(stage_name: str, order: _Order) -> Any:
    _tag(order.config.name, stage_name)
    stage, store = get_stage(stage_name), order.store
    outcome = run_stage(
        stage,
        order.config,
        store,
        order.inputs,
        force=order.force,
        progress=order.progress,
        workforce=order.workforce,
    )
    path = store.url(outcome.artifact.folder)
    if outcome.state == "cached":
        return Completed(name="Cached", message=f"reused {path}", data=_Result(outcome))
    return Completed(message=f"made {path}", data=_Result(outcome))


def _tag(*names: str) -> None:
    """Tag the task run under way.

    Not through the task's own tags: before a tagged task Prefect asks the server for its
    concurrency limits, and a server that is gone would then hold up the stage, or fail it.
    """
    context = TaskRunContext.get()
    if context is not None:
        context.task_run.tags = sorted({*context.task_run.tags, *names})


class _Result:
    """An outcome, kept from being looked into."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


def run_stage_as_task(
    stage_name: str,
    config: Config,
    store: Store,
    inputs: Mapping[str, Artifact],
    *,
    after: State[Any] | None,
    force: str | None,
    progress: Progress,
    workforce: Workforce,
) -> tuple[Outcome, State[Any]]:
    """Run one stage as a task of the current flow run; what came of it, and the task's state.

    `after` is the state of the stage before: it draws the chain in the UI's graph, where the
    artifacts that a stage is given would join every stage to every other.

    A deployed run tries it again where that may help; who sits at a terminal decides himself.
    It is called directly, not submitted: a cancelled run then ends its training process in
    seconds, where a submitted task is only killed after Prefect's grace period.

    Raises:
        UserError, StageError: as `run_stage`.
    """
    order = _Order(config, store, inputs, force, progress, workforce)
    named = _stage_task.with_options(
        name=stage_name,
        task_run_name=stage_name,
        retries=len(RETRY_SECONDS) if deployment_id() else 0,
        retry_delay_seconds=RETRY_SECONDS,
        retry_condition_fn=may_heal,
    )
    before = [] if after is None else [after]
    state = named(stage_name, order, return_state=True, wait_for=before)
    result = state.result()
    assert isinstance(result, _Result)
    return result.outcome, state
