"""`roberta_model.load`: any Hugging Face RoBERTa folder, with the numbers of stock transformers."""

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from stock_folders import SENTENCES, stock_folder

from roberta_model import load
from roberta_model.inference.unusable import UnusableError

LONG = " ".join(SENTENCES)
# Of very different lengths, so that batches are padded; one is empty, two are the same.
TEXTS = [*SENTENCES, "", "Rome", LONG, "A list. " * 9, "Rome", "  two  spaces "]
HEADS = ("RobertaModel", "RobertaForMaskedLM", "RobertaForSequenceClassification")
HEADS_UNKNOWN = ("RobertaForMultipleChoice", "RobertaForTokenClassification")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked LM in several files, as `roberta-base` would be if it were larger."""
    place = tmp_path_factory.mktemp("stock") / "sharded"
    stock_folder(place, shards=True)
    assert len(list(place.glob("model-*.safetensors"))) > 2
    assert not (place / "model.safetensors").exists()
    return place


def stock_means(folder: Path, texts: list[str]) -> np.ndarray[Any, Any]:
    """Mean pooling under the attention mask as everybody writes it, in one padded batch."""
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    limit = model.config.max_position_embeddings - 2
    batch = tokenizer(texts, padding=True, truncation=True, max_length=limit, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1).float()
    return np.asarray((hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9))


@pytest.mark.parametrize("kind", [*HEADS, *HEADS_UNKNOWN])
def test_vectors_are_stocks_mean_pooling_whatever_the_head(kind: str, tmp_path: Path) -> None:
    """Within 1e-4, for a folder with any head or none, in one file or several."""
    stock_folder(tmp_path, kind, shards=kind == "RobertaModel")
    model = load(tmp_path)
    assert model.architecture == kind
    assert np.abs(model.embed(TEXTS) - stock_means(tmp_path, TEXTS)).max() < 1e-4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_half_precision_are_read(dtype: torch.dtype, tmp_path: Path) -> None:
    """As stock reads them into fp32."""
    stock_folder(tmp_path, dtype=dtype)
    assert np.abs(load(tmp_path).embed(TEXTS) - stock_means(tmp_path, TEXTS)).max() < 1e-4


def test_a_text_has_the_same_vector_in_any_company(folder: Path) -> None:
    """Alone, among others, in another order: within 1e-5, whatever it is padded to."""
    model = load(folder)
    together, backwards = model.embed(TEXTS), model.embed(TEXTS[::-1])[::-1]
    alone = np.concatenate([model.embed([text]) for text in TEXTS])
    assert together.shape == (len(TEXTS), model.width)
    assert together.dtype == np.float32
    assert np.abs(together - alone).max() < 1e-5
    assert np.abs(together - backwards).max() < 1e-5
    assert model.embed([]).shape == (0, model.width)


def test_what_is_cut_is_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """How many texts lost their end, and at which length; nothing where none did."""
    model = load(folder)
    with caplog.at_level(logging.WARNING):
        model.embed(SENTENCES[:1])
        assert not caplog.records
        model.embed(["Rome", LONG, LONG])
    assert "2 of 3 texts are longer than the 32 tokens" in caplog.text
    found = model.embed_with_lengths(["Rome", LONG])
    assert found.is_cut_N.tolist() == [False, True]
    assert found.tokens_N[1] == model.max_tokens == 32


def test_masks_of_many_texts_are_filled_as_of_each_alone(folder: Path) -> None:
    """In the order of the texts and of the masks in them; texts without one have no guesses."""
    model = load(folder)
    texts = ["A <mask>.", "none", "<mask> and [MASK] of it all <mask>", "The capital is <mask>, so"]
    filled = model.fill_masks(texts, top=3)
    assert [len(masks) for masks in filled] == [1, 0, 3, 1]
    for text, masks in zip(texts, filled, strict=True):
        if masks:
            alone = model.fill_mask(text, top=3)
            assert [[g["id"] for g in m] for m in masks] == [[g["id"] for g in m] for m in alone]
            scores = [g["score"] for guesses in alone for g in guesses]
            assert [g["score"] for m in masks for g in m] == pytest.approx(scores, abs=1e-5)


def test_tokens_say_what_the_model_reads(folder: Path) -> None:
    """Those around the text too; each with the characters it covers."""
    model, text = load(folder), "Größe Rome"
    tokens = model.tokenize(text)
    expected = transformers.AutoTokenizer.from_pretrained(folder)(text)["input_ids"]
    assert [token["id"] for token in tokens] == expected
    assert (tokens[0]["token"], tokens[-1]["token"]) == ("<s>", "</s>")
    assert text[tokens[-2]["start"] : tokens[-2]["end"]] in tokens[-2]["token"]


PROBLEMS: dict[str, dict[str, Any]] = {
    "two classes": {"id2label": {0: "bad", 1: "good"}},
    "three": {"id2label": {0: "a", 1: "b", 2: "c"}, "problem_type": "single_label_classification"},
    "several at once": {"num_labels": 4, "problem_type": "multi_label_classification"},
    "one class": {"num_labels": 1},
    "a value": {"num_labels": 1, "problem_type": "regression"},
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_classes_are_those_of_the_stock_pipeline(problem: str, tmp_path: Path) -> None:
    """Every label's score, and which comes first; of long texts and of pairs too."""
    stock_folder(tmp_path, "RobertaForSequenceClassification", **PROBLEMS[problem])
    # Its types know nothing of top_k.
    pipe: Any = transformers.pipeline("text-classification", str(tmp_path), top_k=None)
    texts = [text for text in TEXTS if text]
    found = load(tmp_path).classify([*texts, ("Rome", "It was a joy.")])
    expected = pipe(
        [*texts, {"text": "Rome", "text_pair": "It was a joy."}], truncation=True, max_length=32
    )
    for mine, theirs in zip(found, expected, strict=True):
        scores = {each["label"]: each["score"] for each in theirs}
        assert mine["scores"] == pytest.approx(scores, abs=1e-4)
        assert mine["label"] == theirs[0]["label"]
        assert mine["score"] == mine["scores"][mine["label"]]


