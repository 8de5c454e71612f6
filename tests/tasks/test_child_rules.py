"""Children, rule by rule: their session and variables, what is kept of them, what they mean."""

import signal

import pytest

from tasks.processes import Child, ChildSilentError, describe_code, last_words


def test_a_child_has_a_session_and_variables_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C reaches only us; what it is given wins over what we have."""
    monkeypatch.setenv("OURS", "kept")
    monkeypatch.setenv("GIVEN", "ours")
    code = (
        "import os; print(os.getsid(0) == os.getpid(), os.environ['OURS'], os.environ['GIVEN'], "
        "os.environ['PYTHONSAFEPATH'])"
    )
    with Child(["-c", code], {"GIVEN": "its"}) as child:
        assert list(child.lines()) == ["True kept its 1"]


def test_of_what_a_child_says_the_last_lines_are_kept() -> None:
    code = "import sys; [print(n, file=sys.stderr) for n in range(300)]"
    with Child(["-c", code]) as child:
        assert child.wait() == 0
    assert list(child.last_lines) == [str(n) for n in range(100, 300)]


def test_the_end_of_the_output_is_no_silence() -> None:
    with Child(["-c", "print('one')"]) as child:
        assert child.next_line(20) == "one"
        assert child.next_line(20) is None
        with pytest.raises(ChildSilentError, match="no line in"):
            child.next_line(-1)


def test_a_child_is_gone_when_its_block_ends() -> None:
    with Child(["-c", "import time; time.sleep(600)"]) as child:
        assert child.process.poll() is None
    assert child.process.returncode == -signal.SIGKILL
    child.signal(signal.SIGTERM)
    child.end_input()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (0, "exit code 0"),
        (1, "exit code 1"),
        (-9, "signal SIGKILL, most often because memory ran out"),
        (-15, "signal SIGTERM"),
        (-11, "signal SIGSEGV"),
        (-99, "signal 99"),
    ],
)
def test_a_code_is_told_in_words(code: int, told: str) -> None:
    assert describe_code(code) == told


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["KeyError: first", "OSError: last"], "OSError: last"),
        (["a.b.SomeException: why", "more"], "a.b.SomeException: why"),
        (["x.ValueError: why"], "why"),
        (["ValueError: why", "subprocess.CalledProcessError: returned 1"], "why"),
        (["Error here: no", "note: yes", "  "], "note: yes"),
        (["OSError: full", "RuntimeError: [gloo/transport/tcp/pair.cc:553] gone"], "OSError: full"),
        (
            ["DistBackendError: remote process exited", "x"],
            "DistBackendError: remote process exited",
        ),
        (["ValueError", " last "], "last"),
        (["", "  "], "it said nothing."),
    ],
)
def test_the_last_error_tells_what_went_wrong_not_a_launchers_echo(
    lines: list[str], told: str
) -> None:
    """Of several processes it is the first that fell: what the others say of it comes later."""
    assert last_words(lines) == told
