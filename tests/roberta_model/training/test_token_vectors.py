"""Token vectors from counts: counted as a double loop counts, bounded, and worth something."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import byte_tables, write_random_rows

from roberta_model.data.masking import MaskingTables
from roberta_model.data.rows import PackedRows
from roberta_model.data.word_boundaries import SPECIAL_CODE
from roberta_model.training import token_vectors as module
from roberta_model.training.token_vectors import _contexts, _cooccurrences, token_vectors
from tasks.packing.counts import count_tokens


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    return tmp_path / "rows.arrow"


@pytest.fixture
def rows(shard: Path) -> PackedRows:
    return write_random_rows(shard, 40, 16, 60, shortest=3)


def test_neighbours_are_counted_as_a_double_loop_counts_them(rows: PackedRows) -> None:
    """Before and after, one step 1, two steps 1/2; special tokens and padding never count."""
    is_special = np.arange(60) < 4
    contexts = np.array([7, 9, 30, 41])
    place = {int(token): i for i, token in enumerate(contexts)}
    expected = np.zeros((60, 8), dtype=np.float32)
    for row in range(rows.num_rows):
        ids = rows.tokens(row)[0][: rows.lengths(row)[0]].tolist()
        for i, token in enumerate(ids):
            for distance, weight in ((1, 1.0), (2, 0.5)):
                for j, half in ((i - distance, 0), (i + distance, 4)):
                    if not 0 <= j < len(ids) or token < 4 or ids[j] < 4:
                        continue
                    if ids[j] in place:
                        expected[token, place[ids[j]] + half] += weight
    assert np.array_equal(_cooccurrences(rows, contexts, is_special), expected)


def test_contexts_are_the_commonest_ordinary_tokens() -> None:
    """Special tokens and tokens that never occur are none; among equals the smaller id."""
    counts = np.array([90, 5, 0, 7, 5, 9])
    is_special = np.array([True, False, False, False, False, False])
    assert _contexts(counts, is_special).tolist() == [5, 3, 1, 4]


def test_the_cost_is_bounded(
    rows: PackedRows, shard: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large the vocabulary and the corpus: fewer contexts, a sample of the rows."""
    is_special = np.arange(60) < 4
    counts = count_tokens([shard], 60)
    monkeypatch.setattr(module, "MAX_CELLS", 60 * 2 * 5)
    assert len(_contexts(counts, is_special)) == 5
    whole = _cooccurrences(rows, np.arange(4, 60), is_special)
    monkeypatch.setattr(module, "_CHUNK_TOKENS", 40)
    assert np.array_equal(_cooccurrences(rows, np.arange(4, 60), is_special), whole)
    monkeypatch.setattr(module, "MAX_TOKENS", 16 * 10)
    sampled = sum(rows.lengths(np.arange(0, 40, 4)))
    assert _cooccurrences(rows, np.arange(4, 60), is_special).sum() <= sampled * 3


def test_vectors_follow_from_rows_and_seed_and_have_unit_variance(
    rows: PackedRows, shard: Path
) -> None:
    """Twice the same bytes; a token without neighbours is zero; little text gives few columns."""
    counts = count_tokens([shard], 70)
    is_special = np.arange(70) < 4
    one, two = (token_vectors(rows, counts, is_special, 12) for _ in range(2))
    assert np.array_equal(one, two)
    assert one.dtype == np.float32
    assert one.shape == (70, 12)
    known = counts > 0
    known[:4] = False
    assert np.array_equal(one.any(axis=1), known)
    assert np.square(one[known]).mean(axis=1) == pytest.approx(1.0, rel=1e-4)
    assert token_vectors(rows, counts, is_special, 500).shape[1] < 70


def test_rows_without_an_ordinary_token_give_no_vectors(shard: Path, rows: PackedRows) -> None:
    """Nothing is known of any token then, which is no reason to fail."""
    everything = np.ones(60, dtype=np.bool_)
    assert token_vectors(rows, count_tokens([shard], 60), everything, 12).shape == (60, 0)


def test_words_of_a_kind_are_near_each_other(packed: Any) -> None:
    """Python's docstrings: the tokens nearest to ` a` and ` is` are such words as well."""
    rows = PackedRows(packed.rows)
    tables = MaskingTables.load(packed.tables)
    counts = count_tokens([Path(path) for path in packed.rows], packed.vocab_size)
    vectors = token_vectors(rows, counts, tables.codes == SPECIAL_CODE, 32)
    common = np.argsort(-counts)[:150]
    names = [packed.tokens[i] for i in common]
    near = vectors[common] @ vectors[common].T / 32
    np.fill_diagonal(near, -1)
    assert names[int(near[names.index("Ġa")].argmax())] in {"Ġthe", "Ġan", "ĠThe", "Ġany"}
    assert names[int(near[names.index("Ġis")].argmax())] in {
        "Ġare",
        "Ġwas",
        "Ġwill",
        "Ġmust",
        "Ġcan",
        "Ġhas",
    }


def test_the_tables_of_a_vocabulary_know_its_special_tokens() -> None:
    """What the stage passes on as special is what masking never chooses."""
    tables = byte_tables()
    assert tables.special_ids.tolist() == [0, 1, 2, 3, tables.mask_id]
