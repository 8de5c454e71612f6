"""The recipe of a training: one place for its defaults and ranges, and what of it is identity."""

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin

import annotated_types
import pytest
from pydantic import BaseModel, ValidationError
from tiny_pipeline import TINY, merged

from roberta_model.config import ModelConfig
from roberta_model.recipe import MaskingRecipe, OptimizerRecipe, Schedule, StartRecipe
from roberta_model.training.spec import TrainingSpec
from tasks.config import Config
from tasks.config.model import ModelSection
from tasks.config.pretrain import (
    LossConfig,
    MaskingConfig,
    OptimizerConfig,
    PretrainConfig,
    ScheduleConfig,
)
from tasks.engine.identity import digest_of
from tasks.stages.pretrain_model import pretrain_slice

PAIRS: list[tuple[type[BaseModel], type[Any]]] = [
    (MaskingConfig, MaskingRecipe),
    (OptimizerConfig, OptimizerRecipe),
    (ScheduleConfig, Schedule),
    (LossConfig, TrainingSpec),
    (PretrainConfig, TrainingSpec),
]
# Sections of their own, or turned into `steps` before the training is told.
ELSEWHERE = {"masking", "optimizer", "schedule", "loss", "steps", "epochs", "minutes"}
# Of the stage around the training.
ELSEWHERE |= {"keep_checkpoints"}
# What the pipeline decides and nobody configures under `pretrain`.
NOT_CONFIGURED = {"max_word_tokens"}
# A fine-tuning's, under `downstream`.
NOT_CONFIGURED |= {"head_learning_rate", "embedding_weight_decay"}
BOUNDS = {
    annotated_types.Gt: "gt",
    annotated_types.Ge: "ge",
    annotated_types.Lt: "lt",
    annotated_types.Le: "le",
}


def shared_fields() -> list[tuple[Any, Any, str]]:
    return [
        (section, recipe, name)
        for section, recipe in PAIRS
        for name in section.model_fields
        if name not in ELSEWHERE or recipe is not TrainingSpec
    ]


