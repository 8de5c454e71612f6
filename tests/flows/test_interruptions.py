"""Ctrl-C, SIGTERM and kill -9 in the middle of a run, beside the embedded server."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command import Command, Done, end_all, left_after, new_mark
from tiny_pipeline import write_config


@pytest.fixture
def alone(tmp_path: Path) -> Command:
    """The command without a configured server: it starts one of its own."""
    return Command(tmp_path, tmp_path / "home")


def interrupt(command: Command, config: Path, number: int, reached: str) -> tuple[Done, str]:
    """Send a signal to the main process once a line of its log says how far it is."""
    mark = new_mark()
    process = command.start("run", config, mark=mark)
    told = []
    try:
        for line in process.stderr:
            told.append(line)
            if line.startswith(reached):
                break
        if reached.startswith("pretrain"):
            wait_for_a_checkpoint(config.parent / "store", process)
        os.kill(process.pid, number)
        out, err = process.communicate(timeout=60)
    except BaseException:
        end_all(mark)
        raise
    return Done(process.returncode, out, "".join(told) + err), mark


def wait_for_a_checkpoint(store: Path, process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 90
    while not list(store.glob("5-pretrain/*/units/*checkpoint*")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("number", "reached", "code"),
    [(signal.SIGINT, "clean      started", 130), (signal.SIGTERM, "pretrain   started", 143)],
)
def test_a_stopped_run_leaves_no_process_and_goes_on(
    alone: Command, first_weights: bytes, number: int, reached: str, code: int
) -> None:
    """The exit code, the command to go on with, nothing left running, the same model."""
    config = write_config(alone.folder, pretrain={"steps": 40})
    done, mark = interrupt(alone, config, number, reached)
    assert done.code == code, done.err
    assert "To go on: roberta run" in done.err
    assert "Traceback" not in done.err
    assert left_after(mark, 20) == []
    again = alone("run", config, "--json")
    assert again.code == 0, again.err
    weights = Path(again.json["model"]) / "model.safetensors"
    assert weights.read_bytes() == first_weights


def test_kill_9_of_the_main_process_leaves_nothing_behind(alone: Command) -> None:
    """No orphaned server, trainer or worker holds ports, memory or the lease."""
    config = write_config(alone.folder, pretrain={"steps": 4000})
    done, mark = interrupt(alone, config, signal.SIGKILL, "pretrain   started")
    assert done.code == -signal.SIGKILL
    assert left_after(mark, 30) == []


@pytest.fixture(scope="module")
def first_weights(roberta: Command, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The weights that an undisturbed run publishes."""
    config = write_config(tmp_path_factory.mktemp("undisturbed"), pretrain={"steps": 40})
    done = roberta("run", config, "--json")
    assert done.code == 0, done.err
    return (Path(done.json["model"]) / "model.safetensors").read_bytes()
