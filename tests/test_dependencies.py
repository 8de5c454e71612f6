"""What the code imports is what pyproject.toml declares, no more and no less."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("flows", "tasks", "roberta_model")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# The modules that may need an extra, which say so where it is missing.
NEED_AN_EXTRA = {
    "tasks/engine/dask_pool.py": "dask",
    "tasks/publishing/onnx_file.py": "onnx",
}
NOT_IMPORTED = {"sqlalchemy"}  # a range for Prefect's sake


def plain(requirement: str) -> str:
    """A distribution's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", requirement)[0]).lower()


DISTRIBUTIONS = packages_distributions()
DECLARED = {plain(requirement) for requirement in PROJECT["dependencies"]}


def third_party_imports(path: Path) -> Iterator[str]:
    """The top-level names that a module imports from outside, also inside its functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        for name in names:
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in PACKAGES:
                yield top


def undeclared(path: Path, declared: set[str]) -> list[str]:
    """Imports of which no distribution is declared; one that is not installed goes by its name."""
    return [
        name
        for name in third_party_imports(path)
        if not declared & {plain(each) for each in DISTRIBUTIONS.get(name, [name])}
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_import_is_declared(package: str) -> None:
    """What another package happens to bring today is not there tomorrow."""
    extras = PROJECT["optional-dependencies"]
    for path in sorted((ROOT / package).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        allowed = {plain(each) for each in extras.get(NEED_AN_EXTRA.get(name, ""), [])}
        missing = undeclared(path, DECLARED | allowed)
        assert not missing, f"{name}: declare {missing} in pyproject.toml, then `make lock`"


def test_every_dependency_is_imported() -> None:
    """Nobody installs what nothing uses."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    names = {name for path in paths for name in third_party_imports(path)}
    used = {plain(each) for name in names for each in DISTRIBUTIONS.get(name, [name])}
    assert DECLARED - used == NOT_IMPORTED


def test_an_undeclared_import_is_found(tmp_path: Path) -> None:
    """At the top or in a function, by the distribution's name and not the module's."""
    module = tmp_path / "module.py"
    module.write_text("import os, yaml\ndef late():\n    from not_there.at_all import thing\n")
    assert undeclared(module, {"pyyaml"}) == ["not_there"]
    assert undeclared(module, {"not-there"}) == ["yaml"]


@pytest.mark.parametrize("package", PACKAGES)
def test_types_are_for_others_too(package: str) -> None:
    """The marker by which type checkers read an installed package's annotations (PEP 561)."""
    assert (ROOT / package / "py.typed").is_file()
