"""What is shown of a training that tells of its steps."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tasks.config import EngineConfig
from tasks.engine.progress import Count, Progress, Sink
from tasks.training import running


class Shown(Sink):
    """Every count as it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def update(self, count: Count) -> None:
        """See `Sink`."""
        self.lines.append(count.describe())


def test_steps_that_waited_while_a_checkpoint_was_scored_say_nothing_of_the_rate(
    tmp_path: Path,
) -> None:
    """A fine-tuning's dev set took 70 s to score, and 12 hours seemed to be left of two minutes."""
    now = time.monotonic()
    start = {"event": "start", "step": 313, "steps": 938, "precision": "bf16", "device": "cpu"}
    events = [
        start | {"is_emulated": False},
        {"event": "warm", "step": 314},
        {"event": "step", "step": 316, "loss": 1.0, "at": now - 70},
        {"event": "step", "step": 375, "loss": 1.0, "at": now},
    ]
    shown = Shown()
    context: Any = SimpleNamespace(
        engine=EngineConfig(), externals={}, progress=Progress(shown), config=None
    )
    checkpoints: Any = SimpleNamespace(resolve=lambda _: None, resolved=None)
    take: Any = None
    trainer: Any = SimpleNamespace(events=lambda _: iter(events))
    is_whole = running._follow(
        context, trainer, checkpoints, tmp_path, None, take, "finetune", "", bool
    )
    assert is_whole
    assert shown.lines == [
        "314 of 938 steps",
        "316 of 938 steps",
        "375 of 938 steps, loss 1.000",
    ]
