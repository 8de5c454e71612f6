"""The order of samples: a permutation each epoch, found without having been there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roberta_model.data.ordering import SampleOrder, row_at
from roberta_model.training.objective import my_share

SEEDS = st.integers(0, 2**31)


@given(SEEDS, st.integers(0, 50), st.integers(1, 1500))
@settings(max_examples=100, deadline=None)
def test_an_epoch_is_a_permutation(seed: int, epoch: int, num_rows: int) -> None:
    """No row is left out and none comes twice, for any number of rows."""
    rows = row_at(seed, epoch, np.arange(num_rows), num_rows)
    assert np.array_equal(np.sort(rows), np.arange(num_rows))


@given(SEEDS, st.integers(1, 60), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_every_row_comes_once_an_epoch_across_batches(
    seed: int, num_rows: int, batch_rows: int
) -> None:
    """Also where a batch holds the end of one epoch and the start of the next, or several."""
    order = SampleOrder(seed, num_rows, batch_rows)
    parts = [order.rows_of(step) for step in range(3 * num_rows // batch_rows + 1)]
    epochs = np.concatenate([epochs for epochs, _ in parts])
    rows = np.concatenate([rows for _, rows in parts])
    assert np.array_equal(epochs, np.arange(len(rows)) // num_rows)
    for epoch in range(len(rows) // num_rows):
        assert sorted(rows[epochs == epoch]) == list(range(num_rows)), epoch


@given(SEEDS, st.integers(1, 300), st.integers(1, 64), st.data())
@settings(max_examples=60, deadline=None)
def test_asking_for_any_sample_equals_going_there(
    seed: int, num_rows: int, batch_rows: int, data: st.DataObject
) -> None:
    """A resumed run, or one process of many, sees the samples of the undisturbed run."""
    order = SampleOrder(seed, num_rows, batch_rows)
    step = data.draw(st.integers(0, 30))
    start = data.draw(st.integers(0, batch_rows))
    stop = data.draw(st.integers(start, batch_rows))
    epochs, rows = order.rows_of(step, start, stop)

    whole = [
        np.concatenate(part) for part in zip(*map(order.rows_of, range(step + 1)), strict=True)
    ]
    span = slice(step * batch_rows + start, step * batch_rows + stop)
    assert np.array_equal(epochs, whole[0][span])
    assert np.array_equal(rows, whole[1][span])
    fresh = SampleOrder(seed, num_rows, batch_rows).rows_of(step, start, stop)
    assert np.array_equal(fresh[1], rows)


@given(st.integers(1, 500), st.integers(1, 17))
@settings(max_examples=60, deadline=None)
def test_the_shares_of_the_processes_are_the_batch(batch_rows: int, processes: int) -> None:
    """Every sample is trained on by exactly one process, and no share is a row too large."""
    shares = [my_share(batch_rows, rank, processes) for rank in range(processes)]
    samples = [sample for start, stop in shares for sample in range(start, stop)]
    assert samples == list(range(batch_rows))
    sizes = {stop - start for start, stop in shares}
    assert max(sizes) - min(sizes) <= 1


def test_epochs_and_seeds_give_other_orders() -> None:
    """The order is fresh each epoch and follows from the seed."""
    orders = [row_at(seed, epoch, np.arange(1000), 1000) for seed, epoch in
              [(0, 0), (0, 1), (0, 2), (1, 0)]]  # fmt: skip
    for i, one in enumerate(orders):
        for other in orders[:i]:
            assert (one == other).mean() < 0.01
    assert np.array_equal(orders[0], row_at(0, 0, np.arange(1000), 1000))


def test_neighbours_do_not_stay_together() -> None:
    """Rows of one document lie side by side; a batch must not be one document."""
    rows = row_at(3, 0, np.arange(10_000), 10_000)
    assert (np.abs(np.diff(rows)) < 10).mean() < 0.01
    assert abs(np.corrcoef(rows, np.arange(10_000))[0, 1]) < 0.05
    # Where a row lands is even: of each tenth of the rows a tenth lands in each tenth.
    landed = np.histogram2d(rows, np.arange(10_000), bins=10)[0]
    assert landed.min() > 60
    assert landed.max() < 140


@pytest.mark.parametrize("span", [(-1, 0, 1), (0, -1, 1), (0, 2, 1), (0, 0, 9)])
def test_samples_outside_of_a_batch_are_refused(span: tuple[int, int, int]) -> None:
    """A wrong span is an error here and not another step's samples."""
    with pytest.raises(ValueError, match="are not in a batch of 8"):
        SampleOrder(0, 20, 8).rows_of(*span)
    with pytest.raises(ValueError, match="needs rows and a batch size"):
        SampleOrder(0, 0, 8)
