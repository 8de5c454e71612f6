"""Layers as compiled kernels, where that pays: on GPUs.

There half of an eager step goes into reading and writing memory between matrix products; the
compiler makes one kernel of neighbours (1.16x the tokens a second at base on an H100). On CPUs it
gains 0 to 4 % and costs more time at the start than loading torch, so there it is not loaded.
"""

import functools
import logging
from contextlib import AbstractContextManager, nullcontext

import torch

from roberta_model.encoder import Encoder

log = logging.getLogger(__name__)


@functools.cache
def can_compile(device: torch.device) -> bool:
    """Whether kernels can be compiled for a device, found out by compiling a tiny one.

    It takes a C compiler and Triton, which not every machine has; what is missing is logged.
    """
    if device.type != "cuda":
        return False
    try:
        tiny = torch.compile(lambda x: torch.tanh(x) + 1)
        tiny(torch.zeros(8, device=device))
    except Exception as problem:
        # Whatever the compiler lacks, training goes on without it.
        reason = str(problem).strip().splitlines()[0]
        log.warning("%s: layers are not compiled, which is slower: %s", device, reason)
        return False
    return True


def not_compiling(device: torch.device) -> AbstractContextManager[object]:
    """A block in which layers run as they are written, whether or not they are compiled.

    What is seldom run would be compiled for its own shapes, which takes longer than running it.
    """
    if device.type == "cpu":
        return nullcontext()  # where the compiler is not even loaded
    eagerly: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return eagerly


def compile_layers(encoder: Encoder) -> None:
    """Have the layers compiled at their first call, all but the last.

    That one runs at some places only, whose number changes from batch to batch.
    """
    for layer in encoder.layers[:-1]:
        layer.compile()
