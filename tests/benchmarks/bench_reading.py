"""Reading packed rows at random beside `datasets`, from the very same shard files.

Paired in one process, one thread:

    datasets               load_dataset("arrow") of our shards, as numpy, indexed by lists
    datasets + DataLoader  the same through torch's DataLoader, shuffled, batches of 32
    ours                   roberta_model.data.rows.PackedRows: a memory map, batches of 32 or 1,024
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from material import Material, material
from paired import Comparison, Figures, parser

from roberta_model.data.rows import PackedRows

_SECONDS = 2.0
_PLAIN, _LOADER = "datasets, batches of 32", "datasets + DataLoader, batches of 32"
_LARGE = "datasets, batches of 1,024"
_OURS, _OURS_LARGE = "ours, batches of 32", "ours, batches of 1,024"

Reader = Callable[[], Iterator[Any]]


def main() -> None:
    """Measure and print."""
    options = parser(__doc__, rounds=5).parse_args()
    found = material(options)
    torch.set_num_threads(1)
    options.threads = 1
    with tempfile.TemporaryDirectory() as cache:
        compare(options, found, variants(found, cache))


def compare(options: argparse.Namespace, found: Material, readers: dict[str, Reader]) -> None:
    """Let all of them read, and print."""
    seconds = 0.0 if options.quick else _SECONDS
    rows = PackedRows(found.rows)
    comparison = Comparison(
        f"Random rows of {rows.row_tokens} tokens out of {rows.num_rows:,}",
        {"thousands": "thousand rows/s"},
        (
            "the files are in the page cache; only the tokens are read",
            "batches of 1,024 are compared with datasets' batches of 1,024",
        ),
        {_LARGE: _LARGE, _OURS_LARGE: _LARGE},
    )
    comparison.run(
        {name: partial(_speed, reader, seconds) for name, reader in readers.items()},
        1 if options.quick else options.rounds,
    )
    comparison.show(options)


def _speed(reader: Reader, seconds: float) -> Figures:
    batches = itertools.chain.from_iterable(reader() for _ in itertools.count())
    next(batches)
    start, rows = time.perf_counter(), 0
    while rows == 0 or time.perf_counter() - start < seconds:
        rows += len(next(batches))
    return {"thousands": rows / (time.perf_counter() - start) / 1e3}


def variants(found: Material, cache: str) -> dict[str, Reader]:
    """Each gives the batches of one pass over the rows, in another order every time."""
    import datasets
    from torch.utils.data import DataLoader

    ours = PackedRows(found.rows)
    datasets.disable_progress_bars()
    stock = datasets.load_dataset("arrow", data_files=found.rows, split="train", cache_dir=cache)
    stock = stock.select_columns("tokens")
    arrays, tensors = stock.with_format("numpy"), stock.with_format("torch")
    generator = np.random.default_rng(0)

    def passes(read: Callable[[Any], Any], size: int) -> Iterator[Any]:
        order = generator.permutation(ours.num_rows)
        return (read(order[at : at + size]) for at in range(0, len(order), size))

    def loader() -> Iterator[Any]:
        return (batch["tokens"] for batch in DataLoader(tensors, 32, shuffle=True))

    def indexed(rows: Any) -> Any:
        return arrays[rows.tolist()]["tokens"]

    check = np.arange(min(100, ours.num_rows))
    assert np.array_equal(indexed(check), ours.tokens(check)), "both must read the same rows"
    return {
        _PLAIN: lambda: passes(indexed, 32),
        _LOADER: loader,
        _OURS: lambda: passes(ours.tokens, 32),
        _LARGE: lambda: passes(indexed, 1024),
        _OURS_LARGE: lambda: passes(ours.tokens, 1024),
    }


if __name__ == "__main__":
    main()
