"""How a run's end is told, and what the server is known to have missed."""

import contextlib
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import ending
from flows.cli import Terminated
from flows.ending import Ended, note_missed, run_to_end

RECORD = {"state": "done"}


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A server that does not answer; the list tells how often it was asked, and of cuts."""
    told: list[Any] = []

    def answers(tries: int) -> bool:
        told.append(tries)
        return False

    monkeypatch.setattr(ending, "_server_answers", answers)
    monkeypatch.setattr(ending, "_cut_off", lambda: told.append("cut"))
    monkeypatch.setattr(ending, "_abandon_senders", lambda: told.append("abandoned"))
    return told


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        (Ended(), None),
        (Ended(missed=["a"]), None),
        (Ended(RECORD, is_heard=True), None),
        (Ended(RECORD), "does not answer; it missed that this run is done. "),
        (Ended({"state": "failed"}), "does not answer; it missed that this run is failed. "),
        (Ended(RECORD, missed=["a"]), "it missed that this run is done and 1 artifact. "),
        (
            Ended(RECORD, missed=["a", "b"], is_heard=True),
            "has not taken everything; it missed 2 artifacts. ",
        ),
    ],
)
def test_what_the_server_missed_is_told_and_nothing_where_it_knows_all(
    ended: Ended, told: str | None
) -> None:
    with temporary_settings({PREFECT_API_URL: "http://here/api"}):
        found = ended.told_missing()
    if told is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith("the Prefect server at http://here/api ")
        assert found.endswith(f"{told}The store has everything.")


def flow(problem: BaseException | None, engine: Exception | None = None) -> Any:
    """A flow that ends so inside, after which Prefect's engine ends so."""

    def run(*given: Any, return_state: bool) -> Any:
        try:
            with ending.ending(RECORD):
                note_missed(["a-page"])
                if problem is not None:
                    raise problem
        except Exception:
            pass
        if engine is not None:
            raise engine
        return SimpleNamespace(result=lambda **_: "never asked")

    return run


def test_a_run_that_ended_well_is_heard_and_what_was_missed_is_noted() -> None:
    ended = run_to_end(flow(None))
    assert (ended.record, ended.problem, ended.missed, ended.is_heard) == (
        RECORD,
        None,
        ["a-page"],
        True,
    )


def test_what_ended_a_run_counts_whatever_becomes_of_the_server(asked: list[Any]) -> None:
    """The silence of the server is no failure of the run, which has its record."""
    problem = ValueError("the stage's own")
    ended = run_to_end(flow(problem, engine=OSError("no server")))
    assert ended.problem is problem
    assert ended.is_heard is False
    assert asked == [2, "cut", "abandoned"]
    well = run_to_end(flow(None, engine=OSError("no server")))
    assert (well.problem, well.record) == (None, RECORD)


def test_a_run_that_never_began_raises_what_hindered_it(asked: list[Any]) -> None:
    def hindered(**_: Any) -> None:
        raise OSError("no server")

    with pytest.raises(OSError, match="no server"):
        run_to_end(hindered)
    problem = ValueError("a parameter")
    refused = SimpleNamespace(result=lambda raise_on_failure: problem)
    assert run_to_end(lambda **_: refused).problem is problem
    assert asked == []


def test_an_interruption_goes_on_and_the_server_is_asked_once(asked: list[Any]) -> None:
    """Whoever interrupts a run is waiting."""

    def interrupted(**_: Any) -> Any:
        try:
            with ending.ending(RECORD):
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            return SimpleNamespace(result=lambda **_: None)

    with pytest.raises(KeyboardInterrupt):
        run_to_end(interrupted)
    assert asked == [1, "cut"]


@pytest.mark.parametrize("problem", [KeyboardInterrupt, Terminated, ValueError])
def test_to_a_server_that_answers_only_ctrl_c_is_a_cancel(
    problem: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect would call it a crash; a run that SIGTERM or an error ends is told as ever."""
    called: list[str] = []
    monkeypatch.setattr(ending, "_server_answers", lambda _: True)
    monkeypatch.setattr(ending, "_call_cancelled", lambda: called.append("cancelled"))
    with pytest.raises(problem), ending.ending(RECORD):
        raise problem
    assert called == [], "a worker's run is the server's to end"

    def ended(**_: Any) -> Any:
        with contextlib.suppress(problem), ending.ending(RECORD):
            raise problem
        return SimpleNamespace(result=lambda **_: None)

    with contextlib.suppress(KeyboardInterrupt):
        run_to_end(ended)
    assert called == ["cancelled"] * (problem is KeyboardInterrupt)


def test_a_server_that_answers_is_not_cut_off(
    monkeypatch: pytest.MonkeyPatch, asked: list[Any]
) -> None:
    monkeypatch.setattr(ending, "_server_answers", lambda _: True)
    run_to_end(flow(None))
    assert asked == []


def test_nothing_is_left_of_a_run_when_it_has_ended(
    monkeypatch: pytest.MonkeyPatch, asked: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither what it notes, nor that errors of loggers are silent."""
    monkeypatch.setattr(logging, "raiseExceptions", True)
    seen: list[bool] = []

    def look(**_: Any) -> Any:
        seen.append(logging.raiseExceptions)
        return SimpleNamespace(result=lambda **_: None)

    run_to_end(look)
    assert (seen, logging.raiseExceptions) == ([False], True)
    assert ending._ENDED.get() is None
    note_missed([])
    assert caplog.text == ""
    note_missed(["a", "b"])
    assert "the Prefect server has not heard of: a, b" in caplog.text
    with ending.ending(RECORD):
        pass
    assert asked == [], "without a command nobody waits for the server"