@pytest.mark.parametrize(
    ("section", "recipe", "name"),
    shared_fields(),
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_config_field_has_the_default_and_the_range_of_the_recipe(
    section: Any, recipe: Any, name: str
) -> None:
    """Two lists of defaults drift; here every field of the one is held against the other."""
    info = section.model_fields[name]
    (known,) = (field for field in fields(recipe) if field.name == name)
    assert info.default == known.default
    ranges = {
        word: getattr(mark, word)
        for mark in info.metadata
        for kind, word in BOUNDS.items()
        if isinstance(mark, kind)
    }
    assert ranges == dict(known.metadata)
    chosen = [
        a for a in (info.annotation, *get_args(info.annotation)) if "Literal" in str(get_origin(a))
    ]
    for literal in chosen:
        assert str(literal).replace("typing.", "") == str(known.type).replace("typing.", "")


@pytest.mark.parametrize(("section", "recipe"), PAIRS[:3])
def test_every_value_of_a_recipe_can_be_configured(section: Any, recipe: Any) -> None:
    """A value that only the model package knows would be a hidden default."""
    assert {field.name for field in fields(recipe)} - set(section.model_fields) <= NOT_CONFIGURED


def test_model_sections_default_deviation_is_the_models() -> None:
    """One number for the spread of first weights."""
    assert ModelSection().first_weights.initializer_range == ModelConfig.initializer_range
    assert str(ModelConfig.initializer_range) in (
        ModelSection.model_fields["initializer_range"].description or ""
    )


@pytest.mark.parametrize(
    ("recipe", "values"),
    [
        (MaskingRecipe, {"rate": 0}),
        (MaskingRecipe, {"rate_end": 1.1}),
        (MaskingRecipe, {"mask_share": 0.95}),
        (OptimizerRecipe, {"learning_rate": 0}),
        (OptimizerRecipe, {"beta2": 1}),
        (OptimizerRecipe, {"kind": "no such kind"}),
        (OptimizerRecipe, {"momentum": -0.1}),
        (Schedule, {"warmup_share": 1}),
        (Schedule, {"decay_share": 0}),
        (Schedule, {"type": "cosine"}),
        (StartRecipe, {"kind": "warm"}),
    ],
)
def test_what_the_config_refuses_the_training_refuses_too(
    recipe: Any, values: dict[str, Any]
) -> None:
    """A range that only one of them knows is no range."""
    with pytest.raises(ValueError, match="must|is .* not"):
        recipe(**values)
    for section, known in PAIRS[:3]:
        if known is recipe:
            with pytest.raises(ValidationError):
                section(**values)


def key_of_pretrain(**changes: Any) -> str:
    return digest_of(pretrain_slice(Config.model_validate(merged(TINY, changes))))


MUON = {"optimizer": {"kind": "muon"}}


@pytest.mark.parametrize(
    ("base", "told"),
    [
        (MUON, {"optimizer": {"kind": "muon", "momentum": 0.95, "matrix_learning_rate": 0.01}}),
        ({}, {"optimizer": {"matrix_learning_rate": 3.0e-3, "embedding_learning_rate": 3.0e-3}}),
        ({}, {"optimizer": {"momentum": 0.5}}),
        ({}, {"schedule": {"decay_share": 0.5}}),
        ({}, {"masking": {"rate": 0.15, "rate_end": 0.15}}),
        ({"steps": None}, {"steps": None, "epochs": 1.0}),
        ({}, {"micro_batch_rows": 4}),
        ({}, {"checkpoint_steps": 7}),
    ],
)
def test_what_decides_no_byte_of_a_training_changes_no_key(
    base: dict[str, Any], told: dict[str, Any]
) -> None:
    """A default that is written down, a number that the chosen kind never reads."""
    assert key_of_pretrain(pretrain=told) == key_of_pretrain(pretrain=base)


@pytest.mark.parametrize(
    ("base", "told"),
    [
        (MUON, {"optimizer": {"kind": "muon", "momentum": 0.9}}),
        (MUON, {"optimizer": {"kind": "muon", "matrix_learning_rate": 0.02}}),
        ({}, {"optimizer": {"embedding_learning_rate": 1.0e-3}}),
        ({"schedule": {"type": "wsd"}}, {"schedule": {"type": "wsd", "decay_share": 0.5}}),
        ({}, {"masking": {"rate_end": 0.3}}),
        ({"dropout": 0.1}, {"dropout": 0.1, "micro_batch_rows": 4}),
        ({}, {"seed": 1}),
    ],
)
def test_what_decides_the_bytes_of_a_training_changes_its_key(
    base: dict[str, Any], told: dict[str, Any]
) -> None:
    """Micro-batches too, once each of them draws its own dropout."""
    assert key_of_pretrain(pretrain=told) != key_of_pretrain(pretrain=base)


def test_sizes_that_are_written_down_are_those_of_the_preset() -> None:
    """The preset is a name for sizes, and the longest input is the packed row's by default."""
    config = {name: value for name, value in TINY.items() if name != "model"}
    sizes = {"num_layers": 4, "width": 256, "num_heads": 4, "feedforward_width": 1024}
    keys = {
        digest_of(pretrain_slice(Config.model_validate({**config, "model": model})))
        for model in ({}, {"preset": "tiny"}, {"preset": "mini", **sizes}, {"max_row_tokens": 64})
    }
    assert len(keys) == 1
    assert key_of_pretrain(model={"max_row_tokens": 128}) != key_of_pretrain()


def test_the_path_of_a_model_to_continue_from_is_no_part_of_the_key(tmp_path: Path) -> None:
    """Its files are, as outside files of the stage; so a copy elsewhere finds what exists."""
    base = {name: value for name, value in TINY.items() if name != "model"}
    keys = {
        digest_of(pretrain_slice(Config.model_validate({**base, "model": {"from": place}})))
        for place in ("one", str(tmp_path / "other"))
    }
    assert len(keys) == 1
    assert keys != {key_of_pretrain()}


def test_reading_a_config_imports_neither_torch_nor_numpy() -> None:
    """The command line answers at once, though defaults come from the model package."""
    script = "import json, sys, tasks.config; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert not {"torch", "numpy"} & set(json.loads(done.stdout))


@pytest.mark.parametrize("length", [{}, {"steps": 3, "minutes": 1.0}])
def test_a_training_spec_has_one_length(length: dict[str, Any]) -> None:
    """Steps, or minutes to measure them in; never both, never neither."""
    with pytest.raises(ValueError, match="either steps or minutes"):
        TrainingSpec(rows=[], tables="", folder="", model=None, **length)
