"""A small pipeline over a folder of letters, to which files can be added."""

import json
from pathlib import Path
from typing import Any

import yaml
from tiny_pipeline import TINY, merged


def write_texts(path: Path, first: int, count: int) -> None:
    """A JSON Lines file of small documents that differ."""
    lines = [{"text": f"Letter {n}. {_body(n)}"} for n in range(first, first + count)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _body(number: int) -> str:
    return " ".join(f"word{number % 7}{k % 13} of page {number * k % 17}" for k in range(40))


def letters(folder: Path, **changes: Any) -> Path:
    """The config of a pipeline over `folder/texts`, written beside it."""
    (folder / "texts").mkdir(parents=True, exist_ok=True)
    if not list((folder / "texts").iterdir()):
        write_texts(folder / "texts" / "a.jsonl", 0, 120)
    values = {
        **TINY,
        "name": "letters",
        "store": str(folder / "store"),
        "corpus": [
            {"type": "files", "name": "letters", "paths": ["texts/*.jsonl"], "held_out": 0.1}
        ],
        "clean": {"dedup": {"near": None}},
    }
    path = folder / "letters.yaml"
    path.write_text(yaml.safe_dump(merged(values, changes), sort_keys=False))
    return path
