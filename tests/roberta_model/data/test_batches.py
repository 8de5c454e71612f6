"""Batches of packed rows: how much is hidden, step by step, however a step is cut."""

from typing import Any

import numpy as np

from roberta_model.data.batches import MaskedBatches
from roberta_model.data.masking import Masking, MaskingTables
from roberta_model.data.ordering import SampleOrder
from roberta_model.data.rows import PackedRows
from roberta_model.recipe import MaskingRecipe

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
