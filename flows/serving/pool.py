"""What every installation has: the work pool, and the automation that ends what has died.

Setting up again changes nothing; what an earlier version set up is brought up to date.
"""

from collections.abc import Mapping
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound

from flows.serving.children import python_command

POOL = "roberta"
ZOMBIES = "roberta: runs without a heartbeat have crashed"
HEARTBEAT_SECONDS = 30
SILENCE_SECONDS = 90
_PAGE = 200  # the most that the API gives at once


def job_template() -> dict[str, Any]:
    """How a run's process is started.

    There are no variables in it: whoever starts a run from a form says what is computed, and
    neither with which command nor in which environment.
    """
    return {
        "job_configuration": {
            "command": python_command(),
            "env": {
                "PYTHONSAFEPATH": "1",
                "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
            },
            "labels": {},
            "name": None,
            "stream_output": True,
            "working_dir": None,
        },
        "variables": {"type": "object", "properties": {}},
    }


def set_up_pool(client: SyncPrefectClient, limit: int) -> None:
    """The work pool, with at most so many runs at once."""
    if not set_up_missing_pool(client, limit):
        update = WorkPoolUpdate(base_job_template=job_template(), concurrency_limit=limit)
        client.update_work_pool(POOL, update)


def set_up_missing_pool(client: SyncPrefectClient, limit: int = 2) -> bool:
    """The pool and the automation, where there is no pool; whether there was none."""
    try:
        client.read_work_pool(POOL)
    except ObjectNotFound:
        client.create_work_pool(
            WorkPoolCreate(
                name=POOL,
                type="process",
                description="Runs of roberta-pipeline on this machine.",
                base_job_template=job_template(),
                concurrency_limit=limit,
            )
        )
        set_up_automation(client, crash_zombies())
        return True
    return False


def crash_zombies() -> AutomationCore:
    """A run that has sent a heartbeat and then nothing for a while has crashed."""
    ends = ("Completed", "Failed", "Cancelled", "Crashed", "AwaitingRetry")
    return AutomationCore(
        name=ZOMBIES,
        description="Nobody is left to say how these ended. `roberta retry` goes on with them.",
        trigger=EventTrigger(
            posture=Posture.Proactive,
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{end}" for end in ends)},
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            for_each={"prefect.resource.id"},
            threshold=1,
            within=SILENCE_SECONDS,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                name="Crashed",
                message=f"no sign of life for {SILENCE_SECONDS} s; a retry goes on from the last "
                "finished unit",
            )
        ],
    )


def set_up_automation(client: SyncPrefectClient, wanted: AutomationCore) -> None:
    """Make one automation of this name be as wanted.

    One that is otherwise goes, and another comes: of one that is replaced in place Prefect 3.8.8
    stores the trigger without an id, loads it again under a new one, and then acts twice.
    """
    content = wanted.model_dump(mode="json", exclude={"owner_resource"})
    kept = False
    for entry in automations(client):
        if entry["name"] != wanted.name:
            continue
        if not kept and _says(entry, content):
            kept = True
        else:
            remove_automation(client, entry)
    if not kept:
        client.request("POST", "/automations/", json=content)


def automations(client: SyncPrefectClient) -> list[dict[str, Any]]:
    """All of the server's, as its API gives them."""
    found: list[dict[str, Any]] = []
    while True:
        asked = {"limit": _PAGE, "offset": len(found)}
        page = client.request("POST", "/automations/filter", json=asked).json()
        found += page
        if len(page) < _PAGE:
            return found


def remove_automation(client: SyncPrefectClient, entry: Mapping[str, Any]) -> None:
    """Delete one of `automations`."""
    client.request("DELETE", "/automations/{id}", path_params={"id": entry["id"]})


def _says(found: Any, wanted: Any) -> bool:
    """Whether what the server has says all that is wanted; it adds ids, and keeps sets."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            name in found and _says(found[name], value) for name, value in wanted.items()
        )
    if isinstance(wanted, list) and isinstance(found, list):
        pairs = zip(sorted(found, key=repr), sorted(wanted, key=repr), strict=False)
        return len(found) == len(wanted) and all(_says(*pair) for pair in pairs)
    return bool(found == wanted)
