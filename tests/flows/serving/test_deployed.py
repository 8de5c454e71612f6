"""What a config's deployments, automations and pool are, down to each field that matters."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from prefect.events.schemas.automations import Posture
from prefect.exceptions import ObjectNotFound

from flows.pipeline import pipeline
from flows.serving import pool
from flows.serving.deployments import deploy, planned
from flows.serving.form import _simplify, as_parameter, form_of
from flows.serving.notifications import _wanted, find_blocks, set_up_notifications
from flows.serving.pool import (
    _says,
    automations,
    crash_zombies,
    job_template,
    set_up_automation,
    set_up_pool,
)
from tasks.config import Config
from tasks.errors import UserError

WAIT, SKIP = ConcurrencyLimitStrategy.ENQUEUE, ConcurrencyLimitStrategy.CANCEL_NEW


def config_of(**more: Any) -> Config:
    corpus = [{"type": "docstrings", "held_out": 0.1}]
    return Config.model_validate({"name": "letters", "store": "store", "corpus": corpus, **more})


class Server:
    """As much of a server as is asked, and what it was told."""

    def __init__(self, *entries: dict[str, Any], has_pool: bool = True) -> None:
        self.entries, self.told, self.has_pool = list(entries), list[Any](), has_pool

    def request(self, method: str, path: str, json: Any = None, path_params: Any = None) -> Any:
        if path == "/automations/filter":
            page = self.entries[json["offset"] : json["offset"] + json["limit"]]
            return SimpleNamespace(json=lambda: page)
        self.told.append((method, (json or path_params).get("name", (path_params or {}).get("id"))))
        return None

    def create_flow_from_name(self, name: str) -> str:
        return f"flow {name}"

    def create_deployment(self, **given: Any) -> str:
        self.told.append(given)
        return f"id {given['flow_id']}"

    def read_work_pool(self, name: str) -> None:
        if not self.has_pool:
            raise ObjectNotFound(KeyError(name))

    def create_work_pool(self, made: Any) -> None:
        self.told.append(("pool", made))

    def update_work_pool(self, name: str, update: Any) -> None:
        self.told.append((name, update))

    def read_block_document_by_name(self, name: str, kind: str, include_secrets: bool) -> Any:
        if name == "none":
            raise ObjectNotFound(KeyError(name))
        assert include_secrets is False
        return SimpleNamespace(id=(kind, name))


def test_what_runs_by_the_clock_is_skipped_and_what_is_asked_for_waits() -> None:
    operations = {
        "refresh": {"cron": "1 2 * * *"},
        "verify": {"cron": "2 2 * * *", "repair": True},
        "prune": {"cron": "3 2 * * *"},
    }
    found = [
        (each.flow.name, each.entrypoint, each.cron, each.collision, each.parameters)
        for each in planned(config_of(operations=operations))
    ]
    assert found == [
        ("pretrain", "flows.pipeline.pipeline", None, WAIT, {}),
        ("refresh", "flows.refresh.refresh", "1 2 * * *", SKIP, {}),
        ("evaluate", "flows.upkeep.evaluate", None, WAIT, {}),
        ("verify", "flows.upkeep.verify", "2 2 * * *", SKIP, {"mend": True}),
        ("prune", "flows.upkeep.prune", "3 2 * * *", SKIP, {}),
    ]
    assert planned(config_of())[3].parameters == {"mend": False}


def test_a_deployment_runs_alone_from_absolute_paths_on_its_clock() -> None:
    operations = {"timezone": "Europe/Berlin", "refresh": {"cron": "1 2 * * *"}}
    server: Any = Server()
    made = deploy(server, config_of(operations=operations), Path("/home/team"))
    assert made[1] == {
        "deployment": "refresh/letters",
        "id": "id flow refresh",
        "cron": "1 2 * * *",
    }
    assert [each["cron"] for each in made] == [None, "1 2 * * *", None, "0 4 * * 0", None]
    given = server.told[1]
    (schedule,) = given.pop("schedules")
    assert (schedule.schedule.cron, schedule.schedule.timezone) == ("1 2 * * *", "Europe/Berlin")
    assert schedule.active is True
    assert given["concurrency_limit"] == 1
    assert given["concurrency_options"].collision_strategy == SKIP
    assert given["parameters"]["config"]["store"] == "/home/team/store"
    assert given["enforce_parameter_schema"] is True
    assert (given["name"], given["work_pool_name"], given["paused"]) == (
        "letters",
        "roberta",
        False,
    )
    assert given["tags"] == ["roberta", "letters"]
    assert given["description"].startswith("Continue from the published model")
    assert "Args" not in given["description"]
    assert given["parameter_openapi_schema"] == form_of(
        planned(config_of())[1].flow, Config.model_validate(given["parameters"]["config"])
    )
    assert server.told[0]["schedules"] == []
    assert server.told[3]["parameters"]["mend"] is False


def test_a_refresh_by_the_clock_that_could_not_tell_a_worse_model_is_refused() -> None:
    server: Any = Server()
    silent = {"corpus": [{"type": "docstrings"}], "evaluate": {"held_out": None}}
    with pytest.raises(UserError, match="nothing is scored"):
        deploy(
            server, config_of(operations={"refresh": {"cron": "1 2 * * *"}}, **silent), Path("/")
        )
    assert server.told == []
    deploy(server, config_of(**silent), Path("/"))
    assert len(server.told) == 5


def test_a_form_is_fixed_in_what_decides_where_things_are_written() -> None:
    config = config_of()
    schema = form_of(pipeline, config)
    fields = schema["definitions"]["Config"]["properties"]
    for name in ("name", "store", "engine", "operations"):
        value = as_parameter(config)[name]
        assert (fields[name]["enum"], fields[name]["default"]) == ([value], value)
        assert fields[name]["readOnly"] is True
        assert fields[name]["type"] == ("string" if name in ("name", "store") else "object")
    assert fields["corpus"]["default"] == as_parameter(config)["corpus"]
    assert schema["properties"]["from_stage"]["title"] == "From stage"
    assert '"oneOf"' not in json.dumps(schema)
    part: Any = {"a": [{"oneOf": [1], "discriminator": {}, "b": {"oneOf": [2]}}]}
    _simplify(part)
    assert part == {"a": [{"anyOf": [1], "b": {"anyOf": [2]}}]}


@pytest.mark.parametrize("field", ["headers_from_env", "query_from_env"])
def test_only_variables_as_deployed_or_none_go_out(field: str) -> None:
    source = {"type": "http", "urls": ["https://example.org/a"], field: {"X": "TOKEN"}}
    schema = form_of(pipeline, config_of(corpus=[source, {"type": "docstrings"}]))
    pinned = schema["definitions"]["HttpSource"]["properties"]
    assert pinned[field]["enum"] == [{}, {"X": "TOKEN"}]
    assert pinned[field]["readOnly"] is True
    (other,) = {"headers_from_env", "query_from_env"} - {field}
    assert pinned[other]["enum"] == [{}]


def test_whoever_starts_a_run_says_neither_its_command_nor_its_environment() -> None:
    template = job_template()
    assert template["variables"] == {"type": "object", "properties": {}}
    environment = template["job_configuration"]["env"]
    assert environment == {"PYTHONSAFEPATH": "1", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
    assert template["job_configuration"]["command"].endswith(" -m prefect.engine")


def test_a_pool_is_made_with_its_automation_or_brought_up_to_date() -> None:
    server: Any = Server()
    set_up_pool(server, 3)
    ((name, update),) = server.told
    assert (name, update.concurrency_limit) == ("roberta", 3)
    assert update.base_job_template == job_template()
    bare: Any = Server(has_pool=False)
    set_up_pool(bare, 3)
    (_, made), automation = bare.told
    assert (made.name, made.type, made.concurrency_limit) == ("roberta", "process", 3)
    assert made.base_job_template == job_template()
    assert automation == ("POST", pool.ZOMBIES)


def test_a_run_whose_heart_has_stopped_has_crashed() -> None:
    """Three beats long; whoever said how it ended is not taken for dead."""
    wanted: Any = crash_zombies()
    assert wanted.trigger.posture == Posture.Proactive
    assert wanted.trigger.within.total_seconds() == 90
    assert wanted.trigger.after == {"prefect.flow-run.heartbeat"}
    ends = {"Completed", "Failed", "Cancelled", "Crashed", "AwaitingRetry", "heartbeat"}
    assert wanted.trigger.expect == {f"prefect.flow-run.{end}" for end in ends}
    assert wanted.trigger.for_each == {"prefect.resource.id"}
    (action,) = wanted.actions
    assert action.state.value == "CRASHED"


def entry(id: str, **change: Any) -> dict[str, Any]:
    """The automation as a server has it."""
    content = crash_zombies().model_dump(mode="json", exclude={"owner_resource"})
    return {**content, "id": id, **change}


def test_an_automation_that_is_as_wanted_is_left_alone() -> None:
    server: Any = Server(entry("other", name="another's", enabled=False), entry("a"))
    set_up_automation(server, crash_zombies())
    assert server.told == []


def test_of_two_the_second_goes_and_one_that_is_otherwise_is_made_anew() -> None:
    twice: Any = Server(entry("a"), entry("b"))
    set_up_automation(twice, crash_zombies())
    assert twice.told == [("DELETE", "b")]
    changed: Any = Server(entry("a", enabled=False))
    set_up_automation(changed, crash_zombies())
    assert changed.told == [("DELETE", "a"), ("POST", pool.ZOMBIES)]


def test_all_automations_are_read_page_by_page() -> None:
    for count in (0, 199, 200, 201, 400):
        server: Any = Server(*({"id": str(n)} for n in range(count)))
        assert [each["id"] for each in automations(server)] == [str(n) for n in range(count)]


@pytest.mark.parametrize(
    ("found", "wanted", "says"),
    [
        ({"a": 1, "id": 7}, {"a": 1}, True),
        ({"a": 2}, {"a": 1}, False),
        ({}, {"a": None}, False),
        ({"a": [2, 1]}, {"a": [1, 2]}, True),
        ([1], [1, 2], False),
        ([1, 2], [1], False),
        ([{"a": 1, "id": 2}], [{"a": 1}], True),
        ("x", {"a": 1}, False),
        (1, 1, True),
    ],
)
def test_a_server_may_add_to_what_is_wanted_and_keep_sets(
    found: Any, wanted: Any, says: bool
) -> None:
    assert _says(found, wanted) is says


NOTIFY = [
    {"block": "webhook/ops", "news": ["failure", "score_drop"]},
    {"block": "slack-webhook/team", "news": ["failure"]},
]


def test_each_news_is_told_to_each_block_of_its_own_pipeline_alone() -> None:
    blocks = {"webhook/ops": UUID(int=1), "slack-webhook/team": UUID(int=2)}
    config = config_of(operations={"notify": NOTIFY})
    failed, fell, told = _wanted(config, blocks, ["d1", "d2"])
    names = [each.name for each in (failed, fell, told)]
    assert names == [
        "roberta letters: failure to webhook/ops",
        "roberta letters: score drop to webhook/ops",
        "roberta letters: failure to slack-webhook/team",
    ]
    trigger: Any = failed.trigger
    assert trigger.expect == {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"}
    assert trigger.match_related.model_dump() == {
        "prefect.resource.id": ["prefect.deployment.d1", "prefect.deployment.d2"]
    }
    news: Any = fell.trigger
    assert news.expect == {"roberta.score-drop"}
    assert news.match.model_dump() == {"prefect.resource.id": "roberta.pipeline.letters"}
    (webhook,), (slack,) = fell.actions, told.actions
    assert webhook.block_document_id == UUID(int=1)  # type: ignore[union-attr]
    payload = webhook.payload  # type: ignore[union-attr]
    assert payload == (
        '{"pipeline": "letters", "news": "score_drop", '
        "\"message\": {{ (event.payload['message']) | tojson }}}"
    )
    assert slack.block_document_id == UUID(int=2)  # type: ignore[union-attr]
    assert slack.subject == "letters: failure"  # type: ignore[union-attr]
    assert "flow_run.state.message" in slack.body  # type: ignore[union-attr]


def test_what_a_config_no_longer_asks_for_is_told_no_more() -> None:
    """Of its own name alone; another pipeline's stays."""
    ours, theirs = "roberta letters: publish to webhook/ops", "roberta letters2: publish to x/y"
    server: Any = Server({"id": "1", "name": ours}, {"id": "2", "name": theirs})
    config = config_of(operations={"notify": NOTIFY[:1]})
    names = set_up_notifications(server, config, {"webhook/ops": UUID(int=1)}, [{"id": "d"}])
    assert names == [
        f"roberta letters: {news} to webhook/ops" for news in ("failure", "score drop")
    ]
    assert server.told == [("POST", names[0]), ("POST", names[1]), ("DELETE", "1")]


def test_a_block_is_looked_up_by_kind_and_name_without_its_secrets() -> None:
    server: Any = Server()
    found: Any = find_blocks(server, config_of(operations={"notify": NOTIFY}))
    assert found == {
        "webhook/ops": ("webhook", "ops"),
        "slack-webhook/team": ("slack-webhook", "team"),
    }
    gone = config_of(operations={"notify": [{"block": "webhook/none"}]})
    with pytest.raises(UserError, match="the server has no block webhook/none"):
        find_blocks(server, gone)
