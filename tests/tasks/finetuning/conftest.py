"""A small model folder with a tokenizer of its own, and small data that can be learnt."""

import json
from pathlib import Path

import pytest
from small_finetuning import BAD, GOOD, THINGS, sentences, write_jsonl
from small_models import small_config
from tokenizers import ByteLevelBPETokenizer

from roberta_model.huggingface import save_model
from roberta_model.masked_lm import RobertaMaskedLM
from roberta_model.training.start import draw

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random encoder of width 32 for 48 tokens, whose tokenizer knows the words used here."""
    folder = tmp_path_factory.mktemp("pretrained")
    words = " ".join(GOOD + BAD + THINGS)
    texts = [f"the {thing} was {word} today" for thing in THINGS for word in GOOD + BAD]
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(texts + [words], vocab_size=400, special_tokens=SPECIAL)
    tokenizer.save_model(str(folder))
    known = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    # Narrow encoders learn with larger first weights.
    config = small_config(len(known), max_row_tokens=48, initializer_range=0.1)
    model = RobertaMaskedLM(config)
    draw(model, 0)
    save_model(model, folder)
    return folder


@pytest.fixture
def sentiment(tmp_path: Path) -> dict[str, str]:
    """train, dev and test files of sentences that a small model can learn."""
    found = {}
    for seed, (part, count) in enumerate((("train", 160), ("dev", 60), ("test", 60))):
        rows = [{"sentence": text, "label": label} for text, label in sentences(count, seed)]
        found[part] = str(write_jsonl(tmp_path / f"{part}.jsonl", rows))
    return found
