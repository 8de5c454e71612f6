"""Where a model is scored: on the GPU where there is one, else on the CPU.

It decides how long a score takes and, within rounding, no figure; so it is part of no key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from tasks.config import EngineConfig
from tasks.engine.stage import StageContext
from tasks.engine.units import UnitResult
from tasks.errors import UserError


@dataclass(frozen=True)
class Device:
    """As `engine.launch.device` says it: auto, cpu or gpu."""

    name: Literal["auto", "cpu", "gpu"] = "auto"

    @classmethod
    def of(cls, context: StageContext[Any]) -> "Device":
        """That of a stage's engine."""
        return cls(context.engine.launch.device)

    def identity(self) -> None:
        """Nothing that a score depends on."""

    def on_this_machine(self) -> str:
        """As torch calls it.

        Raises:
            UserError: a GPU is asked for and there is none.
        """
        import torch

        if self.name == "cpu":
            return "cpu"
        if torch.cuda.is_available():
            return "cuda"
        if self.name == "gpu":
            raise UserError(
                "engine.launch.device: torch finds no GPU on this machine. Install a torch for it "
                "(`make setup TORCH=gpu`) and a driver, or set it to auto or cpu."
            )
        return "cpu"

    def give_back(self) -> None:
        """Let go of a GPU's memory that no tensor needs any more: a training beside may want it."""
        import torch

        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def map_for(context: StageContext[Any], device: Device) -> Callable[..., list[UnitResult]]:
    """How a stage runs units that score on a device: on a GPU of this machine one after the other.

    Each worker process would take room on it for libraries and weights, and gain nothing.
    """
    engine: EngineConfig = context.engine
    if engine.kind == "local" and device.on_this_machine() != "cpu":
        return partial(context.map, workers=1)
    return context.map
