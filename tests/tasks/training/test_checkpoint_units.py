"""An interruption at the worst moment: while a checkpoint is being committed."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_pipeline import run_all, write_config

from tasks.config.load import load_config
from tasks.training.checkpoint_units import Checkpoints


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before the commit", "after the commit"])
def test_the_losses_of_all_steps_survive(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without this the loss curve of an interrupted run begins in the middle."""
    config = load_config(str(write_config(tmp_path)))
    adopt = Checkpoints.adopt
    calls = []

    def interrupted(self: Checkpoints, *arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1 and moment == "before the commit":
            raise KeyboardInterrupt
        done = adopt(self, *arguments)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(Checkpoints, "adopt", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_all(config, until="pretrain")
    finished = run_all(config, until="pretrain")["pretrain"].artifact

    (last,) = (u.provenance for u in finished.units if u.label.endswith("checkpoint/00000014"))
    told = [part for part in last["intervals"] if "seconds" in part]
    assert last["intervals"][-1] in told
    # No part of the key, so recorded: with what each interval was trained.
    assert all((p["processes"], p["torch"]) == (1, torch.__version__) for p in told)
    assert all((p["threads"], p["is_on_gpu"]) == (1, False) and p["device"] for p in told)
    lines = finished.file("losses.jsonl").local().read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 15))
