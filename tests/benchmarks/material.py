"""What the benchmarks work on: real text, taken through the project's own stages once.

The text is babylm_2024 where the real corpora lie beside the checkout (../shared/data), and the
docstrings of installed packages elsewhere. The store lies in the temporary folder and is reused
by later runs: the stages find their own artifacts again.
"""

import argparse
import getpass
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from roberta_model.config import ModelConfig
from roberta_model.data.masking import MaskingTables
from roberta_model.data.rows import PackedRows
from roberta_model.recipe import StartRecipe
from roberta_model.training.start import position_width
from roberta_model.training.token_vectors import token_vectors
from tasks.config import Config
from tasks.documents import read_documents
from tasks.engine.records import Artifact
from tasks.engine.runner import run_stage
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.stages import all_stages

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "data" / "corpus"
_QUICK_BYTES = 400_000
_DOCSTRING_BYTES = 12 << 20


@dataclass(frozen=True)
class Material:
    """A finished pipeline up to the packed rows."""

    config: Config
    store: Store
    artifacts: dict[str, Artifact]

    @property
    def rows(self) -> list[str]:
        """Paths of the packed training shards."""
        return [str(file.local()) for file in self.artifacts["pack"].files("train/")]

    @property
    def held_out(self) -> list[str]:
        """Paths of the packed held-out shards."""
        return [str(file.local()) for file in self.artifacts["pack"].files("held_out/")]

    @property
    def token_counts(self) -> Path:
        """How often each token is among the training rows."""
        return self.artifacts["pack"].file("token_counts.npy").local()

    @property
    def tables(self) -> Path:
        """The masking tables."""
        return self.artifacts["tokenizer"].file("masking_tables.npz").local()

    @property
    def tokenizer(self) -> Path:
        """The folder of the tokenizer's files."""
        return self.artifacts["tokenizer"].file("tokenizer/tokenizer.json").local().parent

    def local_start(self, model: ModelConfig, seed: int, folder: Path) -> StartRecipe:
        """The local start with its token vectors, which are counted now and put into a folder."""
        tables, counts = MaskingTables.load(self.tables), np.load(self.token_counts)
        is_special = np.isin(np.arange(tables.vocab_size), tables.special_ids)
        size = model.width - position_width(model)
        vectors = token_vectors(PackedRows(self.rows), counts, is_special, size, seed)
        np.save(folder / "vectors.npy", vectors)
        return StartRecipe("local", str(self.token_counts), str(folder / "vectors.npy"))

    def documents(self, stage: str, prefix: str) -> list[str]:
        """The texts of a stage's documents files, in order."""
        return [
            document.text
            for file in self.artifacts[stage].files(prefix, ".arrow")
            for document in read_documents(file.local())
        ]


def corpora(quick: bool) -> dict[str, dict[str, Any]]:
    """The sources to choose from, by name, the one of most benchmarks first."""
    if quick:
        source = {"type": "docs", "packages": [], "max_bytes": _QUICK_BYTES, "held_out": 0.05}
        return {"python": {**source, "name": "python"}}
    source = {"type": "docs", "max_bytes": _DOCSTRING_BYTES, "held_out": 0.02}
    docstrings = {"docstrings": {**source, "name": "docstrings"}}
    files = sorted(str(path) for path in CORPUS.glob("babylm_2024/*.jsonl.gz"))
    if not files:
        return docstrings
    return {"babylm_2024": {"type": "files", "name": "babylm_2024", "paths": files}, **docstrings}


def material(
    options: argparse.Namespace,
    row_tokens: int = 128,
    corpus: str | None = None,
    vocab_size: int = 16_384,
) -> Material:
    """Run the stages up to `pack`; what is in the store already is not done again."""
    sources = corpora(options.quick)
    default = Path(tempfile.gettempdir()) / f"roberta-benchmarks-{getpass.getuser()}"
    config = Config.model_validate(
        {
            "name": "benchmark",
            "store": str(options.material or default),
            "corpus": [sources[corpus or next(iter(sources))]],
            "tokenizer": {"vocab_size": 1200 if options.quick else vocab_size},
            "pack": {"row_tokens": row_tokens},
            "engine": {"workers": options.threads},
        }
    )
    store = open_store(config.store)
    made: dict[str, Artifact] = {}
    for stage in all_stages(config, "pack"):
        made[stage.name] = run_stage(stage, config, store, made).artifact
    return Material(config, store, made)
