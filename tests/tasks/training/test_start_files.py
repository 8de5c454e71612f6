"""Where the first weights come from, as the stage prepares and the training uses them."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_models import our_model
from tiny_pipeline import run_all, write_config

from roberta_model.config import ModelConfig
from roberta_model.data.masking import MaskingTables
from roberta_model.huggingface import save_model
from roberta_model.masked_lm import RobertaMaskedLM, load_masked_lm
from roberta_model.recipe import StartRecipe
from roberta_model.training.start import initialise, position_width
from tasks.config import Config
from tasks.config.load import load_config
from tasks.engine.runner import Outcome
from tasks.errors import UserError
from tasks.stages import pretrain_model
from tasks.training.costs import num_trained_parameters
from tasks.training.start_files import Start, prepare_start

# One step that moves nothing: what is handed on are the first weights.
STANDING = {"steps": 1, "optimizer": {"learning_rate": 1e-30}}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with all stages before the training."""
    folder = tmp_path_factory.mktemp("packed")
    run_all(load_config(str(write_config(folder))), until="pack")
    return folder / "store"


def config_at(packed: Path, folder: Path, **sections: Any) -> Config:
    shutil.copytree(packed, folder / "store")
    return load_config(str(write_config(folder, **{"pretrain": STANDING, **sections})))


def started(config: Config, monkeypatch: pytest.MonkeyPatch) -> tuple[Start, Mapping[str, Outcome]]:
    """What was prepared, and all stages up to the training."""
    seen: list[Start] = []

    def noting(context: Any) -> Start:
        seen.append(prepare_start(context))
        return seen[-1]

    monkeypatch.setattr(pretrain_model, "prepare_start", noting)
    outcomes = run_all(config, until="pretrain")
    return seen[-1], outcomes


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_masked_lm(folder).named_parameters())


def assert_same_weights(found: Mapping[str, torch.Tensor], expected: Any) -> None:
    for name, value in expected:
        torch.testing.assert_close(found[name], value.detach(), atol=1e-20, rtol=0, msg=name)


@pytest.mark.parametrize(
    ("start", "embeddings", "files"),
    [
        ("local", "svd", {"token_counts", "token_vectors"}),
        ("plain", "svd", {"token_vectors"}),
        ("local", "drawn", {"token_counts"}),
        ("plain", "drawn", set()),
    ],
)
def test_a_training_begins_with_the_weights_that_the_config_names(
    start: str,
    embeddings: str,
    files: set[str],
    packed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counts only for a local start; vectors as wide as positions leave room for."""
    config = config_at(packed, tmp_path, model={"start": start, "embeddings": embeddings})
    prepared, outcomes = started(config, monkeypatch)
    made = outcomes["pretrain"].artifact
    found_folder = Path(made.store.url(f"{made.folder}/model"))
    shape: ModelConfig = load_masked_lm(found_folder).config

    assert prepared.kind == start
    assert set(prepared.files) == files
    if "token_vectors" in files:
        vectors_Vn = np.load(prepared.files["token_vectors"].local())
        room = position_width(shape) if start == "local" else 0
        assert vectors_Vn.shape == (shape.vocab_size, shape.width - room)
    recipe = StartRecipe(**prepared.values())
    expected = RobertaMaskedLM(shape)
    tables = outcomes["tokenizer"].artifact.file("masking_tables.npz").local()
    initialise(expected, config.pretrain.seed, recipe, MaskingTables.load(tables).special_ids)
    assert_same_weights(weights_of(found_folder), expected.named_parameters())


def given_model(packed: Path, folder: Path) -> ModelConfig:
    """A model of another shape than the config's, for the tokenizer of the packed store."""
    (codes,) = packed.glob("3-tokenizer/*/masking_tables.npz")
    vocab_size = MaskingTables.load(codes).vocab_size
    shape = ModelConfig(vocab_size, 1, 32, 2, 48, max_row_tokens=80)
    save_model(our_model(shape), folder)
    return shape


@pytest.mark.slow
def test_a_training_goes_on_from_the_model_that_from_names(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the whole stage: its shape and weights; its content is the key, not its path."""
    shape = given_model(packed, tmp_path / "given")
    config = from_folder(config_at(packed, tmp_path / "run"), tmp_path / "given")
    prepared, outcomes = started(config, monkeypatch)
    made = outcomes["pretrain"].artifact
    folder = Path(made.store.url(f"{made.folder}/model"))

    assert prepared == Start()
    assert made.summary["parameters"] == num_trained_parameters(shape)
    assert load_masked_lm(folder).config == shape
    assert_same_weights(weights_of(folder), weights_of(tmp_path / "given").items())
    assert set(made.manifest["externals"]) == {"config.json", "model.safetensors"}

    shutil.move(tmp_path / "given", tmp_path / "moved")
    again = run_all(from_folder(config, tmp_path / "moved"), until="pretrain")["pretrain"]
    assert (again.state, again.artifact.key) == ("cached", made.key)
    save_model(our_model(shape, seed=1), tmp_path / "other")
    other = run_all(from_folder(config, tmp_path / "other"), until="pretrain")["pretrain"]
    assert other.artifact.key != made.key
    with pytest.raises(UserError, match="model.from: .*this is no model folder"):
        run_all(from_folder(config, tmp_path / "given"), until="pretrain")


def from_folder(config: Config, folder: Path) -> Config:
    values = config.model_dump(mode="json", by_alias=True)
    return Config.model_validate({**values, "model": {"from": str(folder)}})
