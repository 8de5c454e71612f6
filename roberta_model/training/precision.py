"""In which type a training computes: as it was told, or as the processor does it well."""

from typing import NamedTuple

import torch


class Precision(NamedTuple):
    """What a training computes in.

    Attributes:
        name: bf16 or fp32.
        dtype: The same for torch.
        is_emulated: The processor has it not: it will be many times slower.
    """

    name: str
    dtype: torch.dtype
    is_emulated: bool

    @classmethod
    def of(cls, asked: str, device: torch.device) -> "Precision":
        """What auto, bf16 or fp32 means on a device."""
        dtype = compute_type(asked, device)
        is_bf16 = dtype == torch.bfloat16
        return cls("bf16" if is_bf16 else "fp32", dtype, is_bf16 and not has_native_bf16(device))


def compute_type(precision: str, device: torch.device) -> torch.dtype:
    """The type to compute in; `auto` is bf16 where the processor has it natively."""
    if precision == "fp32":
        return torch.float32
    if precision == "bf16" or has_native_bf16(device):
        return torch.bfloat16
    return torch.float32


def has_native_bf16(device: torch.device) -> bool:
    """Whether the device computes in bf16 itself; where it is emulated it is far slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else ""
    flags = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(capabilities.startswith("AVX512") and flags())
