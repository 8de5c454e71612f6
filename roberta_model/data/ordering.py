"""In which order rows are visited: a fresh permutation each epoch, in no memory at all.

The samples of a run are one endless stream. Position p of the stream is a pure function of
(seed, p): epoch p // num_rows, and within it the p % num_rows-th element of that epoch's
permutation. So a step knows its rows without a cursor, whatever was run before it, and every
process of a distributed run finds its own share alone.

The permutation is a Feistel network on a grid of about sqrt(N) x sqrt(N) cells (Black and
Rogaway 2002, "Ciphers with arbitrary finite domains"); the few cells past the end are walked
through until the path is back inside.
"""

import math

import numpy as np
from numpy.typing import NDArray

from roberta_model.data.randomness import Indices, random_bits

Int64s = NDArray[np.int64]

_NUM_ROUNDS = 8


def row_at(seed: int, epoch: Indices, index: Indices, num_rows: int) -> Int64s:
    """Return the row visited `index`-th in `epoch`: a permutation of range(num_rows) per epoch.

    Args:
        seed: The run's seed.
        epoch: One epoch number, or one for each index.
        index: Places in the epoch, each in [0, num_rows).
        num_rows: How many rows there are.

    Returns:
        int64 rows, of the broadcast shape of epoch and index.

    Raises:
        ValueError: num_rows is not positive, or an index lies outside the epoch.
    """
    if num_rows < 1:
        raise ValueError(f"there must be at least one row to order, not {num_rows}")
    epochs, cells = np.broadcast_arrays(np.atleast_1d(epoch), np.atleast_1d(index))
    if cells.size and (cells.min() < 0 or cells.max() >= num_rows):
        raise ValueError(f"places must lie in [0, {num_rows})")
    rows = _shuffle_cells(seed, epochs, cells.astype(np.int64), num_rows)
    outside = rows >= num_rows
    while outside.any():
        rows[outside] = _shuffle_cells(seed, epochs[outside], rows[outside], num_rows)
        outside = rows >= num_rows
    return rows


def _shuffle_cells(seed: int, epochs: NDArray[np.integer], cells: Int64s, num_rows: int) -> Int64s:
    """Permute the cells of the smallest near-square grid that holds num_rows of them."""
    width = math.isqrt(num_rows - 1) + 1
    height = -(-num_rows // width)
    across, down = cells % width, cells // width
    for round_number in range(_NUM_ROUNDS):
        fixed, size = (down, width) if round_number % 2 == 0 else (across, height)
        # 32 bits modulo a grid side (below 2^31 for any corpus) is even enough, and int64-safe.
        bits = random_bits(seed, "row order", epochs, round_number, fixed)
        shift = (bits >> np.uint64(32)).astype(np.int64)
        if round_number % 2 == 0:
            across = (across + shift) % size
        else:
            down = (down + shift) % size
    return down * width + across


class SampleOrder:
    """The endless stream of samples, cut into global batches.

    Args:
        seed: The run's seed.
        num_rows: How many rows the packed data holds.
        batch_rows: Rows in one global batch, over all processes and accumulation steps.

    Raises:
        ValueError: A count is not positive.
    """

    def __init__(self, seed: int, num_rows: int, batch_rows: int) -> None:
        if num_rows < 1 or batch_rows < 1:
            raise ValueError(
                f"an order needs rows and a batch size, not {num_rows} rows in batches "
                f"of {batch_rows}"
            )
        self.seed = seed
        self.num_rows = num_rows
        self.batch_rows = batch_rows

    def rows_of(self, step: int, start: int = 0, stop: int | None = None) -> tuple[Int64s, Int64s]:
        """Return (epochs, rows), both int64, of samples start..stop of a step's global batch.

        Raises:
            ValueError: The span lies outside the batch, or the step is negative.
        """
        stop = self.batch_rows if stop is None else stop
        if step < 0 or not 0 <= start <= stop <= self.batch_rows:
            raise ValueError(
                f"samples {start}..{stop} of step {step} are not in a batch of {self.batch_rows}"
            )
        places = np.arange(start, stop, dtype=np.int64) + step * self.batch_rows
        epochs = places // self.num_rows
        return epochs, row_at(self.seed, epochs, places % self.num_rows, self.num_rows)
