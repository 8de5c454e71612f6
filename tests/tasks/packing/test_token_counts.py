"""The pack stage's token counts: what the training rows hold, and nothing else."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from small_corpus import run_small, write_texts

from roberta_model.data.rows import PackedRows
from tasks.packing import counts
from tasks.packing.counts import count_tokens
from tasks.packing.layout import Rows
from tasks.packing.shards import write_rows

TEXTS = [f"Text {n} says {'again ' * (n % 7)}that {n * n} is a number, 世界." for n in range(60)]


@pytest.mark.parametrize("layout", ["full_sentences", "doc_sentences"])
def test_the_counts_are_those_of_the_written_training_rows(tmp_path: Path, layout: str) -> None:
    """Token by token over every shard; neither padding nor what is held out counts."""
    folder = write_texts(tmp_path / "texts", TEXTS)
    pack = {"row_tokens": 16, "format": layout, "shard_rows": 20}
    outcomes = run_small(tmp_path / "store", folder, "pack", held_out=0.2, pack=pack)
    artifact = outcomes["pack"].artifact
    found = np.load(artifact.file("token_counts.npy").local())
    expected: Counter[int] = Counter()
    shards = artifact.files("train/")
    for shard in shards:
        rows = PackedRows([shard.local()])
        for number in range(rows.num_rows):
            length = int(rows.lengths([number])[0])
            expected.update(rows.tokens([number])[0, :length].tolist())

    assert len(shards) > 1
    assert len(artifact.files("held_out/")) > 0
    assert found.dtype == np.int64
    assert found.shape == (outcomes["tokenizer"].artifact.summary["vocab_size"],)
    assert dict(expected) == {int(i): int(found[i]) for i in np.flatnonzero(found)}
    assert found[1] == 0  # <pad>
    if layout == "full_sentences":
        summary = artifact.summary["train"]
        assert found.sum() == summary["tokens"] + summary["special_tokens"]


def test_rows_read_in_portions_count_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A corpus larger than memory is counted piece by piece, short rows up to their length."""
    tokens_RT = np.random.default_rng(1).integers(0, 50, (23, 8)).astype(np.uint16)
    lengths_R = np.random.default_rng(2).integers(0, 9, 23).astype(np.int32)
    documents, starts = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32)
    offsets = np.zeros(24, dtype=np.int32)
    write_rows(tmp_path / "rows.arrow", Rows(tokens_RT, lengths_R, offsets, documents, starts))
    real = np.concatenate([row[:n] for row, n in zip(tokens_RT, lengths_R, strict=True)])
    expected = [int((real == token).sum()) for token in range(60)]

    assert count_tokens([tmp_path / "rows.arrow"], 60).tolist() == expected
    monkeypatch.setattr(counts, "_TOKENS_AT_ONCE", 40)
    assert count_tokens([tmp_path / "rows.arrow"], 60).tolist() == expected
