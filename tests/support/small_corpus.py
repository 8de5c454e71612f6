"""Small corpora written in tests, and real ones, taken through the first stages."""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tiny_pipeline import merged, run_all

from tasks.config import Config
from tasks.documents import Document, read_documents
from tasks.engine.records import Artifact
from tasks.engine.runner import Outcome

SMALL: dict[str, Any] = {
    "name": "small",
    "tokenizer": {"vocab_size": 300, "check": {"max_tokens_per_word": None}},
    "pack": {"row_tokens": 16},
    "engine": {"workers": 1},
}


def write_texts(folder: Path, texts: Iterable[str], name: str = "texts") -> Path:
    """One JSON Lines file of documents in a folder of its own; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"text": text}) + "\n" for text in texts)
    (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def small_config(store: Path, folder: Path, held_out: float = 0.0, **changes: Any) -> Config:
    """A config for the files of one folder."""
    source = {"type": "files", "name": "texts", "paths": str(folder), "held_out": held_out}
    values = merged({**SMALL, "store": str(store), "corpus": [source]}, changes)
    return Config.model_validate(values)


def run_small(
    store: Path, folder: Path, until: str, held_out: float = 0.0, **changes: Any
) -> dict[str, Outcome]:
    """The stages up to one, run on the files of one folder."""
    return run_all(small_config(store, folder, held_out, **changes), until)


def documents_of(artifact: Artifact, prefix: str) -> list[Document]:
    """All documents of an artifact's files below a prefix."""
    files = artifact.files(prefix, ".arrow")
    return [document for file in files for document in read_documents(file.local())]


def texts_of(artifact: Artifact, prefix: str) -> list[str]:
    """The texts of an artifact's documents files below a prefix."""
    return [document.text for document in documents_of(artifact, prefix)]


def times_of(artifact: Artifact) -> dict[str, Mapping[str, Any]]:
    """When each unit was computed, by its key: the same for a unit that was taken over."""
    return {unit.key: unit.provenance for unit in artifact.units}


def real_texts(shared_data: Path, *paths: str) -> Iterator[str]:
    """The texts of gzipped JSON Lines corpora, or the lines of gzipped text ones."""
    for path in paths:
        with gzip.open(shared_data / "corpus" / path, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)["text"] if ".jsonl" in path else line


def passages(texts: Iterable[str], num_words: int) -> Iterator[str]:
    """Texts cut into passages of so many words."""
    for text in texts:
        words = text.split()
        for start in range(0, len(words) - num_words + 1, num_words):
            yield " ".join(words[start : start + num_words])
