"""Kill -9 of a run with the embedded server: nothing of it stays behind."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command import Command, Done, end_all, left_after, new_mark
from tiny_pipeline import write_config

from tasks.stages import STAGE_NAMES


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


@pytest.mark.slow
def test_kill_9_of_the_main_process_leaves_nothing_behind(alone: Command) -> None:
    """No orphaned server, trainer or worker holds ports, memory or the lease."""
    config = write_config(alone.folder, pretrain={"steps": 4000})
    done, mark = interrupt(alone, config, signal.SIGKILL, "pretrain   started")
    assert done.code == -signal.SIGKILL
    # Until then it said when each stage began and ended, on what it trains, and once a minute how
    # far it is; no bars. (Python's own resource tracker may complain of what the kill left it.)
    lines = [line.split() for line in done.err.splitlines()]
    told = {line[1] for line in lines if line[0] in STAGE_NAMES}
    assert told - {"running", "training"} == {"started", "done"}, done.err
    assert "prefect" not in done.err.lower()
    assert left_after(mark, 30) == []
