"""Memory of the training processes: each has its own, or all of one machine share theirs.

    process 0        process 1              process 0        process 1
        ▼                ▼                      ▼                ▼
    [ sums ]         [ sums ]               [ sums ] ──────▶ [ sums ]    all-reduce: between GPUs,
        └── each adds up ─┘                          ◀──────             and between machines
            half of both
       [ one mean, one copy of the weights ]

On CPUs sending a step's gradients between two processes of one machine takes longer than adding
them up, and each would update all weights, with moments of its own. What is shared lies in
anonymous files: they have no name, and are gone with the last process, however it ends.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.distributed import ReduceOp, all_reduce, barrier, broadcast

_MARK_BYTES = 7  # as many as surely fit into a number of 64 bits with a sign


class Memory:
    """Each process has its own.

    Attributes:
        rank: Which of the processes that train together this is.
        num_processes: How many they are.
        part, num_parts: What this process works on of a vector that all have: all of it here.
    """

    part, num_parts = 0, 1

    def __init__(self, rank: int = 0, num_processes: int = 1) -> None:
        self.rank, self.num_processes = rank, num_processes

    @property
    def is_shared(self) -> bool:
        """Whether vectors of `zeros` are the same ones for all processes."""
        return self.num_parts > 1

    def zeros(self, size: int, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """A vector of zeros, on the device of another and, unless told otherwise, of its type."""
        return like.new_zeros(size, dtype=dtype)

    def wait(self) -> None:
        """Wait until all who share have come here: what they wrote before is there to be read."""

    def collected(self, mine: bytes) -> list[bytes]:
        """What the process of each part has to give, in order."""
        return [mine]


class SharedMemory(Memory):
    """Processes on the CPUs of one machine share theirs.

    All of them call every method, in the same order. When one is gone, the connection that the
    others wait on breaks, and they end with an error.
    """

    def __init__(self, rank: int, num_processes: int) -> None:
        super().__init__(rank, num_processes)
        self.part, self.num_parts = rank, num_processes
        self._nothing = torch.zeros(1)

    def zeros(self, size: int, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """A vector that all see, and see each other's changes of."""
        dtype = dtype or like.dtype
        with _anonymous_file(self.rank, size * dtype.itemsize) as path:
            if not path:
                raise MemoryError(f"the system has no room for {size * dtype.itemsize:,} bytes")
            return torch.from_file(path, shared=True, size=size, dtype=dtype)

    def wait(self) -> None:
        """Wait until all have come here: a sum of nothing takes half as long as gloo's barrier."""
        all_reduce(self._nothing)

    def collected(self, mine: bytes) -> list[bytes]:
        """What each process has to give, in the order of their ranks."""
        sizes = torch.zeros(self.num_processes, dtype=torch.int64)
        sizes[self.rank] = len(mine)
        all_reduce(sizes)
        parts = self.zeros(int(sizes.sum()), sizes, torch.uint8).split(sizes.tolist())
        parts[self.rank].copy_(torch.frombuffer(bytearray(mine), dtype=torch.uint8))
        self.wait()
        return [part.numpy().tobytes() for part in parts]


def memory_of(accelerator: Accelerator) -> Memory:
    """Shared memory for processes on the CPUs of one machine whose system offers it."""
    rank, num_processes = accelerator.process_index, accelerator.num_processes
    if num_processes > 1 and accelerator.device.type == "cpu" and _can_share(rank):
        return SharedMemory(rank, num_processes)
    return Memory(rank, num_processes)


def _can_share(rank: int) -> bool:
    """Whether all processes can read what the first one writes; all learn the same."""
    mark = torch.tensor(int.from_bytes(os.urandom(_MARK_BYTES)))
    broadcast(mark, 0)
    with _anonymous_file(rank, mark.nbytes, int(mark)) as path:
        try:
            read = int.from_bytes(Path(path).read_bytes(), "little") if path else None
        except OSError:
            read = None
        is_read = torch.tensor(int(read == int(mark)))
        all_reduce(is_read, ReduceOp.MIN)
    return bool(is_read)


@contextmanager
def _anonymous_file(rank: int, size: int, first: int = 0) -> Iterator[str]:
    """A file of the first process without a name, by a path that the others can open it by.

    An empty path where the system has no such files. At the end of the block all have opened it.
    """
    descriptor = -1
    try:
        if rank == 0 and hasattr(os, "memfd_create"):
            with suppress(OSError):  # what a sandbox forbids
                descriptor = os.memfd_create("roberta-training")
                os.truncate(descriptor, size)
                os.pwrite(descriptor, first.to_bytes(_MARK_BYTES, "little"), 0)
        where = torch.tensor([os.getpid(), descriptor])
        broadcast(where, 0)
        process, number = where.tolist()
        yield f"/proc/{process}/fd/{number}" if number >= 0 else ""
        barrier()
    finally:
        if descriptor >= 0:
            os.close(descriptor)
