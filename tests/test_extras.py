"""What `make setup EXTRAS=…` installs is what pyproject.toml calls by that name."""

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


def load() -> Any:
    """The script that writes the lock files."""
    path = ROOT / "deployments" / "lock_extras.py"
    spec = importlib.util.spec_from_file_location("lock_extras", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lock_extras = load()


@pytest.mark.parametrize("extra", lock_extras.EXTRAS)
def test_each_extra_has_a_lock_file_that_goes_with_the_main_one(extra: str) -> None:
    """Each package it names is pinned, and none that the default set-up pins otherwise."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = lock_extras.pins(ROOT / "deployments" / "requirements.lock")
    pins = lock_extras.pins(ROOT / "deployments" / f"requirements-{extra}.lock")
    for requirement in project["optional-dependencies"][extra]:
        name = lock_extras.plain(re.split(r"[\[<>=]", requirement)[0])
        assert name in pins
    assert not set(pins) & set(locked)


def test_extras_that_meet_agree() -> None:
    """Any of them can be installed beside any other."""
    seen: dict[str, str] = {}
    for extra in lock_extras.EXTRAS:
        for name, version in lock_extras.pins(
            ROOT / "deployments" / f"requirements-{extra}.lock"
        ).items():
            assert seen.setdefault(name, version) == version


def test_ci_installs_every_extra() -> None:
    """Else the tests of real servers would skip there for ever."""
    (line,) = re.findall(r"^export EXTRAS=(\S+)$", (ROOT / ".ci" / "run").read_text(), re.M)
    assert line.split(",") == list(lock_extras.EXTRAS)
