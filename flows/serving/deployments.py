"""What there is to start, and what starts by itself, for one config.

    pretrain   by hand: the whole pipeline                  waits for another of its kind
    refresh    by the clock: what is new in the sources      skipped while another runs
    evaluate   by hand: the scores alone                     waits
    verify     by the clock: every byte read again           skipped
    prune      by the clock: the space of what is old        skipped

Each is called by the config's name, such as `refresh/letters`. Paths travel absolute.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from pydantic import ValidationError

from flows.pipeline import pipeline
from flows.refresh import refresh
from flows.serving.form import as_parameter, form_of
from flows.serving.pool import POOL
from flows.upkeep import evaluate, prune, verify
from tasks.config import Config
from tasks.config.places import absolute
from tasks.errors import UserError
from tasks.evaluation.comparison import check_scores

_WAIT, _SKIP = ConcurrencyLimitStrategy.ENQUEUE, ConcurrencyLimitStrategy.CANCEL_NEW


@dataclass(frozen=True)
class Planned:
    """One deployment to be.

    Attributes:
        flow: What runs.
        entrypoint: Where the worker imports it from.
        cron: When it starts by itself, or None.
        collision: What becomes of a start while another of it runs.
        parameters: Beside the config.
    """

    flow: Flow[..., Any]
    entrypoint: str
    cron: str | None
    collision: ConcurrencyLimitStrategy
    parameters: Mapping[str, Any] = field(default_factory=dict)


def planned(config: Config) -> list[Planned]:
    """The deployments of a config."""
    operations = config.operations
    mend = {"mend": operations.verify.repair}
    return [
        Planned(pipeline, "flows.pipeline.pipeline", None, _WAIT),
        Planned(refresh, "flows.refresh.refresh", operations.refresh.cron, _SKIP),
        Planned(evaluate, "flows.upkeep.evaluate", None, _WAIT),
        Planned(verify, "flows.upkeep.verify", operations.verify.cron, _SKIP, mend),
        Planned(prune, "flows.upkeep.prune", operations.prune.cron, _SKIP),
    ]


def deploy(client: SyncPrefectClient, config: Config, folder: Path) -> list[dict[str, Any]]:
    """Register a config, or bring what is registered under its name up to date.

    Relative paths are those of `folder`. Returns `{"deployment", "id", "cron"}` for each.

    Raises:
        UserError: a schedule names a time that no clock shows, or is of a refresh that could not
            tell a worse model; nothing is registered.
    """
    if config.operations.refresh.cron is not None:
        check_scores(config)
    config = absolute(config, folder)
    scheduled = [(each, _schedules(config, each)) for each in planned(config)]
    return [_register(client, config, each, schedules) for each, schedules in scheduled]


def other_store(client: SyncPrefectClient, config: Config, folder: Path) -> str | None:
    """The store of what is deployed under a config's name, where it is not the config's own.

    Then two pipelines have one name, and the one that is deployed last is what runs.
    """
    try:
        found = client.read_deployment_by_name(f"{pipeline.name}/{config.name}")
    except ObjectNotFound:
        return None
    store = (found.parameters.get("config") or {}).get("store")
    return None if store in (None, absolute(config, folder).store) else str(store)


def _schedules(config: Config, each: Planned) -> list[DeploymentScheduleCreate]:
    if each.cron is None:
        return []
    try:
        clock = CronSchedule(cron=each.cron, timezone=config.operations.timezone)
    except ValidationError:
        raise UserError(
            f"operations.{each.flow.name}.cron: {each.cron!r} is no time. Write minute (0-59), "
            "hour (0-23), day (1-31), month (1-12) and weekday (0-6), such as `30 2 * * *`."
        ) from None
    return [DeploymentScheduleCreate(schedule=clock, active=True)]


def _register(
    client: SyncPrefectClient,
    config: Config,
    each: Planned,
    schedules: list[DeploymentScheduleCreate],
) -> dict[str, Any]:
    deployment = client.create_deployment(
        flow_id=client.create_flow_from_name(each.flow.name),
        name=config.name,
        description=(each.flow.fn.__doc__ or "").split("Args:")[0].split("Raises:")[0].strip(),
        entrypoint=each.entrypoint,
        work_pool_name=POOL,
        parameters={"config": as_parameter(config), **each.parameters},
        parameter_openapi_schema=form_of(each.flow, config),
        enforce_parameter_schema=True,
        schedules=schedules,
        concurrency_limit=1,
        concurrency_options=ConcurrencyOptions(collision_strategy=each.collision),
        tags=["roberta", config.name],
        paused=False,
    )
    name = f"{each.flow.name}/{config.name}"
    return {"deployment": name, "id": str(deployment), "cron": each.cron}
