"""Retries: what is tried again, how often, after how long, and what is told when it is over."""

import errno
import os
import random
import time
from typing import Any

import pytest

from tasks.engine import retrying
from tasks.engine.retrying import is_refused, may_pass, server_code, told, with_retries
from tasks.errors import StageError, TransientError, UserError


def of_server(code: str, kind: type[Exception] = OSError) -> Exception:
    """As botocore's errors, and those that s3fs makes of them, tell it."""
    problem = kind(code)
    problem.response = {"Error": {"Code": code}}  # type: ignore[attr-defined]
    return problem


def named(name: str) -> Exception:
    """An error of a package that need not be here."""
    return type(name, (Exception,), {})("x")  # type: ignore[no-any-return]


def numbered(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    "problem",
    [
        OSError("SlowDown"),
        of_server("SlowDown"),
        ConnectionError("cut"),
        TimeoutError("late"),
        numbered(errno.EIO),
        numbered(errno.ECONNRESET),
        RuntimeError("odd"),
        *(of_server(code, ValueError) for code in ("IncompleteBody", "BadDigest")),
        *(of_server(code) for code in ("RequestTimeout", "XAmzContentSHA256Mismatch")),
        of_server("BadDigest", PermissionError),
    ],
    ids=repr,
)
def test_this_may_pass(problem: Exception) -> None:
    assert may_pass(problem)


@pytest.mark.parametrize(
    "problem",
    [
        *(FileNotFoundError(), FileExistsError(), IsADirectoryError(), NotADirectoryError()),
        *(UserError("x"), StageError("x"), TransientError("x"), ValueError("x"), TypeError("x")),
        *(NotImplementedError(), ImportError(), MemoryError(), PermissionError("x")),
        *(named("ParamValidationError"), named("InvalidRegionError"), named("ProfileNotFound")),
        *(named("NoCredentialsError"), named("PartialCredentialsError")),
        *(numbered(errno.EINVAL), numbered(errno.ENOSYS), numbered(errno.ENAMETOOLONG)),
        *(numbered(errno.EMSGSIZE), numbered(errno.ENOSPC), numbered(errno.EDQUOT)),
        *(numbered(errno.EROFS), numbered(errno.EPERM)),
    ],
    ids=repr,
)
def test_this_will_not_pass(problem: Exception) -> None:
    assert not may_pass(problem)


def test_who_is_refused_needs_other_credentials() -> None:
    names = ("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError")
    assert all(is_refused(named(name)) for name in names)
    assert is_refused(PermissionError("403"))
    assert not is_refused(OSError("x"))
    assert not is_refused(named("ProfileNotFound"))


def test_a_servers_word_is_found_in_the_error_or_its_cause() -> None:
    assert server_code(of_server("SlowDown")) == "SlowDown"
    outer = OSError("x")
    outer.__cause__ = of_server("BadDigest")
    assert server_code(outer) == "BadDigest"
    assert server_code(OSError("x")) == ""


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that are asked for, none of which is taken."""
    asked: list[float] = []
    monkeypatch.setattr(time, "sleep", asked.append)
    return asked


def test_what_passes_is_tried_until_it_does(pauses: list[float]) -> None:
    tries: list[int] = []

    def action() -> str:
        tries.append(1)
        if len(tries) < 10:
            raise ConnectionError("cut")
        return "done"

    assert with_retries("s3://b/k", action) == "done"
    assert len(tries) == 10
    assert len(pauses) == 9


def test_after_ten_tries_it_is_told(pauses: list[float]) -> None:
    tries: list[int] = []

    def action() -> None:
        tries.append(1)
        raise ConnectionError("cut\n  off")

    with pytest.raises(
        TransientError, match=r"^s3://b/k: .* in 10 tries .*ConnectionError: cut off"
    ):
        with_retries("s3://b/k", action)
    assert len(tries) == 10
    assert len(pauses) == 9


@pytest.mark.parametrize(
    ("problem", "kind"),
    [(FileNotFoundError("x"), FileNotFoundError), (PermissionError("403"), UserError)],
)
def test_what_will_not_pass_is_told_at_once(
    pauses: list[float], problem: Exception, kind: type[Exception]
) -> None:
    tries: list[int] = []

    def action() -> None:
        tries.append(1)
        raise problem

    with pytest.raises(kind, match="x|s3://b/k may not be accessed: PermissionError: 403"):
        with_retries("s3://b/k", action)
    assert (len(tries), pauses) == (1, [])


def test_pauses_double_up_to_a_quarter_of_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    longest = [retrying._pause_seconds(number) for number in range(1, 10)]
    assert longest == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 15.0, 15.0])


def test_two_that_failed_together_do_not_come_back_together() -> None:
    drawn = {retrying._pause_seconds(3) for _ in range(50)}
    assert len(drawn) > 40
    assert all(0.4 <= pause <= 0.8 for pause in drawn)


@pytest.mark.parametrize(
    ("problem", "line"),
    [(OSError(" a\n b "), "OSError: a b"), (KeyError(), "KeyError"), (OSError(""), "OSError")],
)
def test_an_error_is_told_in_one_line(problem: Any, line: str) -> None:
    assert told(problem) == line
