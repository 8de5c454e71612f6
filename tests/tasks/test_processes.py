"""Children that are looked after: what they say, how they end, that none is left behind."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tasks.processes import Child, ChildSilentError, describe_code, last_words

HEEDS_STDIN = "import sys; sys.stdin.read()"
SLEEPS = "import time; print('here', flush=True); time.sleep(600)"


def is_gone(pid: int, seconds: float = 10) -> bool:
    """Whether a process ends within some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_lines_come_one_by_one_and_last_words_are_kept() -> None:
    """Stdout in order to its end; of stderr the line that says what went wrong."""
    code = (
        "import sys; print('one'); print('two'); print(chr(233)); "
        "sys.stderr.buffer.write(b'bad \\xff byte\\n'); raise OSError('no such disk')"
    )
    with Child(["-c", code], {"PYTHONIOENCODING": "utf-8"}) as child:
        assert list(child.lines()) == ["one", "two", "é"]
        assert child.wait() == 1
    assert child.last_words() == "OSError: no such disk"
    assert "bad \ufffd byte" in child.last_lines


def test_a_child_that_says_nothing_is_not_waited_for_for_ever() -> None:
    """Neither for a line nor for its end."""
    with Child(["-c", SLEEPS]) as child:
        assert next(child.lines_within(20)) == "here"
        began = time.monotonic()
        assert list(child.lines_within(0.2)) == []
        with pytest.raises(ChildSilentError):
            child.wait(0.2)
        assert time.monotonic() - began < 10
    assert is_gone(child.process.pid)
    assert child.process.returncode == -signal.SIGKILL


def test_the_end_of_stdin_ends_it() -> None:
    """A child that heeds it ends by itself, with code 0."""
    with Child(["-c", HEEDS_STDIN]) as child:
        child.end_input()
        assert child.wait(20) == 0


def test_its_own_children_are_ended_with_it() -> None:
    """The whole session is killed."""
    inner = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {SLEEPS!r}]); "
    with Child(["-c", f"{inner} print(p.pid, flush=True); p.wait()"]) as child:
        lines = child.lines_within(20)
        pid = next(int(line) for line in lines if line != "here")
    assert is_gone(pid)


def test_none_is_orphaned_when_we_are_killed() -> None:
    """After `kill -9` of the parent, a child that heeds its stdin is gone."""
    program = (
        "import time; from tasks.processes import Child; "
        f"child = Child(['-c', {HEEDS_STDIN!r}]); print(child.process.pid, flush=True); "
        "time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert is_gone(pid)


def test_modules_beside_the_user_are_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with a module of a library's name is the user's business."""
    (tmp_path / "safetensors.py").write_text("raise SystemExit(77)")
    monkeypatch.chdir(tmp_path)
    with Child(["-m", "safetensors"]) as child:
        assert child.wait(60) != 77
    with Child(["-c", "import safetensors"]) as child:
        assert child.wait(60) == 0


def test_codes_and_words_are_told_as_people_say_them() -> None:
    """A library's launcher repeats its children's errors under names of its own."""
    assert describe_code(-9) == "signal SIGKILL, most often because memory ran out"
    assert describe_code(-200) == "signal 200"
    lines = ["ValueError: rows are short", "torch.ChildFailedError: ", "Root cause", ""]
    assert last_words(lines) == "rows are short"
    assert last_words([]) == "it said nothing."


def test_what_lies_in_the_working_folder_is_no_code_for_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `uvicorn.py`, or a `flows/` of the user's own, stays what it is: files beside a config."""
    for name in ("uvicorn", "accelerate", "flows"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this is not ours to run')")
    monkeypatch.chdir(tmp_path)
    with Child(["-m", "this"], {"PYTHONPATH": ""}) as child:
        assert child.wait() == 0
    with Child(["-c", "import uvicorn, accelerate"]) as child:
        assert child.wait() == 0, child.last_words()
