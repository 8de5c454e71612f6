"""A suite may teach a copy of the model: its scores stand in the common table."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.config.downstream import FineTuningConfig
from tasks.config.suite import SUITES, load_suite
from tasks.engine.stores import open_store
from tasks.errors import UserError
from tasks.finetuning import downstream
from tasks.finetuning.job import Taught
from tasks.finetuning.plan import Job
from tasks.stages.evaluate_suite import evaluate_folder

AFTER = "  - {name: again, task: classify, after: mood, epochs: 1, learning_rates: [1.0e-9]"


def write_suite(folder: Path, sentiment: dict[str, str], more: str = "") -> Path:
    path = folder / "suite.yaml"
    path.write_text(
        "downstream:\n  - {name: mood, task: classify, epochs: 3, learning_rates: [0.01],"
        f" batch_sizes: [16], dropout: 0.0, train: {sentiment['train']},"
        f" dev: {sentiment['dev']}}}\n{more}"
    )
    return path


def test_the_rows_of_a_task_are_those_of_test_the_deciding_metric_first() -> None:
    """Beside each what the first baseline has on the same rows; of an error less is more."""

    def scored(mse: float, pearson: float) -> dict[str, Any]:
        values = {"pearson": pearson, "mse": mse}
        return {
            "n": 3,
            "metrics": {m: {"value": v, "low": v - 1, "high": v + 1} for m, v in values.items()},
        }

    baselines = {"dev": {"mean": {"mse": 9.0}}, "test": {"mean": {"mse": 4.0, "pearson": 0.0}}}
    found = {
        "metric": "mse",
        "scores": {"dev": scored(0.1, 0.9), "test": scored(0.5, 0.7)},
        "baselines_on": baselines,
    }
    rows = downstream.score_rows("likeness", found)
    told = [(row["measure"], row["value"], row["chance"], row["better"]) for row in rows]
    assert told == [("mse", 0.5, 4.0, "lower"), ("pearson", 0.7, 0.0, "higher")]
    assert rows[0]["interval"] == {"low": -0.5, "high": 1.5, "method": "bootstrap"}


@pytest.mark.slow
def test_a_task_is_learnt_scored_and_kept(
    model_folder: Path, sentiment: dict[str, str], tmp_path: Path
) -> None:
    again = f"{AFTER}, train: {sentiment['train']}, dev: {sentiment['dev']}}}\n"
    suite = load_suite(str(write_suite(tmp_path, sentiment, again)))
    store = open_store(str(tmp_path / "store"))
    done = evaluate_folder(model_folder, suite, store)
    first = done.artifact.summary["scores"][0]
    # Next to nothing is learnt after it, so what comes of it is what it began with.
    mood, after = (done.artifact.summary["tasks"][name]["scores"] for name in ("mood", "again"))
    assert mood["dev"]["metrics"]["accuracy"]["value"] > 0.9
    assert after["dev"]["confusion"] == mood["dev"]["confusion"]
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


def tasks_of(sentiment: dict[str, str], **after: str) -> list[FineTuningConfig]:
    """Tasks by their names, each with the one that it comes after."""
    files = {"train": sentiment["train"], "dev": sentiment["dev"]}
    return [
        FineTuningConfig(name=name, task="classify", after=before or None, **files)
        for name, before in after.items()
    ]


def test_a_task_begins_with_what_the_one_before_it_has_made(
    sentiment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights and their shape, read by the tokenizer of all; the others begin anew."""
    seen: dict[str, dict[str, Any]] = {}

    def taught(_: Any, job: Job) -> Taught:
        name = job.settings.name
        seen[name] = dict(job.model)
        made: Any = {"config.json": f"{name}'s", "model.safetensors": f"{name}'s weights"}
        return Taught({"of": name}, made)

    monkeypatch.setattr(downstream, "fine_tune", taught)
    model: Any = {"config.json": "ours", "model.safetensors": "weights", "vocab.json": "words"}
    context: Any = SimpleNamespace(externals={})
    tasks = tasks_of(sentiment, one="", two="one", three="two", four="")
    found = downstream.teach(context, tasks, model, [], None)
    assert found == {name: {"of": name} for name in ("one", "two", "three", "four")}
    assert seen["one"] == seen["four"] == model
    two = {"config.json": "one's", "model.safetensors": "one's weights", "vocab.json": "words"}
    assert seen["two"] == two
    assert seen["three"]["model.safetensors"] == "two's weights"


@pytest.mark.parametrize("after", ["later", "self", "nobody"])
def test_what_does_not_stand_before_a_task_it_cannot_begin_with(
    after: str, sentiment: dict[str, str]
) -> None:
    tasks = tasks_of(sentiment, first="", self=after, later="")
    told = rf"downstream.1.after: no task called '{after}' stands before 'self' \(but: first\)"
    with pytest.raises(UserError, match=told):
        downstream.check_downstream(tasks)


def test_what_an_answer_would_replace_is_refused_before_anything_is_learnt(
    sentiment: dict[str, str], tmp_path: Path
) -> None:
    new = tmp_path / "new.jsonl"
    new.write_text('{"sentence": "a", "predicted_at": "noon"}\n')
    (task,) = tasks_of(sentiment, mood="")
    asked = task.model_copy(update={"predict": (str(new),)})
    downstream.check_downstream([asked])
    new.write_text('{"sentence": "a", "predicted_label": "good"}\n')
    with pytest.raises(UserError, match="a column 'predicted_label' already"):
        downstream.check_downstream([asked])


@pytest.mark.parametrize("path", sorted(SUITES.glob("*.yaml")), ids=lambda path: path.stem)
def test_packaged_suites_are_read(path: Path) -> None:
    """By their names, whatever is beside them."""
    suite = load_suite(path.stem)
    assert suite.name == path.stem
    assert suite.tasks or suite.downstream
