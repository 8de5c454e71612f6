"""What stages hand on: each file and figure is the one its name says, and no other."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hand_made import hand_made, output

from tasks.artifacts import (
    CleanText,
    Downloaded,
    PackedText,
    TrainedModel,
    TrainedTokenizer,
    model_folder_files,
)
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.units import StoredFile
from tasks.errors import StageError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def digests(files: list[StoredFile]) -> list[str]:
    return [file.sha256 for file in files]


def test_sources_and_their_files_come_in_the_configs_order(store: Store) -> None:
    sources = [
        {"name": name, "type": "files", "documents": 1, "bytes": 2, "files": files}
        for name, files in (("b", ["z.arrow", "a.arrow"]), ("a", ["m.arrow"]))
    ]
    outputs = [output(path) for path in ("a.arrow", "m.arrow", "z.arrow")]
    made = Downloaded(
        hand_made(store, "download", "d", outputs=outputs, summary={"sources": sources})
    )
    assert [source.name for source in made.sources] == ["b", "a"]
    assert [(file.source, file.stored.sha256) for file in made.files] == [
        (0, "of z.arrow"),
        (0, "of a.arrow"),
        (1, "of m.arrow"),
    ]


def test_clean_text_is_told_apart_by_its_split_and_rejects_are_no_output(store: Store) -> None:
    unit = {
        "key": "k", "label": "rejects/a", "function": "f", "output": False, "ledger": {},
        "summary": {}, "provenance": {},
        "files": {".jsonl": {"bytes": 5, "sha256": "reject", "rows": 2}},
    }  # fmt: skip
    other = {**unit, "label": "train/a", "output": True}
    made = CleanText(
        hand_made(
            store,
            "clean",
            "c",
            outputs=[output("held_out/a.arrow"), output("train/a.arrow"), output("trained")],
            units=[other, unit],
            summary={"train": {"bytes": 7}, "held_out": {"bytes": 9}},
        )
    )
    assert digests(made.files("train")) == ["of train/a.arrow"]
    assert digests(made.files("held_out")) == ["of held_out/a.arrow"]
    assert made.num_train_bytes == 7
    url = store.url("2-clean/c/rejects/a.jsonl")
    assert made.rejects == [StoredFile(url, "reject", 5, 2)]


def test_a_tokenizer_hands_on_its_folder_and_its_tables(store: Store) -> None:
    paths = ["masking_tables.npz", "tokenizer/tokenizer.json", "tokenizer/vocab.json"]
    made = TrainedTokenizer(
        hand_made(
            store, "tokenizer", "t", outputs=list(map(output, paths)), summary={"vocab_size": 300}
        )
    )
    assert made.file.sha256 == "of tokenizer/tokenizer.json"
    assert digests(made.files) == [f"of {path}" for path in paths[1:]]
    assert made.masking_tables.sha256 == "of masking_tables.npz"
    assert made.vocab_size == 300


def test_rows_are_those_of_a_splits_shards_and_not_of_its_documents(store: Store) -> None:
    outputs = [
        output("documents/train/00000.arrow", rows=100),
        output("documents/held_out/00000.arrow", rows=100),
        output("files.arrow", rows=100),
        output("held_out/00000.arrow", rows=3),
        output("token_counts.npy"),
        output("train/00000.arrow", rows=40),
        output("train/00001.arrow", rows=2),
        output("train/note.txt", rows=None),
    ]
    made = PackedText(hand_made(store, "pack", "p", outputs=outputs, summary={"row_tokens": 16}))
    assert (made.num_rows("train"), made.num_rows("held_out")) == (42, 3)
    assert digests(made.shards("held_out")) == ["of held_out/00000.arrow"]
    assert digests(made.document_tables("train")) == ["of documents/train/00000.arrow"]
    assert made.file_names.sha256 == "of files.arrow"
    assert made.token_counts.sha256 == "of token_counts.npy"
    assert made.row_tokens == 16


def test_a_model_folder_is_the_weights_with_the_tokenizer(store: Store) -> None:
    paths = ["losses.jsonl", "model/config.json", "model/model.safetensors"]
    trained = hand_made(store, "pretrain", "m", outputs=list(map(output, paths)))
    words = ["masking_tables.npz", "tokenizer/tokenizer.json"]
    tokenizer = hand_made(store, "tokenizer", "t", outputs=list(map(output, words)))
    assert digests(TrainedModel(trained).files) == [f"of {path}" for path in paths[1:]]
    assert TrainedModel(trained).losses.sha256 == "of losses.jsonl"
    given = {"pretrain": trained, "tokenizer": tokenizer}
    context: Any = SimpleNamespace(input=given.__getitem__)
    assert {name: file.sha256 for name, file in model_folder_files(context).items()} == {
        "config.json": "of model/config.json",
        "model.safetensors": "of model/model.safetensors",
        "tokenizer.json": "of tokenizer/tokenizer.json",
    }
    with pytest.raises(StageError, match=r"there is no output 'losses\.jsonl'"):
        TrainedModel(tokenizer).losses  # noqa: B018
