"""The training process on a machine that has bf16 or has it not, as TEST_NATIVE_BF16 says."""

import os
import sys

import torch

from roberta_model.training import precision, process


def has_native_bf16(device: torch.device) -> bool:
    """What the test says of this machine."""
    return os.environ["TEST_NATIVE_BF16"] == "1"


if __name__ == "__main__":
    precision.has_native_bf16 = has_native_bf16
    process.leave(process.main(sys.argv[1:]))
