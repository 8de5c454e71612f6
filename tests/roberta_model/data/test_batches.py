"""Batches of packed rows: how much is hidden, step by step, however a step is cut."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import PAD, byte_tables

from roberta_model.data.batches import MaskedBatch, MaskedBatches, masked_batch, prepared
from roberta_model.data.masking import Masking, MaskingTables
from roberta_model.data.ordering import SampleOrder
from roberta_model.data.rows import PackedRows
from roberta_model.recipe import MaskingRecipe
from tasks.packing.layout import Rows
from tasks.packing.shards import write_rows

STEPS, ROWS = 11, 16


def batches_of(packed: Any, **recipe: Any) -> MaskedBatches:
    rows, tables = PackedRows(packed.rows), MaskingTables.load(packed.tables)
    order = SampleOrder(0, rows.num_rows, ROWS)
    return MaskedBatches(rows, order, Masking(tables, MaskingRecipe(**recipe), 0), STEPS)


def test_the_share_that_is_hidden_moves_from_step_to_step(packed: Any) -> None:
    """From the first rate to the last on a straight line, whichever part of a step is asked for."""
    batches = batches_of(packed, rate=0.4, rate_end=0.1)

    def share(step: int, start: int, stop: int) -> float:
        _, numbers = batches.order.rows_of(step, start, stop)
        # All but <s> and </s> can be hidden; on so few tokens that is a matter of a hundredth.
        return batches.batch(step, start, stop).num_masked / int(
            batches.rows.lengths(numbers).sum()
        )

    for step in (0, 5, 10):
        expected = 0.4 - 0.03 * step
        for start in (0, 8):
            assert abs(share(step, start, start + 8) - expected) < 0.04


def test_the_parts_of_a_step_are_the_whole_of_it(packed: Any) -> None:
    """The same tokens are hidden whether one process asks or four do."""
    batches = batches_of(packed, rate=0.3, rate_end=0.2)
    for step in (0, 7):
        whole = batches.batch(step, 0, ROWS).targets_M.numpy()
        parts = [batches.batch(step, at, at + 4).targets_M.numpy() for at in range(0, ROWS, 4)]
        assert np.concatenate(parts).tolist() == whole.tolist()


def short_rows(folder: Path, lengths: list[int], row_tokens: int = 24) -> PackedRows:
    """Rows of <s> and the id 9, up to these lengths."""
    lengths_R = np.array(lengths, dtype=np.int32)
    is_real_RT = np.arange(row_tokens) < lengths_R[:, None]
    tokens_RT = np.where(is_real_RT, 9, PAD).astype(np.uint16)
    tokens_RT[:, 0] = 0
    num = len(lengths)
    offsets = np.arange(num + 1, dtype=np.int32)
    nothing = np.zeros(num, dtype=np.int64)
    write_rows(
        folder / "r.arrow", Rows(tokens_RT, lengths_R, offsets, nothing, nothing.astype(np.int32))
    )
    return PackedRows([folder / "r.arrow"])


def batch_of(rows: PackedRows, rate: float | None = None) -> MaskedBatch:
    numbers = np.arange(rows.num_rows)
    masking = Masking(byte_tables(), MaskingRecipe(), 0)
    return masked_batch(rows, numbers, numbers * 0, masking, rate)


@pytest.mark.parametrize(
    ("lengths", "width"),
    [([3, 8], 8), ([3, 9], 16), ([1, 1], 8), ([24, 5], 24), ([24, 24], 24), ([17, 2], 24)],
)
def test_columns_that_are_padding_in_every_row_are_dropped(
    lengths: list[int], width: int, tmp_path: Path
) -> None:
    """To a multiple of eight; lengths are told unless all rows are full."""
    batch = batch_of(short_rows(tmp_path, lengths))
    assert batch.input_ids_BT.shape == (2, width)
    if lengths == [24, 24]:
        assert batch.lengths_B is None
    else:
        assert batch.lengths_B is not None
        assert batch.lengths_B.tolist() == lengths


def test_no_row_is_wider_than_the_rows_of_the_file(tmp_path: Path) -> None:
    """Also where its length is no multiple of eight."""
    assert batch_of(short_rows(tmp_path, [9, 10], 10)).input_ids_BT.shape == (2, 10)


def test_the_most_chosen_of_a_row_are_counted_by_row(tmp_path: Path) -> None:
    """All that can be: 7 of the first row and 10 of the second, whatever the width."""
    batch = batch_of(short_rows(tmp_path, [8, 11]), rate=1.0)
    assert batch.num_masked == 17
    assert batch.most_in_row == 10
    assert batch.targets_M.tolist() == [9] * 17
    assert batch.positions_M.tolist() == [*range(1, 8), *range(17, 27)]
    assert batch.lengths_B is not None
    assert batch.to("cpu").lengths_B is not None
    nothing = batch_of(short_rows(tmp_path, [1, 1]))
    assert (nothing.num_masked, nothing.most_in_row) == (0, 1)


def test_an_order_of_other_rows_is_refused(tmp_path: Path) -> None:
    rows = short_rows(tmp_path, [5, 6, 7])
    masking = Masking(byte_tables(), MaskingRecipe(), 0)
    with pytest.raises(ValueError, match="order is of 4 rows, the packed data has 3"):
        MaskedBatches(rows, SampleOrder(0, 4, 2), masking, 10)


def test_batches_that_are_prepared_ahead_come_in_order_and_are_the_same(tmp_path: Path) -> None:
    rows = short_rows(tmp_path, [5, 6, 7, 24, 20])
    masking = Masking(byte_tables(), MaskingRecipe(), 0)
    batches = MaskedBatches(rows, SampleOrder(3, 5, 4), masking, 10)
    spans = [(step, start, start + 2) for step in range(5) for start in (0, 2)]
    prepared_ones = list(batches.iterate(spans, ahead=2))
    assert len(prepared_ones) == len(spans)
    for span, found in zip(spans, prepared_ones, strict=True):
        assert found.input_ids_BT.tolist() == batches.batch(*span).input_ids_BT.tolist()


def test_a_part_of_a_step_is_its_own_samples_and_no_more(tmp_path: Path) -> None:
    rows = short_rows(tmp_path, [24] * 9)
    batches = MaskedBatches(
        rows, SampleOrder(3, 9, 4), Masking(byte_tables(), MaskingRecipe(), 0), 10
    )
    whole, part = batches.batch(5).input_ids_BT, batches.batch(5, 1, 3).input_ids_BT
    assert part.tolist() == whole[1:3].tolist()
    assert len(whole) == 4


def test_an_error_comes_at_its_turn_and_ends_the_thread() -> None:
    """What was made before it is handed out; nothing after it is made."""
    made: list[int] = []

    def make(number: int) -> int:
        made.append(number)
        if number == 2:
            raise OSError("the disk is gone")
        return 10 * number

    found: list[int] = []
    ready = prepared(make, ((number,) for number in range(9)), ahead=1)
    with pytest.raises(OSError, match="the disk is gone"):
        found.extend(ready)
    assert found == [0, 10]
    assert made == [0, 1, 2]
    assert "batches" not in {thread.name for thread in threading.enumerate()}


def test_a_reader_that_leaves_early_ends_the_thread() -> None:
    ready = prepared(lambda number: number, ((number,) for number in range(1000)), ahead=2)
    assert next(ready) == 0
    ready.close()
    assert "batches" not in {thread.name for thread in threading.enumerate()}


def test_nothing_ahead_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one batch must be prepared ahead, not 0"):
        next(prepared(lambda number: number, [(1,)], ahead=0))
