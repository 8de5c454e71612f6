"""How many threads compute: sums come out the same only if they are added up in one order.

PyTorch is imported when it computes, not with this module: who only plans needs none.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread: sums are then always added up in the same order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def map_in_threads(
    function: Callable[[Part], Result], parts: Sequence[Part], workers: int
) -> list[Result]:
    """What a computation makes of each part, in order; each is one thread's work from end to end.

    So the results are the same however many work side by side, and PyTorch lets go of Python's
    lock while it computes.

    >>> map_in_threads(abs, [-1, 2, -3], workers=2)
    [1, 2, 3]
    """
    with one_thread():
        if workers == 1:
            return list(map(function, parts))
        pool = ThreadPoolExecutor(workers)
        try:
            return list(pool.map(function, parts))
        finally:  # after an error or Ctrl-C what is not begun is nobody's wish
            pool.shutdown(cancel_futures=True)
