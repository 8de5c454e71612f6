"""What is shown of a training that tells of its steps."""

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.config import EngineConfig
from tasks.engine.progress import Count, Progress, Sink
from tasks.training import running

_SIX = range(1, 7)


class Shown(Sink):
    """Every count as it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def update(self, count: Count) -> None:
        """See `Sink`."""
        self.lines.append(count.describe())


def test_what_goes_on_tells_some_of_the_steps_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second of six where three may be told, and the one that was held out."""
    monkeypatch.setattr(running, "_MOST_BEFORE", 3)
    lines = [{"step": n, "loss": n / 2, "held_out_loss": 1.0 if n == 3 else None} for n in _SIX]
    path = tmp_path / "losses.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    file = SimpleNamespace(local=lambda: path)
    newest: Any = SimpleNamespace(files={"/losses.jsonl": file}, summary={"step": 6})
    held_out = (3, {"loss": 1.5, "held-out loss": 1.0})
    assert running._told_before(newest) == [
        (2, {"loss": 1.0}),
        held_out,
        (4, {"loss": 2.0}),
        (6, {"loss": 3.0}),
    ]
    assert running._told_before(None) == []


def test_steps_that_waited_while_a_checkpoint_was_scored_say_nothing_of_the_rate(
    tmp_path: Path,
) -> None:
    """A fine-tuning's dev set took 70 s to score, and 12 hours seemed to be left of two minutes."""
    now = time.monotonic()
    start = {"event": "start", "step": 313, "steps": 938, "precision": "bf16", "device": "cpu"}
    events = [
        start | {"is_emulated": False},
        {"event": "warm", "step": 314, "loss": 2.0, "at": now - 70},
        {"event": "step", "step": 324, "loss": 1.0, "tokens_per_second": 9.0, "at": now - 60},
        {"event": "held_out", "step": 344, "loss": 1.0, "held_out_loss": 3.0, "at": now - 40},
        {"event": "step", "step": 383, "loss": 0.5, "at": now - 1},
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
    rate = "1.0 steps/s"
    assert shown.lines == [
        "314 of 938 steps, loss 2.000",
        f"324 of 938 steps, {rate}, 10 min left, loss 1.000, 9 tokens/s",
        f"344 of 938 steps, {rate}, 10 min left, loss 1.000, 9 tokens/s, held-out loss 3.000",
        f"383 of 938 steps, {rate}, 9 min left, loss 0.500, 9 tokens/s, held-out loss 3.000",
    ]
