"""Where a server is and who may use it: the address file, environments, roots and passwords."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hand_made import GONE
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_SERVER_API_AUTH_STRING,
    temporary_settings,
)
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from flows.commands.serve import _absolute, _password
from flows.embedded_server import DEFAULTS, _set_back, check_home, set_defaults
from flows.serving import children
from flows.serving.address import forget_address, served, use_served_api, write_address
from flows.serving.callers import is_own
from flows.serving.children import Place, server_environment, start_server, start_worker
from flows.serving.pages import _linked, _refused, create_app
from tasks.engine.lease import this_process
from tasks.errors import StageError, UserError
from tasks.processes import ChildSilentError

AUTH = "PREFECT_SERVER_API_AUTH_STRING"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    settings = {PREFECT_HOME: tmp_path, PREFECT_API_URL: None, PREFECT_API_AUTH_STRING: None}
    with temporary_settings(settings):
        yield tmp_path


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """Variables are as they were, whatever a test sets."""
    with _set_back("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", AUTH):
        yield


def test_an_address_is_found_while_its_process_lives_and_forgotten_by_it_alone(home: Path) -> None:
    assert served() is None
    write_address("http://127.0.0.1:7/api", asks_password=True)
    told = {"api": "http://127.0.0.1:7/api", "asks_password": True, "process": this_process()}
    assert served() == told
    file = home / "roberta-serve.json"
    for process in (GONE, {**this_process(), "machine": "another"}, "text", None):
        file.write_text(json.dumps({**told, "process": process}))
        assert served() is None
        forget_address()
        assert file.exists(), "it is not ours"
    for content in ("{torn", "[]", json.dumps({"process": this_process()})):
        file.write_text(content)
        assert served() is None
    write_address("http://127.0.0.1:7/api", asks_password=False)
    forget_address()
    assert not file.exists()
    forget_address()


def test_a_running_server_is_used_unless_another_is_configured(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefect.context.refresh_global_settings_context", lambda: None)
    assert use_served_api() is None
    write_address("http://127.0.0.1:7/api", asks_password=False)
    assert use_served_api() == os.environ["PREFECT_API_URL"] == "http://127.0.0.1:7/api"
    with temporary_settings({PREFECT_API_URL: "http://other/api"}):
        assert use_served_api() == "http://other/api"
    write_address("http://127.0.0.1:8/api", asks_password=True)
    with pytest.raises(UserError, match=r"http://127\.0\.0\.1:8/api asks for a password"):
        use_served_api()
    with temporary_settings({PREFECT_API_AUTH_STRING: "a:b"}):
        assert use_served_api() == "http://127.0.0.1:8/api"


@pytest.mark.parametrize(
    ("host", "loopback", "origin"),
    [
        ("127.0.0.1", True, "http://127.0.0.1:7"),
        ("localhost", True, "http://127.0.0.1:7"),
        ("::1", True, "http://[::1]:7"),
        ("0.0.0.0", False, "http://127.0.0.1:7"),
        ("::", False, "http://[::1]:7"),
        ("192.168.1.2", False, "http://192.168.1.2:7"),
        ("127.0.0.1.example", False, "http://127.0.0.1.example:7"),
    ],
)
def test_only_loopback_is_out_of_others_reach(host: str, loopback: bool, origin: str) -> None:
    place = Place(host, 7)
    assert (place.is_loopback, place.origin, place.api) == (loopback, origin, f"{origin}/api")


@pytest.mark.parametrize(
    ("said", "auth", "host", "allowed"),
    [
        ("user:pass", True, "0.0.0.0", True),
        ("user:pass", False, "0.0.0.0", True),
        (None, False, "127.0.0.1", True),
        (None, True, "127.0.0.1", False),
        ("user", True, "127.0.0.1", False),
        (":pass", True, "127.0.0.1", False),
        ("user:", True, "127.0.0.1", False),
        (None, False, "::", False),
    ],
)
def test_a_password_has_a_user_and_is_needed_where_others_can_reach_it(
    monkeypatch: pytest.MonkeyPatch, said: str | None, auth: bool, host: str, allowed: bool
) -> None:
    monkeypatch.delenv(AUTH, raising=False)
    if said is not None:
        monkeypatch.setenv(AUTH, said)
    if allowed:
        assert _password(auth, Place(host, 1)) == said
    else:
        with pytest.raises(UserError, match="user:password"):
            _password(auth, Place(host, 1))


def test_a_server_is_closed_to_other_pages_and_has_what_it_was_given() -> None:
    bare = server_environment(Place("0.0.0.0", 7), None, None)
    assert bare == {
        "PREFECT_UI_API_URL": "/api",
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "http://127.0.0.1:7",
    }
    given = server_environment(Place("0.0.0.0", 7), "sqlite://x", "a:b")
    assert given == {
        **bare,
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": "sqlite://x",
        AUTH: "a:b",
    }


class Child:
    """As much of a child as is started: how, and what it says."""

    says: tuple[str, ...] = ("4200\n",)
    made: "list[Child]" = []

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self.arguments, self.environment, self.killed = arguments, environment, False
        Child.made.append(self)

    def lines_within(self, seconds: float) -> Iterator[str]:
        yield from self.says

    def lines(self) -> Iterator[str]:
        yield from ()

    def last_words(self) -> str:
        return "no port."

    def kill(self) -> None:
        self.killed = True


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Child]:
    monkeypatch.setattr(children, "Child", Child)
    Child.made, Child.says = [], ("4200\n",)
    return Child.made


def test_a_server_asks_no_other_server_and_is_killed_where_it_does_not_come_up(
    started: list[Child],
) -> None:
    start_server(Place("127.0.0.1", 7), {"A": "b"})
    assert started[0].arguments == ["-m", "flows.server_process", "127.0.0.1", "7"]
    assert started[0].environment == {"PREFECT_API_URL": "", "A": "b"}
    assert started[0].killed is False
    for says in ((), ("\n",)):
        Child.says = says
        with pytest.raises(StageError, match=r"did not start on 127\.0\.0\.1:7: no port\. "):
            start_server(Place("127.0.0.1", 7), {})
        assert Child.made[-1].killed is True


def test_a_worker_may_touch_its_roots_alone(started: list[Child]) -> None:
    start_worker("roberta", ["/a", "s3://b"])
    (worker,) = started
    assert worker.environment["ROBERTA_ROOTS"] == "/a\ns3://b"
    assert worker.arguments == [
        "-m", "flows.serving.worker_process", "roberta", f"serve-{os.getpid()}"
    ]  # fmt: skip


def test_a_root_is_absolute_and_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert _absolute("a/../b") == f"{tmp_path}/b"
    assert (_absolute("~/x"), _absolute("s3://a/b")) == ("/home/me/x", "s3://a/b")
    with pytest.raises(UserError, match="a line break cannot be handed on"):
        _absolute("/a\n/")


def test_a_child_that_does_not_end_by_itself_is_killed() -> None:
    done: list[Any] = []

    class Slow:
        process = SimpleNamespace(pid=7)

        def end_input(self) -> None:
            done.append("told")

        def wait(self, seconds: float) -> None:
            done.append(seconds)
            raise ChildSilentError

        def kill(self) -> None:
            done.append("killed")

    slow: Any = Slow()
    children.stop(slow, 3.0)
    assert done == ["told", 3.0, "killed"]
    assert children.WORKER_SECONDS > 25, "a trainer is given 25 s for its last checkpoint"


def test_what_the_user_has_set_of_prefect_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DEFAULTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DO_NOT_TRACK", "0")
    set_defaults()
    assert os.environ["DO_NOT_TRACK"] == "0"
    rest = {name: os.environ[name] for name in DEFAULTS if name != "DO_NOT_TRACK"}
    assert rest == {name: value for name, value in DEFAULTS.items() if name != "DO_NOT_TRACK"}
    assert DEFAULTS["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    interval = "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL"
    assert DEFAULTS[interval].isdecimal(), "Prefect cuts a fraction to 0"


def test_variables_are_set_back_to_what_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAS", "old")
    monkeypatch.delenv("WAS_NOT", raising=False)

    def fail() -> None:
        os.environ["WAS"] = os.environ["WAS_NOT"] = "new"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), _set_back("WAS", "WAS_NOT"):
        fail()
    assert (os.environ["WAS"], "WAS_NOT" in os.environ) == ("old", False)


def test_a_home_of_prefects_is_made_for_the_user_alone(tmp_path: Path) -> None:
    with temporary_settings({PREFECT_HOME: tmp_path / "new"}):
        check_home()
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "new").iterdir()) == []


def headers(**given: str) -> Headers:
    return Headers(given)


def test_a_page_of_this_machine_says_the_very_origin_it_asks() -> None:
    """Another port, or another of its names, is another site to a browser."""
    assert is_own(headers(host="localhost:7"))
    assert is_own(headers(host="localhost:7", origin="http://localhost:7"))
    assert not is_own(headers(host="localhost:7", origin="http://127.0.0.1:7"))
    assert not is_own(headers(host="localhost:7", origin="http://localhost:8"))
    assert not is_own(headers(host="localhost:7", origin="null"))
    assert not is_own(headers())


def test_a_page_links_to_its_runs_manifests_and_no_model() -> None:
    page = '<a href="../../x">a</a><a href="../../y">b</a><a href="model/">model/</a>'
    shown = '<a href="r/x">a</a><a href="r/y">b</a><code>model/</code>'
    assert _linked(page, "r/") == shown
    assert _linked('<a href="../../x">', "") == '<a href="x">'


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ("Basic YTpi", False),
        ("basic YTpi", False),
        ("Bearer YTpi", True),
        ("YTpi", True),
        ("Basic YTpiYw==", True),
        ("Basic YQ==", True),
        ("Basic !", True),
        ("Basic", True),
        ("", True),
    ],
)
def test_the_very_password_is_asked_for(given: str, refused: bool) -> None:
    request: Any = SimpleNamespace(headers={"Authorization": given})
    with temporary_settings({PREFECT_SERVER_API_AUTH_STRING: "a:b"}):
        answer = _refused(request)
    assert (answer is not None) is refused
    if answer is not None:
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Basic")
    with temporary_settings({PREFECT_SERVER_API_AUTH_STRING: None}):
        assert _refused(request) is None


@pytest.mark.parametrize("password", [None, "a:b"])
def test_without_a_password_only_this_machines_pages_are_answered(
    home: Path, monkeypatch: pytest.MonkeyPatch, password: str | None
) -> None:
    from fastapi import FastAPI

    server = SimpleNamespace(create_app=FastAPI)
    monkeypatch.setitem(sys.modules, "prefect.server.api.server", server)
    with temporary_settings({PREFECT_SERVER_API_AUTH_STRING: password}):
        app = create_app()
        assert app.own_only is (password is None)
        answer = TestClient(app).get("/roberta/metrics", headers={"Host": "evil.example"})
        assert answer.status_code == (403 if password is None else 401)
