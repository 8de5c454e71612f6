"""Where `roberta serve` serves, written down for the other commands of the same user."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from tasks.engine.files import write_whole
from tasks.engine.lease import is_gone, machine, this_process
from tasks.errors import UserError

_FILE = "roberta-serve.json"


def _file() -> Path:
    from prefect.settings import get_current_settings

    return Path(get_current_settings().home) / _FILE


def write_address(api: str, *, asks_password: bool) -> None:
    """Say that this process serves the API at this address. It holds no secret."""
    content = {"api": api, "asks_password": asks_password, "process": this_process()}
    write_whole(_file(), (json.dumps(content) + "\n").encode(), flush=False)


def forget_address() -> None:
    """Serve no longer, if it was this process that did."""
    found = _read()
    if found is not None and found["process"] == this_process():
        _file().unlink(missing_ok=True)


def _read() -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        found = json.loads(_file().read_text(encoding="utf-8"))
        if isinstance(found, dict) and "api" in found and isinstance(found.get("process"), dict):
            return found
    return None


def served() -> dict[str, Any] | None:
    """What a `roberta serve` of this user has written that still runs, or None."""
    found = _read()
    if found is None or found["process"].get("machine") != machine():
        # Before a restart of this machine, in a container that is gone, or on a host with the
        # same home: none of them serves here.
        return None
    return None if is_gone(found["process"]) else found


def use_served_api() -> str | None:
    """Make the API of a running `roberta serve` this process's, where none is configured.

    Raises:
        UserError: it asks for a password that is not there.
    """
    from prefect.context import refresh_global_settings_context
    from prefect.settings import get_current_settings

    configured = get_current_settings().api.url
    if configured is not None:
        return str(configured)
    found = served()
    if found is None:
        return None
    if found.get("asks_password") and get_current_settings().api.auth_string is None:
        raise UserError(
            f"the server at {found['api']} asks for a password. Set PREFECT_API_AUTH_STRING to the "
            "user:password that it was started with."
        )
    os.environ["PREFECT_API_URL"] = found["api"]
    refresh_global_settings_context()
    return str(found["api"])
