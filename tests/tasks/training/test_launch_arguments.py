"""How training processes are started, how many of which threads, and which lines are events."""

import os
import stat
from pathlib import Path

import pytest
import torch

from tasks.config import LaunchConfig
from tasks.errors import StageError
from tasks.training import launch as module
from tasks.training.launch import (
    Trainer,
    launch_arguments,
    threads_per_process,
)
from tasks.training.resolved import Resolved

TOLD = """
import os, sys
print("a library says {this}")
print('{"event": "start", "step": 0}')
print('["no", "event"]')
print('{"broken": ')
print('{"event": "step", "step": 1}')
names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TOKENIZERS_PARALLELISM")
print(*(os.environ[name] for name in names))
sys.exit(3)
"""


def test_one_process_is_started_as_it_is() -> None:
    assert launch_arguments(LaunchConfig(), "m", ["a", "b"]) == ["-m", "m", "a", "b"]


def test_several_meet_in_a_file_that_only_this_user_reads() -> None:
    arguments = launch_arguments(LaunchConfig(processes=3), "m", ["a"])
    meeting = arguments[arguments.index("--rdzv-endpoint") + 1]
    try:
        assert stat.S_IMODE(Path(meeting).stat().st_mode) == 0o600
        assert arguments == [
            *("-m", "torch.distributed.run", "--rdzv-backend", "c10d"),
            *("--rdzv-conf", "store_type=file", "--rdzv-endpoint", meeting),
            *("--nnodes", "1", "--nproc_per_node", "3", "-m", "m", "a"),
        ]
    finally:
        Path(meeting).unlink()


def test_a_config_of_accelerate_decides_alone() -> None:
    settings = LaunchConfig(processes=3, accelerate_config="some.yaml")
    assert launch_arguments(settings, "m", ["a"]) == [
        *("-m", "accelerate.commands.launch", "--config_file", "some.yaml", "-m", "m", "a")
    ]


def test_the_cores_are_shared_out_unless_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread at least."""
    monkeypatch.setattr(module, "default_workers", lambda: 7)
    asked = [LaunchConfig(processes=number) for number in (1, 2, 3, 9)]
    assert [threads_per_process(each) for each in asked] == [7, 3, 2, 1]
    assert threads_per_process(LaunchConfig(processes=3, threads=5)) == 5


def test_small_steps_have_a_process_a_core_of_one_thread_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On CPUs, eight at most; whoever says how many is left alone."""
    monkeypatch.setattr(module, "default_workers", lambda: 5)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    plain = LaunchConfig(device="auto")
    found = module.for_small_steps(plain)
    assert (found.processes, found.threads, found.device) == (5, 1, "auto")
    for said in ({"processes": 2}, {"threads": 1}, {"accelerate_config": "x.yaml"}):
        asked = LaunchConfig(**said)
        assert module.for_small_steps(asked) == asked
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert module.for_small_steps(plain) == plain
    assert module.for_small_steps(LaunchConfig(device="cpu")).processes == 5
    monkeypatch.setattr(module, "default_workers", lambda: 64)
    assert module.for_small_steps(LaunchConfig(device="cpu")).processes == 8


def test_lines_that_are_json_objects_are_events_and_others_last_words() -> None:
    with Trainer(["-c", TOLD], threads=6) as trainer:
        events = list(trainer.events())
        assert [event["event"] for event in events] == ["start", "step"]
        said = list(trainer.last_lines)
        assert said == ["a library says {this}", '["no", "event"]', '{"broken": ', "6 6 false"]
        with pytest.raises(StageError, match="ended with .*3.* The last checkpoint is kept"):
            trainer.check_end()


def test_a_full_disk_in_one_of_several_processes_is_what_is_told() -> None:
    """It was `Connection closed by peer`: the last words of the process beside it."""
    told = [
        "a.SafetensorError: I/O error: No space left on device (os error 28)",
        "RuntimeError: [gloo/transport/tcp/pair.cc:553] Connection closed by peer",
    ]
    what = f"import sys; sys.stderr.write('\\n'.join({told})); sys.exit(1)"
    with Trainer(["-c", what], threads=1) as trainer:
        assert list(trainer.events()) == []
        with pytest.raises(StageError, match=r"could not write .*SafetensorError.*free some space"):
            trainer.check_end()


def test_where_processes_met_is_removed_when_the_training_ends(tmp_path: Path) -> None:
    meeting = tmp_path / "meeting"
    meeting.touch()
    with Trainer(["-c", "", "--rdzv-endpoint", str(meeting)], threads=1):
        assert meeting.exists()
    assert not meeting.exists()
    assert os.listdir(tmp_path) == []


def test_length_and_precision_are_read_from_whatever_tells_them() -> None:
    assert Resolved.of({"steps": "12", "precision": "bf16", "step": 3}) == Resolved(12, "bf16")
