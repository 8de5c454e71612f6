"""Kill -9 of the whole process tree at random moments, and then the same command again."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tiny_pipeline import write_config

ROOT = Path(__file__).resolve().parents[1]
SUPPORT = ROOT / "tests" / "support"


def command(config: Path) -> list[str]:
    return [sys.executable, str(SUPPORT / "tiny_pipeline.py"), str(config)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{SUPPORT}", "OMP_NUM_THREADS": "1"}


def kill_tree(pid: int) -> None:
    """Kill -9 a process and all that descend from it."""
    try:
        root = psutil.Process(pid)
        family = [*root.children(recursive=True), root]
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def run_until_killed(config: Path, seconds: float) -> str | None:
    """Standard output if the run ended by itself within the time, else None."""
    process = subprocess.Popen(
        command(config),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        kill_tree(process.pid)
        process.communicate()
        return None
    assert process.returncode == 0
    return output


def chaos(tmp_path: Path, kills: int, seed: int) -> None:
    undisturbed = write_config(tmp_path / "undisturbed")
    start = time.monotonic()
    expected = run_until_killed(undisturbed, 600)
    assert expected is not None
    whole = time.monotonic() - start

    disturbed = write_config(tmp_path / "disturbed")
    moments = random.Random(seed)
    done = 0
    while done < kills:
        # Short lives: a run that is killed early must still get a little further each time.
        output = run_until_killed(disturbed, moments.uniform(0.1, 0.6) * whole)
        if output is not None:
            break
        done += 1
    output = run_until_killed(disturbed, 600)
    assert output is not None
    assert done >= min(2, kills)
    assert json.loads(output) == json.loads(expected)


@pytest.mark.slow
def test_three_kills_change_nothing(tmp_path: Path) -> None:
    """All output bytes, weights, losses, scores and ledgers equal an undisturbed run's."""
    chaos(tmp_path, kills=3, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_ten_kills_change_nothing(tmp_path: Path, seed: int) -> None:
    """The same, ten times in one run."""
    chaos(tmp_path, kills=10, seed=seed)


@pytest.mark.slow
def test_an_interrupted_training_ends_cleanly(tmp_path: Path) -> None:
    """Ctrl-C while it trains: a checkpoint is written first, and no process is left.

    Of the command, flows/test_stopping.py has a faster one.
    """
    config = write_config(tmp_path, pretrain={"steps": 4000, "checkpoint_steps": 4000})
    process = subprocess.Popen(command(config), env=environment(), stderr=subprocess.DEVNULL)
    work = tmp_path / "store" / "5-pretrain"
    end = time.monotonic() + 120
    while not any(work.glob("*/.lasting/*/started")):
        assert time.monotonic() < end, "the training did not start"
        assert process.poll() is None
        time.sleep(0.1)
    family = psutil.Process(process.pid).children(recursive=True)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=40)

    assert list(work.glob("*/checkpoint/*/model.safetensors"))
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
