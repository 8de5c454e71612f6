"""A server with a password, and one that others would like to use: nobody gets in."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command import Command
from letters import letters
from served import Served, served

PASSWORD = "operator:planted-secret-7"


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`roberta serve --auth`."""
    folder = tmp_path_factory.mktemp("closed")
    letters(folder)
    variables = {"PREFECT_SERVER_API_AUTH_STRING": PASSWORD}
    command = Command(folder, tmp_path_factory.mktemp("closed-home"), variables=variables)
    basic = base64.b64encode(PASSWORD.encode()).decode()
    headers = {"Authorization": f"Basic {basic}"}
    with served(command, "letters.yaml", "--auth", headers=headers) as running:
        yield running


def stranger(closed: Served) -> Served:
    """Somebody without the password."""
    return replace(closed, headers={})


@pytest.mark.slow
def test_no_route_that_reads_or_acts_answers_without_the_password(closed: Served) -> None:
    """401 on every route of the API, and on our own pages; with the password they answer."""
    paths = json.loads(closed.request("/openapi.json")[1])["paths"]
    public = ("/health", "/ready", "/version")
    routes = [
        (method.upper(), f"/api{path.removeprefix('/api')}")
        for path, methods in paths.items()
        for method in methods
        if not path.endswith(public)
    ]
    assert len(routes) > 100
    outside = stranger(closed)
    ours = [("GET", f"/roberta/{path}") for path in ("metrics", "reports", "reports/x")]
    for method, path in [*routes, *ours]:
        filled = path.replace("{", "").replace("}", "")
        body: dict[str, Any] | None = None if method in ("GET", "DELETE") else {}
        status, _ = outside.request(filled, body, method)
        assert status in (401, 403), (method, path, status)
    assert closed.request("/roberta/metrics")[0] == 200
    assert closed.deployment("pretrain/letters")["name"] == "letters"


@pytest.mark.slow
def test_the_password_is_written_nowhere(closed: Served) -> None:
    """Not in the address file, the store, the records or what was printed; a run goes through."""
    run = closed.start("pretrain/letters", until="download")
    assert closed.wait(run)["state_type"] == "COMPLETED"
    secret = PASSWORD.partition(":")[2].encode()
    for folder in (closed.command.folder, closed.command.home):
        for path in folder.rglob("*"):
            assert not path.is_file() or secret not in path.read_bytes(), path
    assert secret.decode() not in "".join(closed.said)


@pytest.mark.slow
def test_a_command_without_the_password_is_told_which_variable_to_set(closed: Served) -> None:
    """And with it finds the server by itself."""
    done = closed.command("runs")
    assert done.code == 2
    assert "PREFECT_API_AUTH_STRING" in done.err
    known = Command(
        closed.command.folder,
        closed.command.home,
        variables={"PREFECT_API_AUTH_STRING": PASSWORD},
    )
    assert known("runs", "--json").code == 0


def test_others_are_let_in_only_with_a_password(tmp_path: Path) -> None:
    """Listening on all interfaces without one is refused; so is half of one."""
    command = Command(tmp_path, tmp_path / "home")
    done = command("serve", "--host", "0.0.0.0")
    assert done.code == 2
    assert "PREFECT_SERVER_API_AUTH_STRING" in done.err
    half = Command(tmp_path, tmp_path, variables={"PREFECT_SERVER_API_AUTH_STRING": "operator"})
    done = half("serve", "--host", "0.0.0.0", "--auth")
    assert done.code == 2
    assert "user:password" in done.err
