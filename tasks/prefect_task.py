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
from tasks.stages import get_stage


@task(
    name="stage",
    task_run_name="{stage_name}",
    cache_policy=NO_CACHE,
    persist_result=False,
    log_prints=False,
)
def _stage_task(
    stage_name: str,
    config: Config,
    store: Store,
    inputs: Mapping[str, Artifact],
    force: bool,
    progress: Progress,
) -> Any:
    stage = get_stage(stage_name)
    outcome = run_stage(stage, config, store, inputs, force=force, progress=progress)
    path = store.url(outcome.artifact.folder)
    if outcome.state == "cached":
        return Completed(name="Cached", message=f"reused {path}", data=outcome)
    return Completed(message=f"made {path}", data=outcome)


def run_stage_as_task(
    stage_name: str,
    config: Config,
    store: Store,
    inputs: Mapping[str, Artifact],
    *,
    force: bool,
    progress: Progress,
) -> Outcome:
    """Run one stage as a task of the current flow run.

    It is called directly, not submitted: a cancelled run then ends its training process in
    seconds, where a submitted task is only killed after Prefect's grace period.

    Raises:
        UserError, StageError: as `run_stage`.
    """
    state = _stage_task(stage_name, config, store, inputs, force, progress, return_state=True)
    outcome = state.result()
    assert isinstance(outcome, Outcome)
    return outcome
