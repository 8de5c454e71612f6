"""Real text with a tokenizer learnt from it, and packed rows of the tiny pipeline."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_corpus import real_texts
from tiny_pipeline import run_all, write_config
from tokenizers import Tokenizer

from roberta_model.config import ModelConfig
from roberta_model.data.masking import MaskingTables
from roberta_model.recipe import OptimizerRecipe
from roberta_model.training.spec import TrainingSpec
from tasks.config.load import load_config
from tasks.tokenizing.bpe import train_bpe, vocabulary_of

SYNTHETIC = {
    "english": ["It's 1,024 tokens -- isn't it? (She'd 'said' so in 1999.)  Two  spaces.\n\nEnd"],
    "other": ["Größe und Übermaß, 42 Äpfel.\nОн сказал: «да».  C'est l'été — déjà 30 °C !"],
}


@dataclass(frozen=True)
class RealText:
    """Texts by kind, and a byte-level BPE of 3,000 tokens learnt from some of them."""

    texts: Mapping[str, list[str]]
    encoder: Tokenizer
    vocabulary: list[str | None]
    tables: MaskingTables

    def stream(self, kind: str) -> np.ndarray:
        """All token ids of a kind, one text after the other."""
        encoded = self.encoder.encode_batch(self.texts[kind], add_special_tokens=False)
        return np.concatenate([row.ids for row in encoded])


@pytest.fixture(scope="session")
def real_text(request: pytest.FixtureRequest) -> RealText:
    """English speech and wire reports, and a dozen other languages; a sample where absent."""
    try:
        shared: Path = request.getfixturevalue("shared_data")
    except pytest.skip.Exception:
        texts = SYNTHETIC
    else:
        speech = itertools.islice(real_texts(shared, "babylm_2024/switchboard.train.gz"), 2500)
        wire = itertools.islice(real_texts(shared, "reuters/reuters.jsonl.gz"), 200)
        languages = list(real_texts(shared, "multilingual/xquad_paragraphs.jsonl.gz"))
        chinese = itertools.islice(
            real_texts(shared, "multilingual/zh_wiki_cmrc_trial.jsonl.gz"), 40
        )
        texts = {"english": [*speech, *wire], "other": [*languages[::6], *chinese]}
    encoder = train_bpe([*texts["english"][::2], *texts["other"][::3]], 3000, 2, 32)
    encoder.encode_special_tokens = True
    vocabulary = vocabulary_of(encoder)
    return RealText(texts, encoder, vocabulary, MaskingTables.from_vocabulary(vocabulary))


@dataclass(frozen=True)
class Packed:
    """What the stages before the training made of real text."""

    rows: list[str]
    tables: str
    vocab_size: int
    row_tokens: int
    tokens: list[str | None]

    def spec(self, folder: Path, **changes: Any) -> TrainingSpec:
        """A training of 2 layers of width 64 on these rows; checkpoints go to the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        sizes = {"num_layers": 2, "width": 64, "num_heads": 2, "feedforward_width": 128}
        model = ModelConfig(self.vocab_size, max_row_tokens=self.row_tokens, **sizes)
        values: dict[str, Any] = {
            "steps": 50,
            "batch_rows": 16,
            "precision": "fp32",
            "optimizer": OptimizerRecipe(learning_rate=3e-3),
            "seed": 4,
            "device": "cpu",
            **changes,
        }
        return TrainingSpec(
            rows=self.rows, tables=self.tables, folder=str(folder), model=model, **values
        )


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """The tiny pipeline up to pack, with little text so that 50 steps see several epochs."""
    corpus = {"type": "docs", "name": "python", "packages": [], "max_bytes": 60_000}
    config = write_config(
        tmp_path_factory.mktemp("packed"), corpus=[corpus], tokenizer={"vocab_size": 700}
    )
    outcomes = run_all(load_config(str(config)), until="pack")
    pack, tokenizer = outcomes["pack"].artifact, outcomes["tokenizer"].artifact
    return Packed(
        [str(file.local()) for file in pack.files("train/")],
        str(tokenizer.file("masking_tables.npz").local()),
        int(tokenizer.summary["vocab_size"]),
        int(pack.summary["row_tokens"]),
        vocabulary_of(Tokenizer.from_file(str(tokenizer.file("tokenizer/tokenizer.json").local()))),
    )
