"""Scheduled runs that have piled up while nothing ran them: the last one speaks for all."""

import logging
from datetime import UTC, datetime

from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType

from tasks.prefect_task import deployment_id

log = logging.getLogger(__name__)


def is_superseded() -> bool:
    """Whether a later run of the same deployment is due as well, and waits."""
    deployment, due = deployment_id(), runtime.flow_run.scheduled_start_time
    if deployment is None or due is None:
        return False
    later = FlowRunFilter(
        id=FlowRunFilterId(not_any_=[runtime.flow_run.id]),
        deployment_id=FlowRunFilterDeploymentId(any_=[deployment]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(after_=due, before_=datetime.now(UTC)),
    )
    try:
        with get_client(sync_client=True) as client:
            return bool(client.read_flow_runs(flow_run_filter=later, limit=1))
    except Exception as problem:  # the worst is that a run finds nothing to do
        log.warning("could not ask whether a later run is due: %s", problem)
        return False
