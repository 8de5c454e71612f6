"""The one place where a stage becomes a Prefect task.

Prefect orders, shows and retries; it never decides what is done. Its own cache is off: the
task asks the store for a sound artifact and says `Cached` when there is one, so a retry from
the UI, a new run and another machine all go on from the same place.
"""

from collections.abc import Mapping
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed

from tasks.config import Config
from tasks.engine.progress import Progress
from tasks.engine.records import Artifact
from tasks.engine.runner import Outcome, run_stage
from tasks.engine.store import Store
from tasks.engine.workforce import Workforce
from tasks.stages import get_stage


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


@task(
    name="stage",
    task_run_name="{stage_name}",
    cache_policy=NO_CACHE,
    persist_result=False,
    log_prints=False,
)
def _stage_task(stage_name: str, order: _Order) -> Any:
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
    force: str | None,
    progress: Progress,
    workforce: Workforce,
) -> Outcome:
    """Run one stage as a task of the current flow run.

    It is called directly, not submitted: a cancelled run then ends its training process in
    seconds, where a submitted task is only killed after Prefect's grace period.

    Raises:
        UserError, StageError: as `run_stage`.
    """
    order = _Order(config, store, inputs, force, progress, workforce)
    result = _stage_task(stage_name, order, return_state=True).result()
    assert isinstance(result, _Result)
    return result.outcome
