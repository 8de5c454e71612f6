"""Held-out tokens by source: each token of a packed row is known to be of the source it is from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_corpus import run_small, write_texts
from tokenizers import Tokenizer

from roberta_model.data.rows import PackedRows
from tasks.artifacts import Downloaded, PackedText
from tasks.evaluation.origins import origins_of, sources_of_rows

WORDS = ("harbour", "ship", "storm", "letter", "captain", "voyage", "island")
SMALL = [" ".join(WORDS[n // 7**place % 7] for place in range(4)) for n in range(400)]
CAPITAL = [text.upper() for text in SMALL]


@pytest.mark.parametrize("layout", ["full_sentences", "doc_sentences"])
def test_every_held_out_token_has_the_source_it_was_written_in(layout: str, tmp_path: Path) -> None:
    """Small letters alone in one source, capitals in the other, many documents to a row."""
    corpus: list[dict[str, Any]] = [
        {"type": "files", "name": name, "held_out": 0.2, "paths": str(write_texts(folder, texts))}
        for name, folder, texts in (
            ("small", tmp_path / "a", SMALL),
            ("capital", tmp_path / "b", CAPITAL),
        )
    ]
    made = run_small(
        tmp_path / "store",
        tmp_path,
        "pack",
        corpus=corpus,
        clean={"dedup": {"near": None}},
        pack={"format": layout, "shard_rows": 4},
    )
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
