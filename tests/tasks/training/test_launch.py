"""A training process that falls silent: it is ended and named, and the run goes on from there."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from tiny_pipeline import run_all, write_config

from tasks.config.load import load_config
from tasks.errors import StageError
from tasks.training.launch import Trainer

TELLS_AND_HANGS = """
import json, time
print(json.dumps({"event": "start", "step": 0, "steps": 9}), flush=True)
for step in (1, 2, 3):
    time.sleep(0.5)
    print(json.dumps({"event": "step", "step": step}), flush=True)
while True:
    time.sleep(0.2)
    print("a library warns of something", flush=True)
"""


TELLS_AND_ENDS = """
import json, time
for step in (0, 1, 2):
    print(json.dumps({"event": "step", "step": step}), flush=True)
    time.sleep(0.8)
"""


def test_a_trainer_that_tells_no_step_any_more_is_ended_and_named() -> None:
    """Steps count, each anew; what libraries print does not."""
    seen: list[int] = []
    with Trainer(["-c", TELLS_AND_HANGS], threads=1) as trainer:
        with pytest.raises(StageError) as told:
            seen.extend(event["step"] for event in trainer.events(stall_minutes=1.2 / 60))
        assert trainer.process.poll() == -signal.SIGKILL
    assert seen == [0, 1, 2, 3]
    assert "told nothing for 0.02 min, after step 3" in str(told.value)
    assert "engine.launch.stall_minutes" in str(told.value)


WATCHES = f"""
from tasks.training.launch import Trainer
trains = {TELLS_AND_ENDS!r}
with Trainer(["-c", trains], threads=1) as trainer:
    print("up", flush=True)
    steps = [event["step"] for event in trainer.events(stall_minutes=2 / 60)]
    trainer.check_end()
print(steps)
"""


def test_a_machine_that_sleeps_is_no_silence() -> None:
    """Both the training and who watches it stand still for longer than it may be silent."""
    watcher = subprocess.Popen([sys.executable, "-c", WATCHES], stdout=subprocess.PIPE, text=True)
    assert watcher.stdout is not None
    assert watcher.stdout.readline() == "up\n"
    time.sleep(0.3)
    every = [psutil.Process(watcher.pid), *psutil.Process(watcher.pid).children()]
    for process in every:
        process.suspend()
    time.sleep(3)
    for process in every:  # who watches first, so that it finds nothing to read
        process.resume()
        time.sleep(0.3)
    said, _ = watcher.communicate(timeout=30)
    assert said == "[0, 1, 2]\n"


def freeze_the_trainer(store: Path) -> None:
    """SIGSTOP the training process once it has written a checkpoint: as a hung device would."""
    while not any(store.glob("5-pretrain/*/checkpoint/*/model.safetensors")):
        time.sleep(0.05)
    for child in psutil.Process(os.getpid()).children():
        if "roberta_model.training.process" in child.cmdline():
            child.suspend()


@pytest.mark.slow
def test_a_frozen_training_is_ended_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """A run that hangs over a weekend helps nobody; its checkpoints do."""
    changes = {"pretrain": {"steps": 3000, "checkpoint_steps": 20}}
    watched = {"engine": {"launch": {"stall_minutes": 0.25}}}
    config = load_config(str(write_config(tmp_path, **changes, **watched)))
    store = tmp_path / "store"
    helper = threading.Thread(target=freeze_the_trainer, args=(store,), daemon=True)
    helper.start()
    with pytest.raises(StageError, match=r"told nothing for 0.25 min, after step \d+"):
        run_all(config, until="pretrain")
    helper.join()
    kept = list(store.glob("5-pretrain/*/checkpoint/*/model.safetensors"))
    assert kept
    left = [child.cmdline() for child in psutil.Process(os.getpid()).children(recursive=True)]
    assert not [line for line in left if "roberta_model.training.process" in line]
