"""Where a server is looked for, where it listens, and who is let in: without starting one."""

import json
from pathlib import Path

import pytest
from command import Command

from flows.commands.serve import _password
from flows.serving.children import Place, free_port
from tasks.engine.lease import machine, this_process
from tasks.errors import UserError

AUTH = "PREFECT_SERVER_API_AUTH_STRING"


@pytest.mark.parametrize("earlier", ["boot", "container"])
def test_the_address_of_before_a_restart_is_nobodys(tmp_path: Path, earlier: str) -> None:
    """A machine whose power was cut serves again, and its commands find no server meanwhile."""
    host, boot, spaces = machine().split(" ")
    told = f"{host} earlier {spaces}" if earlier == "boot" else f"3f2a {boot} pid:[1]"
    content = {"api": "http://127.0.0.1:9/api", "process": {**this_process(), "machine": told}}
    (tmp_path / "roberta-serve.json").write_text(json.dumps(content))
    done = Command(tmp_path, tmp_path)("runs", "--json")
    assert (done.code, done.json) == (0, {"runs": []}), done.err


@pytest.mark.parametrize("said", [None, ""])
def test_an_empty_password_is_none(monkeypatch: pytest.MonkeyPatch, said: str | None) -> None:
    """Of a variable that a compose file passes on unset, Prefect makes a server without one."""
    if said is None:
        monkeypatch.delenv(AUTH, raising=False)
    else:
        monkeypatch.setenv(AUTH, said)
    with pytest.raises(UserError, match="others could start runs"):
        _password(False, Place("0.0.0.0", 1))
    assert _password(False, Place("127.0.0.1", 1)) is None


def test_addresses_of_both_families_are_listened_on() -> None:
    """What listens on all of IPv6 is asked at its loopback."""
    assert Place("::", 7).api == "http://[::1]:7/api"
    assert Place("0.0.0.0", 7).api == "http://127.0.0.1:7/api"
    try:
        assert free_port("::1") > 0
    except OSError as problem:
        pytest.skip(f"no IPv6 here: {problem}")
