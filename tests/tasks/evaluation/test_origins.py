"""Held-out tokens by source: each token of a packed row is known to be of the source it is from."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from small_corpus import run_small, write_texts
from small_models import our_model, small_config
from tokenizers import Tokenizer

from roberta_model.data.rows import PackedRows
from roberta_model.huggingface import save_model
from tasks.artifacts import Downloaded, PackedText, TrainedTokenizer
from tasks.engine.outside import outside_file
from tasks.engine.runner import Outcome
from tasks.engine.units import StoredFile, UnitWork
from tasks.evaluation.device import Device
from tasks.evaluation.held_out import score_held_out
from tasks.evaluation.origins import NOBODY, Origins, origins_of, sources_of_rows
from tasks.packing.layout import Rows
from tasks.packing.shards import write_rows

WORDS = ("harbour", "ship", "storm", "letter", "captain", "voyage", "island")
SMALL = [" ".join(WORDS[n // 7**place % 7] for place in range(4)) for n in range(400)]
CAPITAL = [text.upper() for text in SMALL]


def packed_corpus(folder: Path, layout: str) -> dict[str, Outcome]:
    """Two sources of many small documents, packed into small shards."""
    corpus: list[dict[str, Any]] = [
        {"type": "files", "name": name, "held_out": 0.2, "paths": str(write_texts(place, texts))}
        for name, place, texts in (
            ("small", folder / "a", SMALL),
            ("capital", folder / "b", CAPITAL),
        )
    ]
    return run_small(
        folder / "store",
        folder,
        "pack",
        corpus=corpus,
        clean={"dedup": {"near": None}},
        pack={"format": layout, "shard_rows": 4},
    )


def test_parts_of_the_rows_add_up_to_the_whole(tmp_path: Path) -> None:
    """Row for row and source for source, whatever part of them a unit scores."""
    made = packed_corpus(tmp_path, "full_sentences")
    packed = PackedText(made["pack"].artifact)
    files = {"tokenizer.json": made["tokenizer"].artifact.file("tokenizer/tokenizer.json")}
    vocabulary = Tokenizer.from_file(str(files["tokenizer.json"].local())).get_vocab_size()
    config = small_config(vocabulary, max_row_tokens=int(packed.row_tokens))
    save_model(our_model(config), tmp_path / "model")
    files |= {path.name: outside_file(path) for path in (tmp_path / "model").iterdir()}

    def scored(part: tuple[int, int]) -> tuple[int, dict[str, Any]]:
        work = UnitWork(f"held_out/{part[0]}-{part[1]}", tmp_path / f"{part[0]}-{part[1]}")
        report = score_held_out(
            work,
            model=files,
            rows=packed.shards("held_out"),
            tables=TrainedTokenizer(made["tokenizer"].artifact).masking_tables,
            counts=packed.token_counts,
            origins=origins_of(packed, Downloaded(made["download"].artifact), "held_out"),
            device=Device("cpu"),
            max_rows=100,
            part=part,
            draw=0,
        )
        return report.summary["rows"], json.loads(work.path(".json").read_text())

    num_rows, whole = scored((0, 1))
    parts = [scored((number, 3)) for number in range(3)]
    assert num_rows == sum(count for count, _ in parts)
    for measure, values in whole["rows"].items():
        assert len(values) == num_rows
        joined = [value for _, part in parts for value in part["rows"][measure]]
        assert joined == pytest.approx(values, rel=1e-5)
        summed = np.sum([part["source"][measure] for _, part in parts], axis=0)
        assert summed == pytest.approx(whole["source"][measure], rel=1e-5)
    assert min(whole["source"]["tokens"]) > 0


@pytest.mark.parametrize("layout", ["full_sentences", "doc_sentences"])
def test_every_held_out_token_has_the_source_it_was_written_in(layout: str, tmp_path: Path) -> None:
    """Small letters alone in one source, capitals in the other, many documents to a row."""
    made = packed_corpus(tmp_path, layout)
    packed = PackedText(made["pack"].artifact)
    origins = origins_of(packed, Downloaded(made["download"].artifact), "held_out")
    rows = PackedRows([file.local() for file in packed.shards("held_out")])
    assert len(packed.shards("held_out")) > 1
    numbers = np.arange(rows.num_rows)[::-1].copy()
    sources_RT = sources_of_rows(rows, numbers, origins)
    tokenizer = Tokenizer.from_file(
        str(made["tokenizer"].artifact.file("tokenizer/tokenizer.json").local())
    )
    met = [0, 0]
    for ids_T, sources_T in zip(rows.tokens(numbers).tolist(), sources_RT.tolist(), strict=True):
        for number, source in zip(ids_T, sources_T, strict=True):
            text = tokenizer.decode([number]).strip()
            if text.isalpha():
                assert source == int(text.isupper()), text
                met[source] += 1
    assert min(met) > 50


def table(path: Path, **columns: list[str]) -> StoredFile:
    """An Arrow file of text columns."""
    found = pa.table(columns)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, found.schema) as writer:
        writer.write_table(found)
    return outside_file(path)


def test_of_files_with_the_same_documents_the_firsts_source_counts(tmp_path: Path) -> None:
    """They cannot be told apart by their digest."""
    names = table(tmp_path / "names", digest=["d1", "d2", "d1", "d3"], name=["b", "a", "a", "c"])
    packed: Any = SimpleNamespace(file_names=names, document_tables=lambda split: [split])
    files = [SimpleNamespace(name=name, source=n) for n, name in enumerate("abc")]
    downloaded: Any = SimpleNamespace(files=files, sources=["x", "y", "z"])
    found = origins_of(packed, downloaded, "held_out")
    assert found == Origins(["held_out"], {"d1": 1, "d2": 0, "d3": 2}, 3)  # type: ignore[list-item]


def test_a_token_is_of_the_last_document_that_began_before_it(tmp_path: Path) -> None:
    """In its own shard's table; before a row's first document it is of nobody."""
    shards = []
    for number, (numbers, starts) in enumerate((([0, 1], [0, 3]), ([0, 1], [2, 4]))):
        path = tmp_path / f"{number}.arrow"
        tokens = np.full((1, 6), 9, dtype=np.uint16)
        places = np.array([0, 2], dtype=np.int32)
        length = np.array([6], dtype=np.int32)
        begins = np.array(starts, dtype=np.int32)
        write_rows(path, Rows(tokens, length, places, np.array(numbers, dtype=np.int64), begins))
        shards.append(path)
    tables = [
        table(tmp_path / "t0", file=["one", "two"]),
        table(tmp_path / "t1", file=["two", "three"]),
    ]
    origins = Origins(tables, {"one": 4, "two": 5, "three": 6}, 7)
    found = sources_of_rows(PackedRows(shards), np.array([1, 0]), origins)
    assert found.tolist() == [[NOBODY, NOBODY, 5, 5, 6, 6], [4, 4, 4, 5, 5, 5]]
