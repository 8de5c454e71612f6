"""A whole pipeline in seconds: real text (Python's own docstrings), a real tiny model.

`python tiny_pipeline.py CONFIG` runs every stage of a config without Prefect and prints the
output digests; tests kill it at random.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tasks.config import Config
from tasks.config.load import load_config
from tasks.engine.records import Artifact
from tasks.engine.runner import Outcome, run_stage
from tasks.engine.stores import open_store
from tasks.stages import all_stages

TINY: dict[str, Any] = {
    "name": "tiny",
    "corpus": [
        {"type": "docs", "name": "python", "packages": [], "max_bytes": 400_000, "held_out": 0.05}
    ],
    "tokenizer": {"vocab_size": 1200},
    "pack": {"row_tokens": 64},
    "model": {"num_layers": 2, "width": 64, "num_heads": 2, "feedforward_width": 128},
    "pretrain": {
        "batch_rows": 16,
        "steps": 14,
        "precision": "fp32",
        "checkpoint_steps": 4,
        "optimizer": {"learning_rate": 3.0e-3},
    },
    "evaluate": {"held_out": {"max_rows": 32}, "examples": ["Return the <mask> of the list."]},
    "engine": {"workers": 2, "launch": {"threads": 1}},
}


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A nested mapping with some leaves replaced."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = merged(old, value)
        result[key] = value
    return result


def write_config(folder: Path, **changes: Any) -> Path:
    """A config file for the tiny pipeline whose store lies beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    values = merged({**TINY, "store": str(folder / "store")}, changes)
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def run_all(config: Config, until: str | None = None) -> dict[str, Outcome]:
    """Every stage in order, without Prefect."""
    store = open_store(config.store)
    made: dict[str, Artifact] = {}
    outcomes = {}
    for stage in all_stages(config, until):
        outcomes[stage.name] = run_stage(stage, config, store, made)
        made[stage.name] = outcomes[stage.name].artifact
    return outcomes


def run_record(config: Config, outcomes: Mapping[str, Outcome], run: str = "r") -> dict[str, Any]:
    """The record that a flow run would have saved of these stages."""
    return {
        "run": run,
        "name": config.name,
        "started": "2026",
        "state": "done",
        "stages": [{"name": name, "key": made.artifact.key} for name, made in outcomes.items()],
        "config": config.model_dump(mode="json", by_alias=True),
    }


def digests(outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """What must not depend on history: keys, output digests, ledgers and summaries.

    The report tells times and hosts and the card how long it took, so of `publish` the other files.
    """
    told: dict[str, dict[str, Any]] = {
        name: {
            "key": outcome.artifact.key,
            "outputs": {path: file.sha256 for path, file in outcome.artifact.outputs},
            "ledger": outcome.artifact.ledger.to_json(),
            "summary": outcome.artifact.summary,
        }
        for name, outcome in outcomes.items()
    }
    if "publish" in told:
        for path in ("report.html", "model/README.md"):
            told["publish"]["outputs"].pop(path)
    return told


if __name__ == "__main__":
    print(json.dumps(digests(run_all(load_config(sys.argv[1])))))


def bytes_on_disk(folder: Path, but: str = "") -> int:
    """The sizes of an artifact's files; in `.lasting` are second names of some of them.

    A training that is at work renames what it writes there: what is left out is not walked.
    """
    size = 0
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != but]
        files = [Path(place, name) for name in names]
        size += sum(path.stat().st_size for path in files if not path.is_symlink())
    return size
