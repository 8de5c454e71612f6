"""What a held-out score hides, against a plain loop over stock's logits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_models import byte_tables, our_model, small_config, stock_twin, write_random_rows

from roberta_model.data.batches import masked_batch
from roberta_model.data.masking import Masking
from roberta_model.data.rows import PackedRows
from roberta_model.held_out_detail import (
    FREQUENCY_NAMES,
    POSITION_NAMES,
    Answers,
    HeldOutDetail,
    bytes_of_tokens,
)
from roberta_model.recipe import MaskingRecipe
from roberta_model.scoring import masked_loss, part_of

TABLES = byte_tables()
CONFIG = small_config(TABLES.vocab_size)
ROW_TOKENS = 24
COUNTS = np.random.default_rng(3).choice([0, 1, 9, 10, 99, 5000, 10_000], TABLES.vocab_size)
BYTES = np.arange(TABLES.vocab_size) % 7 + 1
SOURCES = np.random.default_rng(5).integers(0, 3, (60, ROW_TOKENS)).astype(np.int32)
EDGES = {"0": 0, "1 to 9": 9, "10 to 99": 99, "100 to 999": 999, "1,000 to 9,999": 9999}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> PackedRows:
    """Sixty held-out rows of 3 to 24 tokens."""
    path = tmp_path_factory.mktemp("rows") / "rows.arrow"
    return write_random_rows(path, 60, ROW_TOKENS, TABLES.vocab_size, shortest=3)


@torch.inference_mode()
def by_a_plain_loop(rows: PackedRows, numbers: list[int], draw: int, folder: Path) -> list[Any]:
    """(row, frequency, position, loss, right, bytes, bin, confidence, source) of hidden tokens."""
    stock = stock_twin(our_model(CONFIG), folder)
    chosen = np.array(numbers)
    masking = Masking(TABLES, MaskingRecipe(), 0, "held-out")
    batch = masked_batch(rows, chosen, np.full_like(chosen, draw), masking)
    assert batch.lengths_B is not None
    mask_BT = torch.arange(batch.input_ids_BT.shape[1]) < batch.lengths_B[:, None]
    logits_BTV = stock(input_ids=batch.input_ids_BT, attention_mask=mask_BT.long()).logits
    original, found = rows.tokens(chosen), []
    for position in batch.positions_M.tolist():
        row, column = divmod(position, batch.input_ids_BT.shape[1])
        if int(batch.input_ids_BT[row, column]) != TABLES.mask_id:
            continue
        target = int(original[row, column])
        scores = logits_BTV[row, column].double()
        count = COUNTS[target]
        band = next((name for name, most in EDGES.items() if count <= most), "10,000 and more")
        quarter = POSITION_NAMES[int(column / ROW_TOKENS * 4)]
        loss = -scores.log_softmax(dim=0)[target].item()
        sure = scores.softmax(dim=0).max().item()
        is_right = scores.argmax().item() == target
        source = SOURCES[numbers[row], column]
        answer = loss, is_right, BYTES[target], int(sure * 10), sure
        found.append((row, band, quarter, *answer, source))
    return found


@pytest.mark.parametrize(("part", "draw"), [((0, 1), 0), ((1, 3), 0), ((0, 2), 5)])
def test_rows_and_bands_sum_up_the_hidden_positions(
    part: tuple[int, int], draw: int, rows: PackedRows, tmp_path: Path
) -> None:
    """By row, frequency in training, quarter of the row and source; in small batches too."""
    span = part_of(rows.num_rows, part)
    detail = HeldOutDetail(span.stop - span.start, ROW_TOKENS, COUNTS, BYTES)
    detail.tell_sources(SOURCES[span], 4)
    score = masked_loss(
        our_model(CONFIG), rows, TABLES, part=part, draw=draw, detail=detail, batch_tokens=200
    )
    expected = by_a_plain_loop(rows, list(range(span.start, span.stop)), draw, tmp_path)
    assert detail.rows[0].sum() == score.model.mask.num_masked == len(expected) > 20
    assert detail.rows[2].sum() == score.model.mask.num_correct
    for sums, names, place in (
        (detail.rows, list(range(detail.num_rows)), 0),
        (detail.frequency, list(FREQUENCY_NAMES), 1),
        (detail.position, list(POSITION_NAMES), 2),
        (detail.source, [0, 1, 2, 3], 8),
    ):
        for number, name in enumerate(names):
            its = [each for each in expected if each[place] == name]
            tokens, loss, right, size = sums[:, number].tolist()
            assert (tokens, right) == (len(its), sum(each[4] for each in its)), name
            assert size == sum(each[5] for each in its)
            assert loss == pytest.approx(sum(each[3] for each in its), rel=1e-5)
    for number in range(10):
        its = [each for each in expected if each[6] == number]
        figures = [len(its), sum(each[7] for each in its), sum(each[4] for each in its)]
        assert detail.calibration[:, number].tolist() == pytest.approx(figures, rel=1e-5)
    assert sum(detail.frequency[0] > 0) > 3
    assert sum(detail.position[0] > 0) == 4
    assert (detail.source[0] > 0).tolist() == [True, True, True, False]


def test_a_sure_answer_is_in_the_last_bin() -> None:
    """A probability of one, which a float may round up to, has no bin of its own."""
    detail = HeldOutDetail(1, 4, np.array([1]), np.array([1]))
    one = np.zeros(3, dtype=np.int64)
    hidden, right = np.array([True, True, False]), np.array([True, False, True])
    detail.add(Answers(one, one, one, hidden, np.full(3, 0.5), right, np.array([1.0, 0.39, 0.9])))
    assert detail.calibration.T.tolist() == [
        *[[0, 0, 0]] * 3, [1, 0.39, 0], *[[0, 0, 0]] * 5, [1, 1.0, 1],
    ]  # fmt: skip


def test_other_draws_ask_other_questions_and_the_frozen_one_stays(rows: PackedRows) -> None:
    """Draw 0 is what a score without the word is; each further draw hides other tokens."""
    model = our_model(CONFIG)
    frozen = masked_loss(model, rows, TABLES)
    assert masked_loss(model, rows, TABLES, draw=0) == frozen
    others = [masked_loss(model, rows, TABLES, draw=draw) for draw in (1, 2)]
    assert frozen != others[0] != others[1] != frozen


def test_a_token_stands_for_as_many_bytes_as_it_has_letters() -> None:
    """Byte-level BPE writes a byte as a character, whichever byte it is."""
    assert bytes_of_tokens({"a": 1, "Ġthe": 0, "Ã¤": 3}, 4).tolist() == [4, 1, 0, 2]


def test_a_tokens_band_begins_at_a_power_of_ten() -> None:
    """Nine is one of nine, ten the first of ten to ninety-nine."""
    counts = [0, 1, 9, 10, 99, 100, 999, 1000, 9999, 10_000]
    detail = HeldOutDetail(1, 10, np.array(counts), np.ones(10, dtype=np.int64))
    every, nothing = np.arange(10), np.zeros(10, dtype=np.int64)
    yes = np.ones(10, dtype=bool)
    detail.add(Answers(nothing, every, every, yes, np.ones(10), yes, np.full(10, 0.5)))
    assert detail.frequency[0].tolist() == [1, 2, 2, 2, 2, 1]
    assert detail.position[0].tolist() == [3, 2, 3, 2]  # tenths: 0 to 2, 3 and 4, 5 to 7, 8 and 9


def test_only_positions_that_show_a_mask_are_counted() -> None:
    """And nothing but those of the batches that were added, each once."""
    detail = HeldOutDetail(3, 4, np.array([5, 5]), np.array([2, 7]))
    sources = np.array([[0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]], dtype=np.int32)
    detail.tell_sources(sources, 3)
    rows, columns = np.array([0, 0, 2, 1]), np.array([1, 3, 0, 0])
    targets, hidden = np.array([0, 1, 1, 0]), np.array([True, True, True, False])
    losses, right = np.array([0.5, 1.0, 2.0, 9.0]), np.array([True, False, True, True])
    sure = np.array([0.25, 0.05, 0.95, 0.5])
    detail.add(Answers(rows, columns, targets, hidden, losses, right, sure))
    told = detail.to_json()
    assert told["rows"] == {
        **{"tokens": [2, 0, 1], "loss": [1.5, 0, 2.0], "right": [1, 0, 1], "bytes": [9, 0, 7]}
    }
    assert told["source"] == {
        **{"tokens": [2, 1, 0], "loss": [2.5, 1.0, 0], "right": [2, 0, 0], "bytes": [9, 7, 0]}
    }
    assert told["calibration"]["tokens"] == [1, 0, 1, *[0] * 6, 1]
    assert told["calibration"]["confidence"] == [0.05, 0, 0.25, *[0] * 6, 0.95]
    assert told["calibration"]["right"] == [0, 0, 1, *[0] * 6, 1]
    detail.add(Answers(rows, columns, targets, hidden, losses, right, sure))
    assert detail.rows[1].tolist() == [3.0, 0, 4.0]
