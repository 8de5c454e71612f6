"""What a training runs on, in words: kept with each checkpoint's time, and in no key."""

import platform
from pathlib import Path

import torch

_CPU_INFO = Path("/proc/cpuinfo")


def device_name(kind: str) -> str:
    """The name of the GPU, or of the processor, that torch's device of this type is."""
    if kind == "cuda":
        return str(torch.cuda.get_device_name())
    return _processor() if kind == "cpu" else kind


def _processor() -> str:
    """The processor's name as the system tells it."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(filter(None, named), platform.processor() or platform.machine() or "CPU")