MISUSED: dict[str, tuple[str, Callable[[Any], object], str]] = {
    "fill": ("RobertaForSequenceClassification", lambda m: m.fill_mask("A <mask>."), "MaskedLM is"),
    "score": ("RobertaForTokenClassification", lambda m: m.score(["A"]), "a RobertaForToken"),
    "classify": ("RobertaForMaskedLM", lambda m: m.classify(["A"]), "fine-tuned to classify"),
    "no head": ("RobertaModel", lambda m: m.fill_mask("A <mask>."), "encoder without a head"),
}


@pytest.mark.parametrize("case", MISUSED)
def test_what_the_head_cannot_do_is_refused_with_what_can(case: str, tmp_path: Path) -> None:
    """Which head the folder has, and which folder is needed; one paragraph."""
    kind, use, message = MISUSED[case]
    stock_folder(tmp_path, kind)
    with pytest.raises(UnusableError, match=message) as caught:
        use(load(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_text_that_is_no_text_and_a_device_that_is_not_there(folder: Path) -> None:
    """Half a surrogate pair is named by its place, a device by its name."""
    with pytest.raises(UnusableError, match=r"Text 2 holds half .* \(\\ud800 at character 1\)"):
        load(folder).embed(["a", "b\ud800"])
    with pytest.raises(UnusableError, match="no device 'cuda:99'|no device 'mine'"):
        load(folder, device="mine")
    with pytest.raises(ValueError, match="it is not a folder"):
        load(folder / "none")


def test_a_model_folder_may_be_meant_where_there_is_none(tmp_path: Path) -> None:
    """No file, and no folder of something else, whatever it is called."""
    (tmp_path / "sentiments.yaml").write_text("tasks: []\n")
    (tmp_path / "sentimen").mkdir()
    with pytest.raises(UnusableError, match=r"sentimens: this is no model .* RoBERTa folder\.$"):
        load(tmp_path / "sentimens")
    (tmp_path / "sentiment").mkdir()
    (tmp_path / "sentiment/config.json").write_text("{}")
    with pytest.raises(UnusableError, match=rf"Did you mean {tmp_path}/sentiment\?"):
        load(tmp_path / "sentimens")


def test_importing_the_package_imports_no_library() -> None:
    """`from roberta_model import load` is for any script: torch comes when a folder is opened."""
    code = (
        "import sys; from roberta_model import load; "
        "print(*sorted({'torch', 'numpy', 'tokenizers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
