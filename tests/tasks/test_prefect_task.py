"""What Prefect is handed of a stage: one object that it does not look into."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from command import ROOT, Command
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.collections import visit_collection

from tasks.config import Config
from tasks.engine.progress import Progress
from tasks.engine.records import Artifact
from tasks.engine.runner import Outcome
from tasks.engine.stores import open_store
from tasks.engine.workforce import Workforce
from tasks.prefect_task import _Order, _Result, deployment_id


def test_prefect_does_not_walk_through_artifacts(tmp_path: Path) -> None:
    """An artifact of 20,000 units took it 15 s a task, on the way in and on the way out."""
    store = open_store(str(tmp_path))
    artifact = Artifact(store, "1-download/0", {"units": [{"label": str(n)} for n in range(100)]})
    config = Config.model_validate({"corpus": [{"type": "docs"}]})
    seen: list[Any] = []
    for handed in (
        _Order(
            config,
            store,
            {"download": artifact},
            force=None,
            progress=Progress(),
            workforce=Workforce(config.engine),
        ),
        _Result(Outcome(artifact, "done", 0.0)),
    ):
        visit_collection(handed, visit_fn=seen.append, return_data=False)
    assert len(seen) == 2


@pytest.mark.parametrize("deployment", [None, uuid4()])
def test_a_run_knows_its_deployment_without_asking_the_server(deployment: UUID | None) -> None:
    """A server that hung held every stage of a run that a person had started."""
    context: Any = FlowRunContext
    run = FlowRun(flow_id=uuid4(), deployment_id=deployment)
    nobody = temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"})
    with nobody, context.model_construct(flow_run=run):
        assert deployment_id() == (None if deployment is None else str(deployment))


FAILING = """
import json, sys
from types import SimpleNamespace
from flows.embedded_server import prefect_api

told = []
with prefect_api() as wait_until_ready:
    wait_until_ready()
    from prefect import flow
    from tasks import errors, prefect_task
    from tasks.config import Config

    config = Config.model_validate({"corpus": [{"type": "docs"}]})
    prefect_task.RETRY_SECONDS = [0.1, 0.2]
    for problem, times, is_deployed in json.loads(sys.argv[1]):
        calls = []

        def run_stage(*_, **__):
            calls.append(1)
            if len(calls) <= times:
                raise getattr(errors, problem)("pack: something is not there.")
            place = SimpleNamespace(url=str)
            made = SimpleNamespace(folder="pack", store=place)
            return SimpleNamespace(artifact=made, state="done")

        prefect_task.run_stage = run_stage
        prefect_task.deployment_id = lambda: "1" if is_deployed else None

        @flow
        def one():
            prefect_task.run_stage_as_task(
                "pack", config, SimpleNamespace(url=str), {}, after=None, force=None,
                progress=None, workforce=None,
            )

        state = one(return_state=True)
        told.append([len(calls), state.name])
print(json.dumps(told))
"""


def test_only_what_may_heal_is_tried_again_and_only_where_nobody_watches(tmp_path: Path) -> None:
    """A real server and Prefect's own engine; the stage alone is made to fail."""
    # What the stage fails with, how often, whether a deployment started it; calls, the flow's end.
    expected: list[tuple[str, int, bool, int, str]] = [
        ("TransientError", 2, True, 3, "Completed"),
        ("TransientError", 9, True, 3, "Failed"),
        ("StageError", 2, True, 1, "Failed"),
        ("TransientError", 2, False, 1, "Failed"),
    ]
    command = Command(tmp_path, tmp_path / "home")
    done = subprocess.run(
        [sys.executable, "-c", FAILING, json.dumps([case[:3] for case in expected])],
        cwd=ROOT,
        env=command.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told == [list(case[3:]) for case in expected], done.stderr
