"""What a training process is told: defaults, ranges, what is refused, what is identity."""

import json
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import pytest
from small_models import small_config

from roberta_model.recipe import MaskingRecipe, OptimizerRecipe, Schedule, StartRecipe
from roberta_model.training.spec import FineTuningSpec, TrainingSpec, read_spec

SPEC = TrainingSpec(rows=["a", "b"], tables="t", folder="f", model=small_config(), steps=3)
TASK = FineTuningSpec(examples="e", head="sequence", folder="f", initial="m", steps=3)


def test_every_default_of_a_training_is_written_down() -> None:
    known = {field.name: field.default for field in fields(TrainingSpec)}
    assert {name: value for name, value in known.items() if value is not MISSING} == {
        "initial": None,
        "steps": None,
        "minutes": None,
        "batch_rows": 256,
        "seed": 0,
        "stop_step": None,
        "precision": "auto",
        "dropout": 0.0,
        "micro_batch_rows": None,
        "checkpoint_steps": 500,
        "resume": None,
        "threads": 1,
        "device": "auto",
        "supervised": False,
        "training": None,
        "began": None,
        "candidates": "vocabulary",
    }
    assert (SPEC.optimizer, SPEC.schedule) == (OptimizerRecipe(), Schedule())
    assert (SPEC.masking, SPEC.start, SPEC.held_out) == (MaskingRecipe(), StartRecipe(), [])


@pytest.mark.parametrize(
    ("name", "outside", "inside"),
    [
        ("batch_rows", 0, 1),
        ("seed", -1, 0),
        ("micro_batch_rows", 0, 1),
        ("checkpoint_steps", 0, 1),
        ("threads", 0, 1),
        ("steps", 0, 1),
        ("dropout", 1, 0.999),
        ("dropout", -0.001, 0),
    ],
)
def test_a_range_of_a_training_ends_where_it_says(name: str, outside: Any, inside: Any) -> None:
    assert getattr(replace(SPEC, **{name: inside}), name) == inside
    with pytest.raises(ValueError, match=f"training {name} must be"):
        replace(SPEC, **{name: outside})


def test_a_training_has_either_steps_or_minutes() -> None:
    assert replace(SPEC, steps=None, minutes=0.5).minutes == 0.5
    for steps, minutes in ((None, None), (3, 1.0)):
        with pytest.raises(ValueError, match="needs either steps or minutes"):
            replace(SPEC, steps=steps, minutes=minutes)
    with pytest.raises(ValueError, match="training minutes must be above 0"):
        replace(SPEC, steps=None, minutes=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"steps": 4},
        {"batch_rows": 255},
        {"dropout": 0.1},
        {"precision": "fp32"},
        {"candidates": "batch"},
        {"model": small_config(num_layers=1)},
        {"optimizer": OptimizerRecipe(weight_decay=0.1)},
        {"schedule": Schedule("constant")},
        {"masking": MaskingRecipe(whole_word=True)},
        {"start": StartRecipe("local")},
    ],
)
def test_what_decides_the_weights_is_identity(changes: dict[str, Any]) -> None:
    assert replace(SPEC, **changes).identity() != SPEC.identity()


def test_where_a_training_runs_is_none() -> None:
    """Nor the place of a file, which counts by what is in it, nor what is measured beside."""
    elsewhere: dict[str, Any] = {
        **{"rows": ["z"], "tables": "z", "folder": "z", "initial": "z", "resume": "z"},
        **{"stop_step": 1, "checkpoint_steps": 2, "threads": 3, "device": "cpu"},
        **{"supervised": True, "training": "z", "began": 1.0, "held_out": ["z"]},
    }
    moved = replace(SPEC, **elsewhere, start=StartRecipe("plain", "z", "z"))
    assert moved.identity() == SPEC.identity()
    assert json.loads(json.dumps(SPEC.identity())) == SPEC.identity()


@pytest.mark.parametrize(
    "changes",
    [
        {"head": "tokens"},
        {"labels": ("a", "b")},
        {"problem": "regression"},
        {"weights": (1.0, 2.0)},
        {"seed": 1},
        {"first_attention": "uniform"},
        {"optimizer": OptimizerRecipe(head_learning_rate=1.0)},
        {"optimizer": OptimizerRecipe(embedding_learning_rate=1.0)},
        {"optimizer": OptimizerRecipe(embedding_weight_decay=1.0)},
    ],
)
def test_what_a_fine_tuning_learns_is_identity(changes: dict[str, Any]) -> None:
    """The files count by their content, which whoever makes the spec knows."""
    assert replace(TASK, **changes).identity() != TASK.identity()
    assert replace(TASK, examples="z", initial="z").identity() == TASK.identity()
    assert replace(TASK, micro_batch_rows=2).identity() == TASK.identity()
    noisy = replace(TASK, dropout=0.1)
    assert replace(noisy, micro_batch_rows=2).identity() != noisy.identity()


def test_only_a_head_for_rows_has_an_s_that_reads() -> None:
    """Where each token is answered for, none may forget where it looks."""
    with pytest.raises(ValueError, match="only a head for whole rows"):
        replace(TASK, head="tokens", first_attention="uniform")
    with pytest.raises(ValueError, match="a first attention is pretrained or uniform, not 'mean'"):
        replace(TASK, first_attention="mean")  # type: ignore[arg-type]


def test_a_fine_tuning_begins_with_a_model() -> None:
    with pytest.raises(ValueError, match="a fine-tuning needs a model to start from"):
        replace(TASK, initial=None)


def test_a_spec_of_either_kind_comes_back_from_its_file(tmp_path: Path) -> None:
    """Pretraining where it does not say; lists are the tuples that they were."""
    task = replace(TASK, labels=("a", "b"), weights=(1.0, 2.0), optimizer=OptimizerRecipe("muon"))
    path = tmp_path / "spec.json"
    for spec, kind in ((SPEC, {}), (SPEC, {"kind": "masked_lm"}), (task, {"kind": "fine_tuning"})):
        path.write_text(json.dumps({**spec.to_json(), **kind}))
        assert read_spec(path) == spec
    path.write_text(json.dumps({**SPEC.to_json(), "kind": "other"}))
    with pytest.raises(ValueError, match="there is no training of the kind 'other'"):
        read_spec(path)
