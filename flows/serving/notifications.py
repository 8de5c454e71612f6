"""Who is told of what: one automation for each notification of a config and each kind of news.

Addresses and passwords stay in the server's blocks; a config only names the block.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import ActionTypes, CallWebhook, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound

from flows.news import event_name, resource_of
from flows.serving.pool import automations, remove_automation, set_up_automation
from tasks.config import Config
from tasks.config.operations import News, NotificationConfig
from tasks.errors import UserError

_RUN = "flow_run.name ~ ' (' ~ flow_run.state.name ~ '): ' ~ flow_run.state.message"
_TOLD = "event.payload['message']"

Blocks = Mapping[str, UUID]


def find_blocks(client: SyncPrefectClient, config: Config) -> dict[str, UUID]:
    """The ids of the blocks that a config names.

    Raises:
        UserError: the server has no such block.
    """
    return {each.block: _block(client, each.block) for each in config.operations.notify}


def set_up_notifications(
    client: SyncPrefectClient,
    config: Config,
    blocks: Blocks,
    deployments: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Make the automations of a config be as it says; their names."""
    wanted = list(_wanted(config, blocks, [str(each["id"]) for each in deployments]))
    for automation in wanted:
        set_up_automation(client, automation)
    names = {automation.name for automation in wanted}
    for entry in automations(client):
        if entry["name"].startswith(_prefix(config.name)) and entry["name"] not in names:
            remove_automation(client, entry)
    return sorted(names)


def _prefix(name: str) -> str:
    return f"roberta {name}: "


def _wanted(config: Config, blocks: Blocks, deployments: Sequence[str]) -> Iterator[AutomationCore]:
    for each in config.operations.notify:
        for news in each.news:
            yield AutomationCore(
                name=f"{_prefix(config.name)}{news.replace('_', ' ')} to {each.block}",
                description="Made by `roberta deploy` from operations.notify.",
                trigger=_trigger(news, config.name, deployments),
                actions=[_action(news, config.name, each, blocks[each.block])],
            )


def _block(client: SyncPrefectClient, name: str) -> UUID:
    kind, _, block = name.partition("/")
    try:
        return client.read_block_document_by_name(block, kind, include_secrets=False).id
    except ObjectNotFound:
        raise UserError(
            f"operations.notify: the server has no block {name}. Make it under Blocks in its UI; "
            "what it needs to know of addresses and passwords stays there."
        ) from None


def _trigger(news: News, name: str, deployments: Sequence[str]) -> EventTrigger:
    if news == "failure":
        return EventTrigger(
            posture=Posture.Reactive,
            expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={
                "prefect.resource.id": [f"prefect.deployment.{each}" for each in deployments]
            },
            threshold=1,
        )
    return EventTrigger(
        posture=Posture.Reactive,
        expect={event_name(news)},
        match={"prefect.resource.id": resource_of(name)},
        threshold=1,
    )


def _action(news: News, name: str, each: NotificationConfig, block: UUID) -> ActionTypes:
    text = _RUN if news == "failure" else _TOLD
    if each.block.startswith("webhook/"):
        facts = json.dumps({"pipeline": name, "news": news})
        payload = f'{facts[:-1]}, "message": {{{{ ({text}) | tojson }}}}}}'
        return CallWebhook(block_document_id=block, payload=payload)
    subject = f"{name}: {news.replace('_', ' ')}"
    return SendNotification(block_document_id=block, subject=subject, body=f"{{{{ {text} }}}}")
