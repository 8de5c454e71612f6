"""Ctrl-C, SIGTERM and kill -9 in the middle: nothing is left running, and nothing is lost."""

import json
import re
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command import Command, end_all, left_after, new_mark, processes_with
from tiny_pipeline import write_config

TRAINING = ("--set", "pretrain.steps=160", "--set", "pretrain.checkpoint_steps=20")
CLEANING = "2-clean/*/.work/*"
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}


@pytest.fixture(scope="module")
def packed(
    first_run: dict[str, Any], roberta: Command, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Path]:
    """Makes stores that hold the finished stages up to the packed rows."""

    def copy() -> Path:
        folder = tmp_path_factory.mktemp("packed")
        for stage in ("1-download", "2-clean", "3-tokenizer", "4-pack"):
            shutil.copytree(roberta.folder / "store" / stage, folder / stage)
        return folder

    return copy


def train(roberta: Command, store: Path) -> list[str]:
    """The arguments of a run that trains for some seconds."""
    config = str(roberta.folder / "tiny.yaml")
    return ["run", config, "--store", str(store), "--until", "pretrain", "--json", *TRAINING]


def digest(store: Path, stage: str) -> str:
    """The digest of all that a stage's only artifact holds."""
    (manifest,) = store.glob(f"{stage}/*/manifest.json")
    return str(json.loads(manifest.read_text())["output_digest"])


@pytest.fixture(scope="module")
def undisturbed(packed: Callable[[], Path], roberta: Command) -> str:
    """What the training comes out as when nobody stops it."""
    store = packed()
    done = roberta(*train(roberta, store))
    assert done.code == 0, done.err
    return digest(store, "5-pretrain")


def stop(
    roberta: Command, arguments: list[str], how: signal.Signals, when: Callable[[], bool]
) -> str:
    """Start a command, signal its process alone at a moment; what it said on stderr.

    The exit code is the signal's, it comes within the grace of Prefect's own cancel, and
    nothing the command started is left a few seconds later.
    """
    mark = new_mark()
    process = roberta.start(*arguments, mark=mark)
    try:
        end = time.monotonic() + 120
        while not when():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, "the moment never came"
            time.sleep(0.02)
        others = len(processes_with(mark)) - 1
        assert others > 0, "nothing but the command itself runs at this moment"
        process.send_signal(how)
        _, err = process.communicate(timeout=25)
        assert process.returncode == CODES[how], err
        assert left_after(mark, 10) == []
    finally:
        end_all(mark)
    return str(err)


def check_said(err: str, how: signal.Signals, command: str) -> None:
    """One paragraph with the command that goes on; a killed process says nothing."""
    assert "Traceback" not in err, err
    assert "Error" not in err, err
    if how != signal.SIGKILL:
        (told,) = [line for line in err.splitlines() if line.startswith("roberta: ")]
        assert "stopped" in told
        assert f"roberta {command}" in told


@pytest.mark.parametrize(
    "how",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, marks=pytest.mark.slow),
    ],
    ids=lambda how: how.name,
)
def test_a_training_that_is_stopped_goes_on_to_the_same_bytes(
    how: signal.Signals, packed: Callable[[], Path], undisturbed: str, roberta: Command
) -> None:
    """Whoever stops a training loses at most the steps since the last checkpoint."""
    store = packed()
    arguments = train(roberta, store)

    def in_the_middle() -> bool:
        return any(store.glob("5-pretrain/*/checkpoint/*/model.safetensors"))

    err = stop(roberta, arguments, how, in_the_middle)
    check_said(err, how, "run")
    state = {signal.SIGKILL: "killed"}.get(how, "stopped")
    status = roberta("status", "--store", store, "--json").json
    assert [run["state"] for run in status["runs"]] == [state]
    if how != signal.SIGKILL:  # of that the server hears nothing
        (known,) = [
            run["state"]
            for run in roberta("runs", "--store", store, "--json").json["runs"]
            if run["run"] == status["runs"][0]["run"]
        ]
        assert known == ("Cancelled" if how == signal.SIGINT else "Crashed")
    kept = [item for item in status["artifacts"] if item["stage"] == "pretrain"]
    assert [(item["state"], item["in_use"]) for item in kept] == [("partial", False)]
    plan = roberta("plan", *arguments[1:4], *TRAINING, "--until", "pretrain", "--json").json
    assert plan["stages"][-1]["action"] == "resume"

    done = roberta(*arguments)
    assert done.code == 0, done.err
    states = {stage["name"]: stage["state"] for stage in done.json["stages"]}
    assert states.pop("pretrain") == "done"
    assert re.search(r"training .*going on from step \d+ of 160, on the CPU", done.err), done.err
    assert set(states.values()) == {"cached"}
    assert digest(store, "5-pretrain") == undisturbed


def is_cleaning(store: Path) -> bool:
    return any(store.glob("2-clean/*/.work/*"))


@pytest.mark.slow
@pytest.mark.parametrize("how", list(CODES), ids=lambda how: how.name)
def test_a_pool_that_is_stopped_goes_on_to_the_same_bytes(
    how: signal.Signals, tmp_path: Path
) -> None:
    """Workers and the embedded server end with the command, however it ends."""
    texts = tmp_path / "texts"
    texts.mkdir()
    for number in range(8):
        lines = [
            json.dumps({"text": f"In file {number} ship {n} carries {n * 7} sailors over the sea."})
            for n in range(2_500)
        ]
        (texts / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    source = {"type": "files", "name": "ships", "paths": str(texts), "held_out": 0.05}
    digests = []
    for name in ("undisturbed", "stopped"):
        folder = tmp_path / name
        config = write_config(folder, corpus=[source])
        (folder / "home").mkdir()
        roberta = Command(folder, folder / "home")
        arguments = ["run", str(config), "--until", "clean", "--json"]
        if name == "stopped":
            working = folder / "store"
            err = stop(roberta, arguments, how, partial(is_cleaning, working))
            check_said(err, how, "run")
        done = roberta(*arguments)
        assert done.code == 0, done.err
        digests.append(digest(folder / "store", "2-clean"))
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_a_command_that_is_stopped_before_it_began_says_so(tmp_path: Path) -> None:
    """SIGTERM while the embedded server starts: no server is left, and the right exit code."""
    config = write_config(tmp_path)
    (tmp_path / "home").mkdir()
    roberta = Command(tmp_path, tmp_path / "home")
    mark = new_mark()
    process = roberta.start("run", config, mark=mark)
    try:
        end = time.monotonic() + 60
        while not any("flows.server_process" in p.cmdline() for p in processes_with(mark)):
            assert time.monotonic() < end
            time.sleep(0.02)
        process.terminate()
        _, err = process.communicate(timeout=25)
        assert process.returncode == 143, err
        check_said(err, signal.SIGTERM, "run")
        assert left_after(mark, 10) == []
    finally:
        end_all(mark)
