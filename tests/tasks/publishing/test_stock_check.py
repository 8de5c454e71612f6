"""The export gate takes a model with any head: stock's class is the one that the folder names."""

from pathlib import Path

import pytest
import torch
from small_models import draw_weights
from tiny_pipeline import run_all, write_config

from roberta_model.config import ModelConfig
from roberta_model.heads import SequenceClassificationHead
from roberta_model.huggingface import save_model
from tasks.config.load import load_config
from tasks.errors import StageError
from tasks.publishing.export import export_folder
from tasks.publishing.stock_check import check_against_stock

TEXTS = ["The list is empty.", "x"]


@pytest.mark.slow
def test_a_classifier_is_checked_and_a_wrong_weight_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its logits are of whole texts; the tokens are those of the run's own tokenizer."""
    config = load_config(str(write_config(tmp_path)))
    tokenizer = run_all(config, until="tokenizer")["tokenizer"].artifact
    shape = ModelConfig(tokenizer.summary["vocab_size"], 1, 16, 2, 24, max_row_tokens=64)
    model = SequenceClassificationHead(shape, ("no", "yes")).on_encoder(shape)
    draw_weights(model)
    folder = tmp_path / "classifier"
    save_model(model, folder)
    for file in tokenizer.files("tokenizer/"):
        (folder / file.local().name).write_bytes(file.local().read_bytes())

    assert export_folder(folder, tmp_path / "copy")["largest_difference"] < 1e-5

    monkeypatch.setattr(SequenceClassificationHead, "forward", lambda _, x: torch.ones(len(x), 2))
    with pytest.raises(StageError, match="other logits"):
        check_against_stock(folder, TEXTS)
