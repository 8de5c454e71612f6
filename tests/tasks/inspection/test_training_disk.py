"""What `roberta plan` says of a training's disk and size, held against real ones."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from roberta_model.config import PRESETS, ModelConfig
from roberta_model.huggingface import save_model
from roberta_model.masked_lm import RobertaMaskedLM
from roberta_model.training.flat import FlatWeights, group_of
from roberta_model.training.optimizer import Optimizer
from tasks.config import Config
from tasks.errors import UserError
from tasks.training.costs import num_trained_parameters, planned_model, training_disk_bytes


def config_with(**sections: Any) -> Config:
    return Config.model_validate({"corpus": [{"type": "docs"}], **sections})


@pytest.mark.parametrize("preset", PRESETS)
def test_the_number_of_parameters_is_the_models(preset: Any) -> None:
    """Biases, norms, positions and the head: all of them, none twice."""
    config = ModelConfig(1000, max_row_tokens=64, **vars(PRESETS[preset]))
    with torch.device("meta"):
        named = list(RobertaMaskedLM(config).named_parameters())
    assert num_trained_parameters(config) == sum(p.numel() for _, p in named)
    encoder = [p.numel() for name, p in named if not name.startswith("lm_head.")]
    assert config.num_parameters == sum(encoder)
    matrices = sum(p.numel() for name, p in named if group_of(name, p) == "matrices")
    assert config.num_matrix_parameters == matrices


@pytest.mark.parametrize("kind", ["adam", "muon"])
def test_a_checkpoint_is_weights_and_moments(kind: str) -> None:
    """Counted in the tensors that are written."""
    config = config_with(
        model={"num_layers": 2, "width": 64, "num_heads": 2, "feedforward_width": 96},
        tokenizer={"vocab_size": 400},
        pretrain={"optimizer": {"kind": kind}, "keep_checkpoints": 2},
    )
    vectors = 4 * 400 * 64
    model = planned_model(config)
    flat = FlatWeights(RobertaMaskedLM(model), torch.float32)
    state = Optimizer(flat, flat.master, config.pretrain.optimizer.recipe()).state()
    tensors = [*flat.weights().values(), *state.values()]
    written = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    found = training_disk_bytes(config, model, steps=5000)
    assert found["disk_bytes"] == pytest.approx(3 * written + vectors, rel=0.001)
    assert found["kept_bytes"] == pytest.approx(
        2 * written + 4 * num_trained_parameters(model) + vectors, rel=0.001
    )


@pytest.mark.parametrize(
    ("steps", "num_kept", "at_once"), [(500, 2, 1), (501, 2, 2), (5000, 1, 2), (5000, 9, 10)]
)
def test_as_many_checkpoints_as_there_are_at_once(steps: int, num_kept: int, at_once: int) -> None:
    """The next one is written before an older one goes; a short training writes only a few."""
    config = config_with(model={"start": "plain"}, pretrain={"keep_checkpoints": num_kept})
    model = planned_model(config)
    weights = 4 * num_trained_parameters(model)
    found = training_disk_bytes(config, model, steps)
    assert found["disk_bytes"] == max(at_once * 3, 3 * min(2, at_once) + 1) * weights


def test_a_model_to_continue_from_has_its_own_size(tmp_path: Path) -> None:
    """Not that of the default preset; a folder without a model is named."""
    shape = ModelConfig(300, 1, 16, 2, 24, max_row_tokens=16)
    save_model(RobertaMaskedLM(shape), tmp_path / "given")
    config = config_with(model={"from": str(tmp_path / "given")})
    assert planned_model(config).num_parameters == shape.num_parameters
    with pytest.raises(UserError, match="no config.json"):
        planned_model(config_with(model={"from": str(tmp_path)}))


def test_a_decoder_of_its_own_is_refused_before_anything_runs(tmp_path: Path) -> None:
    """Masked-LM training ties it to the embeddings: the plan says so, not the training process."""
    save_model(RobertaMaskedLM(ModelConfig(300, 1, 16, 2, 24, max_row_tokens=16)), tmp_path)
    place = tmp_path / "config.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), "tie_word_embeddings": False}))
    with pytest.raises(UserError, match="tie_word_embeddings: False"):
        planned_model(config_with(model={"from": str(tmp_path)}))
