"""How far a stage is, as those who watch it see it: bars, log lines, any other sink."""

import logging
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from toy_stage import ToySlice, toy_stages

from tasks.config import Config
from tasks.engine.progress import Count, LogLines, Progress, Sink
from tasks.engine.runner import run_stage
from tasks.engine.stores import open_store

COUNTS = """
import time
from flows.console import configure_logging
from tasks.engine.progress import default_progress
configure_logging(verbose=False)
progress = default_progress()
progress.sinks[-1].seconds = 0
with progress.counting("pretrain", 200, "steps", done=50) as counter:
    time.sleep(1.1)
    counter.show(100, {"loss": 3.21, "tokens/s": 4500.4, "held-out loss": 3.4})
    time.sleep(0.3)
"""


class Noting(Sink):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def begin(self, count: Count) -> None:
        self.told.append(f"begin {count.title} {count.done:.0f} of {count.total:.0f}")

    def update(self, count: Count) -> None:
        self.told.append(f"{count.percent:.0f} %")

    def end(self, count: Count) -> None:
        self.told.append("end")


def test_every_sink_is_told_of_a_stage_as_its_units_end(tmp_path: Path) -> None:
    """From what was done before, to the end; also when the stage fails on the way."""
    store = open_store(str(tmp_path))
    config = Config.model_validate({"corpus": [{"type": "docs"}], "engine": {"workers": 1}})
    sink, other = Noting(), Noting()
    first, _ = toy_stages(ToySlice(numbers=[1, 2, 666, 4]))
    with pytest.raises(Exception, match="always fails"):
        run_stage(first, config, store, progress=Progress(sink, other))
    assert sink.told[0] == "begin first write number 0 of 4"
    assert sink.told[1] == "25 %"
    assert sink.told[-1] == "end"
    assert sink.told == other.told


def test_a_log_gets_a_line_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    """An hour of training is sixty lines at most, however often its steps are told."""
    with caplog.at_level(logging.INFO, "tasks.engine.progress"):
        for seconds in (0.0, 60.0):
            with Progress(LogLines(seconds)).counting("pack", 5000, "units", work="cut") as counter:
                for _ in range(50):
                    counter.advance()
    assert len(caplog.messages) == 50
    assert caplog.messages[-1] == "pack       running           1%  cut: 50 of 5,000 units"


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_terminal_has_bars_and_a_log_has_lines(is_terminal: bool) -> None:
    """Each what can be read there: no colours in a log, no lines between the bars."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", COUNTS],
        stderr=slave if is_terminal else subprocess.PIPE,
        env={**os.environ, "COLUMNS": "150", "TERM": "xterm"},
    )
    os.close(slave)
    assert process.wait(60) == 0
    if is_terminal:
        told = os.read(master, 1_000_000).decode()
        assert "100 of 200 steps" in told
        assert "loss 3.210, 4,500 tokens/s, held-out loss 3.400" in told
        assert "━" in told
        assert "running" not in told
    else:
        assert process.stderr is not None
        with process.stderr:
            told = process.stderr.read().decode()
        line = "pretrain   running          50%  100 of 200 steps, 45.5 steps/s, 2 s left, loss"
        assert told.startswith(line[:47]), told
        assert "\x1b" not in told
        assert len(told.splitlines()) == 1
    os.close(master)


def test_a_narrow_terminal_has_all_figures_and_no_bar() -> None:
    """In 80 columns nothing is squeezed or cut off: what does not fit goes on below."""
    master, slave = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    process = subprocess.run(
        [sys.executable, "-c", COUNTS], stderr=slave, env=environment, timeout=60, check=False
    )
    os.close(slave)
    told = os.read(master, 1_000_000).decode()
    os.close(master)
    assert process.returncode == 0
    assert "pretrain" in told
    assert re.search(r"loss 3.210, 4,500 tokens/s,\s+held-out loss 3.400", told), told
    assert "━" not in told
