"""What `make setup EXTRAS=…` installs is what pyproject.toml calls by that name."""

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def load() -> Any:
    """The script that writes the lock files."""
    path = ROOT / "deployments" / "lock.py"
    spec = importlib.util.spec_from_file_location("lock", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lock = load()
LOCKS = ["", *lock.extras()]


def pins(extra: str = "") -> dict[str, str]:
    """The entries of an extra's lock file, or of the main one."""
    found: dict[str, str] = lock.read_pins(lock.lock_file(extra).read_text())
    return found


def version(entry: str) -> str:
    """What an entry pins."""
    return str(lock.requirement(entry).specifier)


@pytest.mark.parametrize("extra", LOCKS)
def test_each_has_a_lock_file_that_satisfies_pyproject(extra: str) -> None:
    """Each package that pyproject.toml names is pinned within its range; torch elsewhere."""
    named = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    locked = pins() | pins(extra)
    for each in map(lock.Requirement, named):
        name = re.sub(r"[-_.]+", "-", each.name).lower()
        if name != "torch":
            (pin,) = lock.requirement(locked[name]).specifier
            assert each.specifier.contains(pin.version), f"{each}: `make lock`"


@pytest.mark.parametrize("extra", LOCKS)
def test_every_pin_has_hashes_and_an_environment(extra: str) -> None:
    """A file without hashes is refused by pip, and so is a package that was changed on its way."""
    for name, entry in pins(extra).items():
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), name
        assert lock.served(entry), name


@pytest.mark.parametrize("extra", lock.extras())
def test_an_extra_adds_to_the_main_lock(extra: str) -> None:
    """It pins nothing that the default set-up pins."""
    assert not set(pins(extra)) & set(pins())


def test_extras_that_meet_agree() -> None:
    """Any of them can be installed beside any other."""
    seen: dict[str, str] = {}
    for extra in lock.extras():
        for name, entry in pins(extra).items():
            assert seen.setdefault(name, version(entry)) == version(entry)


def test_who_only_runs_gets_no_tools() -> None:
    """What tests, linters and the lock need is in locks of its own."""
    tools = {
        re.split(r"[\[<>=]", each)[0].lower() for each in PROJECT["optional-dependencies"]["dev"]
    }
    assert tools <= set(pins("dev"))
    assert not (tools | {"uv"}) & set(pins())


def test_ci_installs_every_extra() -> None:
    """Else the tests of real servers would skip there for ever; tools come with make's targets."""
    (line,) = re.findall(r"^export EXTRAS=(\S+)$", (ROOT / ".ci" / "run").read_text(), re.M)
    assert line.split(",") == [each for each in lock.extras() if each not in ("dev", "dev-lock")]
