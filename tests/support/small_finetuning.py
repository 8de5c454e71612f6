"""Small data that a small model can learn, and fine-tunings of a few seconds."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tasks.config import EngineConfig, LaunchConfig
from tasks.config.downstream import FineTuningConfig
from tasks.stages.finetune_model import AloneConfig

GOOD = ("fine", "bright", "warm", "kind")
BAD = ("dull", "cold", "rude", "grim")
THINGS = ("film", "house", "song", "garden", "letter", "answer")
ONE_PROCESS = EngineConfig(launch=LaunchConfig(threads=1, device="cpu"))


def sentences(count: int, seed: int) -> list[tuple[str, str]]:
    """(sentence, good or bad), drawn."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        label, words = ("good", GOOD) if rng.random() < 0.5 else ("bad", BAD)
        rows.append((f"the {rng.choice(THINGS)} was {rng.choice(words)} today", label))
    return rows


def write_jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def alone_config(model: Path, **settings: Any) -> AloneConfig:
    """A fine-tuning in one process, a few epochs long."""
    usual = {"learning_rates": (1e-2,), "batch_sizes": (16,), "epochs": 3, "dropout": 0.0}
    wanted = FineTuningConfig.model_validate({**usual, **settings})
    return AloneConfig(model=str(model), settings=wanted, engine=ONE_PROCESS)
