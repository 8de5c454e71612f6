"""A suite may teach a copy of the model: its scores stand in the common table."""

from pathlib import Path

import pytest

from tasks.config.suite import SUITES, load_suite
from tasks.engine.stores import open_store
from tasks.errors import UserError
from tasks.stages.evaluate_suite import evaluate_folder


def write_suite(folder: Path, sentiment: dict[str, str], more: str = "") -> Path:
    path = folder / "suite.yaml"
    path.write_text(
        "downstream:\n  - {name: mood, task: classify, epochs: 1, learning_rates: [0.01],"
        f" train: {sentiment['train']}, dev: {sentiment['dev']}}}\n{more}"
    )
    return path


@pytest.mark.slow
def test_a_task_is_learnt_scored_and_kept(
    model_folder: Path, sentiment: dict[str, str], tmp_path: Path
) -> None:
    suite = load_suite(str(write_suite(tmp_path, sentiment)))
    store = open_store(str(tmp_path / "store"))
    done = evaluate_folder(model_folder, suite, store)
    first = done.artifact.summary["scores"][0]
    assert (first["task"], first["measure"], first["n"]) == ("mood", "accuracy", 60)
    assert first["interval"]["low"] <= first["value"] <= first["interval"]["high"]
    assert first["chance"] < 0.7
    assert done.artifact.manifest["headline"].startswith("mood ")
    assert evaluate_folder(model_folder, suite, store).state == "cached"


def test_what_cannot_be_learnt_is_refused_at_once(
    model_folder: Path, sentiment: dict[str, str], tmp_path: Path
) -> None:
    lost = {**sentiment, "dev": "nowhere.csv"}
    suite = load_suite(str(write_suite(tmp_path, lost)))
    with pytest.raises(UserError, match=r"downstream.0.dev: there is no file .*nowhere.csv"):
        evaluate_folder(model_folder, suite, open_store(str(tmp_path / "store")))
    same = write_suite(tmp_path, sentiment, "tasks: [{task: cloze, name: mood, data: x.jsonl}]\n")
    with pytest.raises(UserError, match="two tasks are called mood"):
        load_suite(str(same))


@pytest.mark.parametrize("path", sorted(SUITES.glob("*.yaml")), ids=lambda path: path.stem)
def test_packaged_suites_are_read(path: Path) -> None:
    """By their names, whatever is beside them."""
    suite = load_suite(path.stem)
    assert suite.name == path.stem
    assert suite.tasks or suite.downstream
