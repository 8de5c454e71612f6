"""`roberta doctor`: what an operator should know, and what needs a hand."""

from datetime import UTC, datetime
from typing import Any

from httpx import HTTPStatusError
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound

from flows.serving.pool import POOL
from tasks.engine.store import Store
from tasks.inspection.health import read_health

_LATE_SECONDS = 120
_FEW_DAYS = 7.0
_FEW_BYTES = 2 << 30


def diagnose(
    client: SyncPrefectClient | None, store: Store, problem: str | None = None
) -> dict[str, Any]:
    """Plain JSON: `{"store", "pipelines", "leases", "disk", "server", "lines", "concerns"}`.

    `problem` is why the server could not be asked, where there should be one.
    """
    health = read_health(store)
    concerns = [] if problem is None else [problem]
    lines = [f"store {health['store']}"]
    for entry in health["pipelines"]:
        age = entry["good_age_seconds"]
        good = "never ended well" if age is None else f"last ended well {_age(age)} ago"
        lines.append(f"  {entry['name']}: {good}; last run {entry['last_state']}")
        if entry["last_state"] in ("failed", "stopped", "killed"):
            concerns.append(
                f"{entry['name']}: its last run {entry['last_run']} is {entry['last_state']}; "
                "`roberta retry` goes on with it"
            )
    for lease in health["leases"]:
        host = str(lease["machine"]).split()[0]
        lines.append(f"  {lease['stage']} {lease['key']}: process {lease['pid']} on {host}")
    lines += _disk(health["disk"], concerns)
    server = None if client is None else _server(client, lines, concerns)
    return {**health, "server": server, "lines": lines, "concerns": concerns}


def _disk(disk: dict[str, Any], concerns: list[str]) -> list[str]:
    free, left = disk["free_bytes"], disk["days_left"]
    if free is None:
        return []
    if free < _FEW_BYTES or (left is not None and left < _FEW_DAYS):
        concerns.append(f"the disk: {free / 1e9:,.1f} GB are left; `roberta prune` frees some")
    grows = f", {disk['bytes_per_day'] / 1e6:,.0f} MB a day" if disk["bytes_per_day"] else ""
    days = "" if left is None else f", enough for {left:,.0f} days"
    return [f"disk: {free / 1e9:,.1f} GB free{grows}{days}"]


def _server(client: SyncPrefectClient, lines: list[str], concerns: list[str]) -> dict[str, Any]:
    waiting = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(
                type=FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING])
            )
        ),
        limit=200,
    )
    now = datetime.now(UTC)
    starts = [run.expected_start_time for run in waiting if run.expected_start_time]
    waits = [(now - start).total_seconds() for start in starts if start <= now]
    late = [seconds for seconds in waits if seconds > _LATE_SECONDS]
    try:
        workers = client.request(
            "POST",
            "/work_pools/{work_pool_name}/workers/filter",
            path_params={"work_pool_name": POOL},
            json={},
        ).json()
    except (ObjectNotFound, HTTPStatusError):  # a server that nothing was deployed to
        workers = []
    online = [worker["name"] for worker in workers if worker["status"] == "ONLINE"]
    address = str(client.api_url).rstrip("/").removesuffix("/api")
    at_work = f"{len(online)} worker{'' if len(online) == 1 else 's'}"
    due = f"{len(waits)} run{'' if len(waits) == 1 else 's'} due"
    lines.append(f"server {address}: {at_work}, {due}")
    if not online:
        concerns.append("no worker is at work: `roberta serve` starts one")
    if late:
        concerns.append(f"{len(late)} runs are late, by up to {_age(max(late))}")
    return {"address": address, "workers": online, "due": len(waits), "late": len(late)}


def _age(seconds: float) -> str:
    """A time span as people say it.

    >>> _age(90), _age(7200), _age(200_000)
    ('2 minutes', '2 hours', '2 days')
    """
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= size:
            return f"{round(seconds / size)} {unit}"
    return f"{round(seconds)} seconds"
