"""What people want to hear of: events that the automations of `roberta deploy` listen to.

failure     Prefect's own events of a flow run that Failed or Crashed
recovery    the pipeline's last run did not end well, this one did
score_drop  a refresh made a model that is worse, and published nothing
publish     there is a new model
"""

import logging
from collections.abc import Mapping
from typing import Any

from tasks.config.operations import News

log = logging.getLogger(__name__)


def event_name(news: News) -> str:
    """The event's name in Prefect."""
    return f"roberta.{news.replace('_', '-')}"


def resource_of(name: str) -> str:
    """What the events of a pipeline are about, in Prefect."""
    return f"roberta.pipeline.{name}"


def tell(news: News, name: str, message: str, record: Mapping[str, Any]) -> None:
    """Send an event of a pipeline; that it cannot be sent fails nothing."""
    from prefect.events import emit_event

    from tasks.prefect_task import deployment_id

    log.info("%s", message)
    if deployment_id() is None:
        return  # nobody listens to a run that a person has started in a terminal
    resource = {"prefect.resource.id": resource_of(name), "prefect.resource.name": name}
    payload = {name: record.get(name) for name in ("run", "name", "model", "report")}
    try:
        emit_event(event_name(news), resource, payload={**payload, "message": message})
    except Exception as problem:
        log.warning("nobody could be told of it (%s): %s", news, problem)
