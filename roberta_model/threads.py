"""How many threads compute: sums come out the same only if they are added up in one order.

PyTorch is imported when it computes, not with this module: who only plans needs none.
"""

from collections.abc import Iterator
from contextlib import contextmanager


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
