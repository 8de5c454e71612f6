"""The pack stage's ledger is counted from the files it wrote: what is lost does not balance."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_corpus import run_small, write_texts

from tasks.errors import StageError
from tasks.packing import shards
from tasks.packing.counts import Written, count_written
from tasks.packing.encoded import Encoded
from tasks.packing.layout import Piece, Rows, pack_documents, pack_stream
from tasks.packing.shards import write_rows
from tasks.stages import pack_rows

TEXTS = [f"Text {n} says {'again ' * (n % 40)}that {n * n} is a number, 世界." for n in range(60)]


@pytest.mark.parametrize("special_tokens", ["bos_eos", "none"])
@pytest.mark.parametrize("layout", ["full_sentences", "doc_sentences"])
def test_every_token_and_document_is_found_again(
    tmp_path: Path, layout: str, special_tokens: str
) -> None:
    """Documents that cross rows and shards count once; what came in is kept or told."""
    folder = write_texts(tmp_path / "texts", TEXTS)
    pack = {"row_tokens": 16, "format": layout, "shard_rows": 7, "special_tokens": special_tokens}
    outcomes = run_small(tmp_path / "store", folder, "pack", held_out=0.2, pack=pack)
    artifact = outcomes["pack"].artifact
    documents = artifact.ledger["documents"]
    assert documents.taken == len(TEXTS)
    assert documents.kept == len(TEXTS)
    assert not documents.dropped
    splits = [artifact.summary[split] for split in ("train", "held_out")]
    assert sum(split["documents"] for split in splits) == documents.kept
    assert sum(split["tokens"] for split in splits) == artifact.ledger["tokens"].kept
    assert (special_tokens == "none") == all(split["special_tokens"] == 0 for split in splits)


def halved(rows: Rows) -> Rows:
    """A fault: every second row is lost, and the rest looks sound."""
    kept = range(0, len(rows.lengths_R), 2)
    spans = [slice(rows.list_offsets[i], rows.list_offsets[i + 1]) for i in kept]
    return replace(
        rows,
        tokens_RT=rows.tokens_RT[::2],
        lengths_R=rows.lengths_R[::2],
        list_offsets=np.cumsum([0] + [s.stop - s.start for s in spans]).astype(np.int32),
        documents=np.concatenate([rows.documents[s] for s in spans]),
        starts=np.concatenate([rows.starts[s] for s in spans]),
    )


@pytest.mark.parametrize("layout", ["full_sentences", "doc_sentences"])
def test_rows_that_are_lost_on_the_way_do_not_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    """Half of every shard is dropped by a planted fault: the stage fails, nothing is handed on."""

    def faulty(make: Any) -> Any:
        return lambda *arguments: halved(make(*arguments))

    monkeypatch.setattr(pack_rows, "pack_stream", faulty(pack_stream))
    monkeypatch.setattr(pack_rows, "pack_documents", faulty(pack_documents))
    folder = write_texts(tmp_path / "texts", TEXTS)
    pack = {"row_tokens": 16, "format": layout}
    with pytest.raises(StageError, match=r"pack: the ledger does not balance: [\d,]+ \w+ came in"):
        run_small(tmp_path / "store", folder, "pack", pack=pack, engine={"workers": 1})


def test_a_document_counts_once_however_it_is_cut(tmp_path: Path) -> None:
    """Over rows and batches; one of which only </s> is left in a row is not there again."""
    rows = Rows(
        tokens_RT=np.array([[0, 9, 9, 2], [0, 9, 2, 9], [0, 2, 9, 1]], dtype=np.uint16),
        lengths_R=np.array([4, 4, 3], dtype=np.int32),
        list_offsets=np.array([0, 1, 3, 5], dtype=np.int32),
        documents=np.array([0, 1, 2, 2, 3], dtype=np.int64),
        starts=np.array([1, 1, 3, 1, 2], dtype=np.int32),
    )
    write_rows(tmp_path / "a.arrow", rows)
    assert count_written(tmp_path / "a.arrow", has_specials=True) == Written(3, 5, 6, 4)
    assert count_written(tmp_path / "a.arrow", has_specials=False) == Written(3, 11, 0, 4)


def test_a_document_that_goes_on_in_the_next_batch_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of one row each, one document over three of them."""
    monkeypatch.setattr(shards, "_BATCH_ROWS", 1)
    encoded = Encoded.of([[5] * 7, [6]])
    write_rows(tmp_path / "a.arrow", pack_stream([Piece(encoded, 0, 2)], 4, True, np.dtype("u2")))
    assert count_written(tmp_path / "a.arrow", has_specials=True) == Written(4, 8, 6, 2)
