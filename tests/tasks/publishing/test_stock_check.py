"""The export gate takes a model with any head: stock's class is the one that the folder names."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from small_models import draw_weights
from stock_folders import stock_folder
from tiny_pipeline import run_all, write_config

from roberta_model.config import ModelConfig
from roberta_model.heads import SequenceClassificationHead
from roberta_model.huggingface import save_model
from roberta_model.masked_lm import RobertaMaskedLM
from tasks.config.load import load_config
from tasks.errors import StageError
from tasks.inference import model_folder
from tasks.processes import Child
from tasks.publishing import stock_check
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


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_folder_in_half_precision_and_several_files_is_exported(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    """Both compute in fp32: stock by itself would compute in what the weights are stored in."""
    stock_folder(tmp_path / "half", "RobertaForSequenceClassification", shards=True, dtype=dtype)
    assert export_folder(tmp_path / "half", tmp_path / "copy")["largest_difference"] < 1e-5
    assert (tmp_path / "copy/model.safetensors.index.json").is_file()


def test_the_gate_lets_rounding_through_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it is for: a difference that is no rounding, or another token, is not published."""
    torch.manual_seed(0)
    model = RobertaMaskedLM(ModelConfig(30, 1, 16, 2, 24, max_row_tokens=16)).eval()
    with torch.no_grad():
        model.lm_head.dense.weight *= 0.1
        model.embeddings.word.weight *= 0.1
    ids = [0, 7, 9, 2]
    tokenizer = SimpleNamespace(
        enable_truncation=lambda _: None, encode=lambda _: SimpleNamespace(ids=ids)
    )
    with torch.inference_mode():
        logits = model(torch.tensor([ids]))[0].numpy()
    assert np.abs(logits).max() < 3
    monkeypatch.setattr(model_folder, "load_folder_as_named", lambda _: (model, tokenizer))
    found: dict[str, Any] = {"ids": ids, "logits": logits}
    monkeypatch.setattr(stock_check, "_ask_stock", lambda *_: ([found["ids"]], [found["logits"]]))
    assert check_against_stock(Path("m"), ["x"]) < 1e-6
    found["logits"] = logits + 9e-5
    assert check_against_stock(Path("m"), ["x"]) == pytest.approx(9e-5, rel=0.05)
    found["logits"] = logits.copy()
    found["logits"][2, 11] += 2e-4
    with pytest.raises(StageError, match="other logits"):
        check_against_stock(Path("m"), ["x"])
    found["logits"] = np.full_like(logits, np.nan)
    with pytest.raises(StageError, match="other logits"):
        check_against_stock(Path("m"), ["x"])
    with torch.no_grad():  # of logits so large rounding leaves more: seen on a GPU machine
        model.lm_head.bias.add_(20)
    found["logits"] = logits + 20
    found["logits"][2, 11] += 2e-4
    assert check_against_stock(Path("m"), ["x"]) == pytest.approx(2e-4, rel=0.05)
    found["logits"][2, 11] += 4e-4
    with pytest.raises(StageError, match=r"by up to 6\.\d\de-04 where 4e-04 is allowed"):
        check_against_stock(Path("m"), ["x"])
    found |= {"logits": logits, "ids": [0, 7, 8, 2]}
    with pytest.raises(StageError, match="other token ids"):
        check_against_stock(Path("m"), ["x"])


def test_no_room_for_temporary_files_is_no_fault_of_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was told as `stock transformers cannot load this folder`."""
    failing = ["-c", "raise OSError(28, 'No space left on device')"]
    monkeypatch.setattr(stock_check, "Child", lambda _: Child(failing))
    with pytest.raises(StageError, match=r"no space for temporary files in /.*set TMPDIR"):
        stock_check._ask_stock(Path("m"), TEXTS, 8)
