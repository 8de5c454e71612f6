"""What a run may touch, by who has started it."""

from pathlib import Path
from typing import Any

import pytest

from flows.running import check_allowed
from tasks.config import Config
from tasks.config.places import ROOTS
from tasks.errors import UserError


def config(folder: Path) -> Config:
    source: dict[str, Any] = {"type": "files", "paths": [str(folder / "a.txt")]}
    return Config.model_validate({"corpus": [source], "store": str(folder / "store")})


def test_a_deployed_run_touches_nothing_where_nobody_has_said_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was started by hand, without the variable; a person's own run may go on."""
    monkeypatch.delenv(ROOTS, raising=False)
    check_allowed(config(tmp_path))
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "of-a-form")
    with pytest.raises(UserError, match=rf"does not know what its runs may touch.* {ROOTS}"):
        check_allowed(config(tmp_path))
    monkeypatch.setenv(ROOTS, str(tmp_path))
    check_allowed(config(tmp_path))
    monkeypatch.setenv(ROOTS, str(tmp_path / "elsewhere"))
    with pytest.raises(UserError, match="lies outside"):
        check_allowed(config(tmp_path))
