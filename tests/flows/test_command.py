"""The contract of the `roberta` command: names, JSON fields, exit codes, what it prints."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from command import Command, ask

from tasks.stages import STAGE_NAMES

Run = dict[str, Any]
COMMANDS = (
    *("run", "plan", "explain", "status", "verify", "prune", "ledger"),
    *("fill-mask", "score", "export", "report", "schema"),
)


def test_a_run_tells_its_stages_model_and_report(first_run: Run, roberta: Command) -> None:
    """The fields that scripts rely on, and paths that exist."""
    assert first_run["name"] == "tiny"
    assert [stage["name"] for stage in first_run["stages"]] == list(STAGE_NAMES)
    for stage in first_run["stages"]:
        assert stage["state"] == "done"
        assert stage["seconds"] >= 0
        assert (Path(stage["path"]) / "manifest.json").is_file()
        assert Path(stage["path"]).name == stage["key"]
    assert (Path(first_run["model"]) / "model.safetensors").is_file()
    assert Path(first_run["report"]).is_file()
    latest = json.loads((roberta.folder / "store" / "latest.json").read_text())
    assert first_run["stages"][-1]["key"] in json.dumps(latest)


def test_stderr_is_a_line_or_two_a_stage(first_run: Run) -> None:
    """A log of a scheduled run can be read: no chatter, no bars, no colours."""
    lines = first_run["stderr"].splitlines()
    assert len(lines) <= 3 * len(STAGE_NAMES), first_run["stderr"]
    assert not re.search(r"\x1b|\r|Traceback|prefect", first_run["stderr"])


def test_a_second_run_is_cached_and_prefect_says_so(first_run: Run, roberta: Command) -> None:
    """Nothing is computed twice, and the UI tells cached stages from computed ones."""
    done = roberta("run", "tiny.yaml", "--json")
    assert done.code == 0, done.err
    assert {stage["state"] for stage in done.json["stages"]} == {"cached"}
    for run, names in ((first_run, {"Completed"}), (done.json, {"Cached"})):
        tasks = ask(
            roberta.api or "",
            "task_runs/filter",
            {"flow_runs": {"id": {"any_": [run["run"]]}}},
        )
        assert {task["state_name"] for task in tasks} == names
        assert len(tasks) == len(STAGE_NAMES)
        artifacts = ask(
            roberta.api or "",
            "artifacts/filter",
            {"flow_runs": {"id": {"any_": [run["run"]]}}},
        )
        assert {artifact["type"] for artifact in artifacts} & {"markdown", "table"}


def test_the_summary_shows_scores_filled_masks_and_what_next(
    first_run: Run, roberta: Command
) -> None:
    """A person gets a table, examples, paths and the next command."""
    done = roberta("run", "tiny.yaml")
    assert done.code == 0, done.err
    for word in (*STAGE_NAMES, "held-out accuracy", "->", "roberta fill-mask"):
        assert word in done.out
    assert first_run["model"] in done.out.replace("\n", "")


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ("pretrain.steps=15", "pretrain"),
        pytest.param("evaluate.examples=['A <mask>.']", "evaluate", marks=pytest.mark.slow),
        pytest.param("pack.row_tokens=48", "pack", marks=pytest.mark.slow),
        pytest.param("clean.filters.min_characters=60", "clean", marks=pytest.mark.slow),
    ],
)
def test_plan_names_the_stages_that_a_change_concerns(
    first_run: Run, roberta: Command, change: str, first: str
) -> None:
    """Before any hour is spent: what will run, and why."""
    done = roberta("plan", "tiny.yaml", "--set", change, "--json")
    assert done.code == 0, done.err
    stages = {stage["name"]: stage for stage in done.json["stages"]}
    place = STAGE_NAMES.index(first)
    assert stages[first]["action"] == "run"
    assert change.split("=")[0].split(".")[-1] in " ".join(stages[first]["why"])
    assert {stages[name]["action"] for name in STAGE_NAMES[:place]} <= {"cached"}
    assert "estimate" in stages[first]


def test_a_run_does_what_plan_said(first_run: Run, roberta: Command) -> None:
    """A changed example runs the evaluation and the publication, and nothing else."""
    change = "evaluate.examples=['Return a new <mask>.']"
    planned = roberta("plan", "tiny.yaml", "--set", change, "--json").json["stages"]
    done = roberta("run", "tiny.yaml", "--set", change, "--json")
    assert done.code == 0, done.err
    states = {stage["name"]: stage["state"] for stage in done.json["stages"]}
    assert [name for name, state in states.items() if state == "done"] == ["evaluate", "publish"]
    assert {stage["name"] for stage in planned if stage["action"] == "run"} >= {"evaluate"}
    explained = roberta("explain", "tiny.yaml", "evaluate", "--json")
    assert explained.code == 0
    assert "examples" in explained.out


@pytest.mark.slow
def test_until_and_force(first_run: Run, roberta: Command) -> None:
    """`--until` ends there; `--force` does a finished stage again, to the same bytes."""
    done = roberta("run", "tiny.yaml", "--until", "tokenizer", "--force", "tokenizer", "--json")
    assert done.code == 0, done.err
    assert [stage["state"] for stage in done.json["stages"]] == ["cached", "cached", "done"]
    assert done.json["model"] is None
    assert done.json["stages"][2]["key"] == first_run["stages"][2]["key"]


def test_status_and_ledger(first_run: Run, roberta: Command) -> None:
    """What is there, and that nothing was lost on the way."""
    status = roberta("status", "--store", "store", "--json").json
    assert {"runs", "artifacts"} <= set(status)
    assert first_run["run"] in {run["run"] for run in status["runs"]}
    ledger = roberta("ledger", "tiny.yaml", "--json")
    assert ledger.code == 0, ledger.err
    assert ledger.json["balanced"]


def test_schema_and_help(roberta: Command) -> None:
    """Editors get a JSON schema; `--help` names every command."""
    schema = roberta("schema").json
    assert {"corpus", "pretrain", "model"} <= set(schema["properties"])
    told = roberta("--help").out
    assert all(re.search(rf"^  {name} ", told, re.MULTILINE) for name in COMMANDS)


def test_a_flipped_byte_is_named_never_served_and_repaired(
    copied_store: Path, roberta: Command
) -> None:
    """From the model back to the same bytes, by one command."""
    (weights,) = copied_store.glob("5-pretrain/*/model/model.safetensors")
    sound = weights.read_bytes()
    broken = bytearray(sound)
    broken[len(broken) // 2] ^= 1
    weights.write_bytes(bytes(broken))
    found = roberta("verify", "--store", copied_store, "--json")
    assert found.code == 1
    assert "5-pretrain" in found.out
    assert "model.safetensors" in found.out
    mended = roberta("verify", "--store", copied_store, "--repair")
    assert mended.code == 0, mended.err
    assert weights.read_bytes() == sound
    assert roberta("verify", "--store", copied_store).code == 0
    weights.write_bytes(bytes(broken))
    again = roberta("run", "tiny.yaml", "--store", copied_store, "--json")
    assert again.code == 0, again.err
    assert weights.read_bytes() == sound
