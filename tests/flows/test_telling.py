"""What the Prefect server is told on the side: shown when it is there, never waited for."""

import contextlib
import socket
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from command import ask, free_port
from planted import PLANTED
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import artifacts
from flows.plain_markdown import plain
from flows.telling import Shown, Teller
from flows.watching import artifact_name


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections and never says a word, like a server that hangs."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/api"


@contextlib.contextmanager
def absent_server() -> Iterator[str]:
    """Nobody listens there."""
    yield f"http://127.0.0.1:{free_port()}/api"


@pytest.mark.parametrize("server", [absent_server, silent_server])
def test_a_server_that_is_gone_holds_up_nothing(
    server: "contextlib.AbstractContextManager[str]",
) -> None:
    """Ten thousand updates cost no time, and what was not heard is known by name."""
    with server() as api, temporary_settings({PREFECT_API_URL: api}):  # type: ignore[operator]
        teller = Teller(uuid4(), close_seconds=2)
        start = time.monotonic()
        with teller:
            for number in range(10_000):
                teller.show(f"tiny-{number % 3}", Shown("markdown", str(number), "told"))
            told = time.monotonic() - start
        ended = time.monotonic() - start
    assert told < 2
    assert ended < told + 4
    assert teller.missed() == ["tiny-0", "tiny-1", "tiny-2"]


def test_the_queue_is_bounded() -> None:
    """Something that makes up ever new names fills no memory."""
    with absent_server() as api, temporary_settings({PREFECT_API_URL: api}):
        with Teller(uuid4(), close_seconds=0.5) as teller:
            for number in range(1000):
                teller.show(f"tiny-{number}", Shown("markdown", "", ""))
            assert len(teller._waiting) <= 200
        assert len(teller.missed()) == 1000


def test_a_server_that_comes_back_hears_the_newest_of_everything(api: str) -> None:
    """After a rest; what was overwritten meanwhile is not told any more."""
    run = uuid4()
    calls: list[str] = []

    def cut(_: object) -> None:
        calls.append("cut")
        raise OSError("the line is cut")

    def break_down() -> str:
        raise KeyError("a page of ours")

    with temporary_settings({PREFECT_API_URL: api}), Teller(run, rest_seconds=0.5) as teller:
        teller.tell("tiny-back", cut)
        while not calls:
            time.sleep(0.01)
        for text in ("one", "two"):
            teller.show("tiny-back", Shown("markdown", lambda text=text: text, text))
        teller.show("tiny-broken", Shown("markdown", break_down, "told"))
        time.sleep(1)
        teller.show("tiny-back", Shown("markdown", "three", "three"))
        time.sleep(1)
        EventsWorker.drain_all(timeout=10)  # else it would be sent to a server that is gone
    assert teller.missed() == []
    found = ask(api, "artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [str(run)]}}})
    pages = {one["key"]: one["data"] for one in found}
    assert pages.pop("tiny-broken").startswith("This page could not be made")
    assert pages == {"tiny-back": "three"}
    assert (calls, len(found)) == (["cut"], 2)


@pytest.mark.parametrize("planted", PLANTED)
def test_foreign_text_is_no_markup(planted: str) -> None:
    """Every sign that means something has a backslash, and a line stays a line."""
    shown = plain(planted)
    assert "\n" not in shown
    assert shown.isprintable()
    marks = "<>[]()`*_|!:.@#~&\\"
    for place, character in enumerate(shown):
        if character in marks and character != "\\":
            assert shown[place - 1] == "\\", shown
    readable = shown.replace("\\", "")
    assert readable.split() == "".join(c if c.isprintable() else " " for c in planted).split()
    assert len(plain(planted * 1000, longest=50).replace("\\", "")) == 50


def test_names_become_keys() -> None:
    """Prefect allows lower-case letters, digits and dashes."""
    assert artifact_name("Team_A's letters, 2024") == "team-a-s-letters-2024"
    assert artifact_name("письма") == "pipeline"


def test_scores_stand_beside_those_of_the_model_before() -> None:
    """Better or worse is seen without another page."""

    def summary(accuracy: float) -> dict[str, object]:
        part = {"loss": 3.0, "perplexity": 20.0 * accuracy, "accuracy": accuracy}
        return {"held_out": {**part, "by_kind": {"mask": part}}, "blimp": None}

    page = artifacts.scores_page(summary(0.5), summary(0.4))
    assert "| held\\-out accuracy | 50.0% | 40.0% | +10.0 points |" in page
    assert "| held\\-out perplexity | 10.00 | 8.00 | +2.00 |" in page
    first = artifacts.scores_page(summary(0.5), None)
    assert "No model of this name was published before." in first
