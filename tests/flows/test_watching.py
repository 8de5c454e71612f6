"""What a run shows, by the server's own account; and a server that dies meanwhile."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import Command, ask, end_all, new_mark, prefect_server, processes_with, server_process
from tiny_pipeline import write_config

from tasks.stages import STAGE_NAMES

PAGES = ("ledger", "corpus", "tokenizer", "loss", "scores", "fills", "leaderboard", "run")


def of_run(api: str, kind: str, run: str) -> Any:
    """Everything of a kind that belongs to a flow run."""
    return ask(api, f"{kind}/filter", {"flow_runs": {"id": {"any_": [run]}}, "limit": 200})


def test_a_run_shows_its_pages_and_how_far_each_stage_is(
    first_run: dict[str, Any], api: str
) -> None:
    """Named after the pipeline, at the task they are of, each once."""
    found = {one["key"]: one for one in of_run(api, "artifacts", first_run["run"])}
    progress = {f"tiny-{stage}-progress" for stage in STAGE_NAMES}
    assert set(found) == progress | {f"tiny-{page}" for page in PAGES}
    assert len(of_run(api, "artifacts", first_run["run"])) == len(found)
    tasks = {task["id"]: task for task in of_run(api, "task_runs", first_run["run"])}
    for stage in STAGE_NAMES:
        one = found[f"tiny-{stage}-progress"]
        assert (one["type"], one["data"]) == ("progress", 100.0)
        assert one["description"].startswith(f"tiny, {stage}: done")
        assert tasks[one["task_run_id"]]["name"] == stage
    assert "Everything adds up." in found["tiny-ledger"]["data"]
    assert "data:image/svg+xml;base64," in found["tiny-loss"]["data"]
    assert "published before" in found["tiny-scores"]["data"]
    assert "\\<mask\\>" in found["tiny-fills"]["data"]
    assert "tiny \\*" in found["tiny-leaderboard"]["data"]
    told = found["tiny-run"]["data"].replace("\\", "")
    assert first_run["model"] in told
    assert first_run["report"] in told


def test_stages_are_a_chain_of_tagged_tasks(first_run: dict[str, Any], api: str) -> None:
    """The graph shows what follows what; tags find all runs of a pipeline, all of a stage."""
    tasks = {task["name"]: task for task in of_run(api, "task_runs", first_run["run"])}
    assert set(tasks) == set(STAGE_NAMES)
    before: list[str] = []
    for stage in STAGE_NAMES:
        inputs = [one["id"] for given in tasks[stage]["task_inputs"].values() for one in given]
        assert inputs == before
        assert set(tasks[stage]["tags"]) == {"tiny", stage}
        before = [tasks[stage]["id"]]
    run = ask(api, f"flow_runs/{first_run['run']}")
    assert (run["name"], run["tags"]) == ("tiny", ["tiny"])


def test_every_stages_lines_are_at_the_run_and_its_task(
    first_run: dict[str, Any], api: str
) -> None:
    """What the terminal shows, each line once, but for the one before there is a run."""
    only = {"flow_run_id": {"any_": [first_run["run"]]}}
    lines = ask(api, "logs/filter", {"logs": only, "sort": "TIMESTAMP_ASC"})
    ours = [line for line in lines if line["name"].startswith(("tasks", "flows"))]
    told = [line["message"] for line in ours]
    assert sorted(told) == sorted(first_run["stderr"].splitlines()[1:])
    tasks = {task["id"]: task["name"] for task in of_run(api, "task_runs", first_run["run"])}
    for line in ours:
        assert tasks[line["task_run_id"]] == line["message"].split()[0]


def wait_for(is_so: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Wait while a command runs."""
    end = time.monotonic() + 120
    while not is_so():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.2)


def keys(api: str) -> dict[str, Any]:
    """All artifacts of a server by key."""
    return {one["key"]: one for one in ask(api, "artifacts/filter", {"limit": 100})}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "is_failing"),
    [(signal.SIGSTOP, False), (signal.SIGKILL, True)],
    ids=["hangs, done", "killed, failing"],
)
def test_a_server_that_dies_meanwhile_costs_seconds_and_one_line(
    how: signal.Signals, is_failing: bool, tmp_path: Path
) -> None:
    """The work goes on, its record says how it ended, and the command says what was missed."""
    (tmp_path / "server").mkdir()
    config = write_config(tmp_path, pretrain={"steps": 1000, "checkpoint_steps": 500})
    mark = new_mark()
    with prefect_server(tmp_path / "server") as api:
        roberta = Command(tmp_path, tmp_path / "home", api)
        process = roberta.start("run", config, mark=mark)
        try:
            wait_for(lambda: "goes on" in str(keys(api).get("tiny-loss", {}).get("data")), process)
            told = keys(api)["tiny-pretrain-progress"]
            assert 0 < told["data"] < 100
            assert "tokens/s" in told["description"].replace("\\", "")
            server = server_process(api)
            server.send_signal(how)
            if is_failing:
                trainers = [
                    one for one in processes_with(mark) if "spec.json" in str(one.cmdline())
                ]
                trainers[0].kill()
            ended = wait_for_record(tmp_path / "store", process)
            out, err = process.communicate(timeout=60)
            seconds = time.monotonic() - ended
        finally:
            end_all(mark)
            with contextlib.suppress(Exception):
                server.kill()
    assert seconds < 30
    lines = [line for line in err.splitlines() if line.startswith("roberta: ")]
    state = "failed" if is_failing else "done"
    assert f"{api} does not answer; it missed that this run is {state} and" in lines[0]
    assert "prefect._internal" not in err, err
    assert "Traceback" not in err
    if is_failing:
        assert process.returncode == 1
        assert "pretrain: the training process ended with signal SIGKILL" in lines[1]
        assert "To go on: roberta run" in err
    else:
        assert process.returncode == 0, err
        assert "held-out accuracy" in out
    status = roberta("status", "--store", "store", "--json").json
    assert [run["state"] for run in status["runs"]] == [state]


def wait_for_record(store: Path, process: "subprocess.Popen[str]") -> float:
    """When the run's own record said that it had ended."""
    wait_for(lambda: '"state": "running"' not in next(store.glob("runs/*")).read_text(), process)
    return time.monotonic()
