"""`model.onnx`: torch's logits for any batch and length, whatever the head; or no file at all."""

import importlib.util
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stock_folders import SENTENCES, stock_folder

from tasks.errors import StageError, UserError
from tasks.publishing import export, onnx_file
from tasks.publishing.export import export_folder
from tasks.publishing.onnx_file import ONNX_FILE

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "publishing.md"
installed = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxruntime", "onnxscript")),
    reason="onnx, onnxruntime and onnxscript are not installed: make setup EXTRAS=onnx",
)
OTHER_HEADS = (
    "RobertaForSequenceClassification",
    "RobertaForTokenClassification",
    "RobertaForQuestionAnswering",
)


def exported(folder: Path, kind: str, *, check: bool = False) -> Path:
    """A stock folder's copy with the file; stock is asked only where the test is about it."""
    stock_folder(folder / "model", kind)
    with pytest.MonkeyPatch.context() as patch:
        if not check:
            patch.setattr(export, "check_against_stock", lambda *_: 0.0)
        found = export_folder(folder / "model", folder / "copy", onnx=True)
    assert ONNX_FILE in found["files"]
    assert 0 < found["onnx_difference"] < 1e-4
    return folder / "copy"


@pytest.fixture(scope="module")
def masked_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked LM with its file."""
    return exported(tmp_path_factory.mktemp("masked"), "RobertaForMaskedLM")


def hold_against_stock(folder: Path, kind: str) -> None:
    """One text, several that are padded, some as long as it goes; outputs by stock's names."""
    import onnxruntime
    import torch
    import transformers

    session = onnxruntime.InferenceSession(str(folder / ONNX_FILE))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    stock = getattr(transformers, kind).from_pretrained(folder)
    for texts in (["Rome"], list(SENTENCES), [" ".join(SENTENCES)] * 3):
        batch = tokenizer(texts, padding=True, truncation=True, max_length=32, return_tensors="pt")
        ours = {name: batch[name].numpy() for name in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            wanted = {name: np.asarray(value) for name, value in stock(**batch).items()}
        assert list(wanted) == [output.name for output in session.get_outputs()]
        is_real = ours["attention_mask"].astype(bool)
        for name, logits in wanted.items():
            (got,) = session.run([name], ours)
            apart = np.abs(got - logits)
            assert (apart if kind == OTHER_HEADS[0] else apart[is_real]).max() < 1e-4


@installed
def test_it_computes_what_stock_computes_of_texts_that_nobody_tried(masked_lm: Path) -> None:
    """The export looks at its own texts; these are others."""
    hold_against_stock(masked_lm, "RobertaForMaskedLM")


@installed
@pytest.mark.slow
@pytest.mark.parametrize("kind", OTHER_HEADS)
def test_every_head_has_the_file(kind: str, tmp_path: Path) -> None:
    """Beside a folder that stock has agreed with."""
    hold_against_stock(exported(tmp_path, kind, check=True), kind)


@installed
def test_the_guides_lines_run_on_an_exported_folder(
    masked_lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the tokenizer that lies beside the file, and no torch."""
    (tmp_path / "my-encoder").symlink_to(masked_lm)
    monkeypatch.chdir(tmp_path)
    (lines,) = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.M | re.S)
    session: dict[str, Any] = {}
    exec(compile(lines, str(GUIDE), "exec"), session)
    assert session["logits"].shape[0] == 2


@installed
def test_a_file_that_computes_something_else_is_not_handed_out(
    masked_lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of a model with one weight changed; nothing is left."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(masked_lm, tmp_path / "model")
    weights = load_file(tmp_path / "model/model.safetensors")
    weights["lm_head.bias"][7] += 2e-4
    save_file(weights, tmp_path / "model/model.safetensors", {"format": "pt"})
    monkeypatch.setattr(export, "check_against_stock", lambda *_: 0.0)
    other = masked_lm / "model.onnx"
    monkeypatch.setattr(onnx_file, "_trace", lambda _, path, __: shutil.copyfile(other, path))
    with pytest.raises(StageError, match=r"model.onnx computes other logits than torch"):
        export_folder(tmp_path / "model", tmp_path / "copy", onnx=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@installed
@pytest.mark.slow
def test_a_mistake_that_only_long_or_padded_rows_show_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positions that end early: right for a short text."""
    from roberta_model import encoder

    stock_folder(tmp_path / "model")
    trace, right = onnx_file._trace, encoder.position_ids

    def wrong(*arguments: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(encoder, "position_ids", lambda ids, pad: right(ids, pad).clamp(max=30))
            trace(*arguments)

    monkeypatch.setattr(onnx_file, "_trace", wrong)
    with pytest.raises(StageError, match=r"model.onnx computes other logits than torch"):
        export_folder(tmp_path / "model", tmp_path / "copy", onnx=True)


def test_without_the_packages_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One paragraph: which, and how to have them."""
    stock_folder(tmp_path / "model")
    monkeypatch.setattr(onnx_file, "_PACKAGES", ("json", "not_there_at_all"))
    monkeypatch.setattr(export, "check_against_stock", lambda *_: pytest.fail("it was begun"))
    with pytest.raises(UserError, match=r"not_there_at_all\. .*make setup EXTRAS=onnx") as told:
        export_folder(tmp_path / "model", tmp_path / "copy", onnx=True)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "copy").exists()
