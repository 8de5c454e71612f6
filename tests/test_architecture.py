"""The rules of the house, read from the source with `ast`."""

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.stages import KNOWN_STAGES, get_stage, stage_folder

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("roberta_model", "tasks", "flows")
MODEL_MAY_IMPORT = {"torch", "numpy", "pyarrow", "safetensors", "accelerate", "roberta_model"}
# Whoever uses a model has text, what trains one has rows of ids: here alone a tokenizer is known.
USING_A_MODEL = ROOT / "roberta_model" / "inference"
LONGEST_FILE_LINES = {"tests": 350}  # 300 elsewhere
LONGEST_FUNCTION_LINES = 60


def sources(*packages: str) -> list[Path]:
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def imports(path: Path) -> Iterator[str]:
    """Every module imported anywhere in a file, by its full name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports hide the direction of the house"
            yield node.module or ""


def top(module: str) -> str:
    return module.split(".")[0]


@pytest.mark.parametrize("path", sources("roberta_model"), ids=str)
def test_the_model_package_needs_only_the_model_libraries(path: Path) -> None:
    """A training process on a GPU node imports neither Prefect nor our stages."""
    is_use = path.is_relative_to(USING_A_MODEL)
    allowed = MODEL_MAY_IMPORT | ({"tokenizers"} if is_use else set())
    for module in imports(path):
        name = top(module)
        assert name in allowed or name in sys.stdlib_module_names, f"{path}: {module}"
        # `load`, the way in, asks for it when it is called.
        is_way_in = path == ROOT / "roberta_model" / "__init__.py"
        if not is_use and not is_way_in:
            assert not module.startswith("roberta_model.inference"), f"{path}: {module}"


@pytest.mark.parametrize("path", sources("tasks"), ids=str)
def test_stages_know_neither_flows_nor_prefect(path: Path) -> None:
    """Prefect is in one module of `tasks`; the data's logic does not depend on it."""
    for module in imports(path):
        assert top(module) != "flows", f"{path}: {module}"
        if path.name != "prefect_task.py":
            assert top(module) != "prefect", f"{path}: {module}"


@pytest.mark.parametrize("path", sources("tasks/stages"), ids=str)
def test_stages_meet_only_through_artifacts(path: Path) -> None:
    """No stage imports another."""
    for module in imports(path):
        assert not module.startswith("tasks.stages."), f"{path}: {module}"


@pytest.mark.parametrize("path", sources("tasks/engine"), ids=str)
def test_the_engine_knows_nothing_of_text(path: Path) -> None:
    """The engine imports nothing of ours but itself, the config and the errors."""
    for module in imports(path):
        if top(module) in PACKAGES:
            assert module.startswith(("tasks.engine", "tasks.config", "tasks.errors")), module


@pytest.mark.parametrize("path", sources("flows", "tasks"), ids=str)
def test_no_module_shadows_a_library(path: Path) -> None:
    """A flow loaded by path puts its folder first on sys.path; a shadow would break imports."""
    if path.parent.name in ("flows", "tasks", "stages") and path.stem != "__init__":
        name = path.stem
        assert name not in sys.stdlib_module_names
        assert name not in {"evaluate", "datasets", "tokenizers", "accelerate", "prefect"}
        found = importlib.util.find_spec(name)
        # A folder of data that happens to have the name (a namespace package) shadows nothing.
        assert found is None or found.origin is None, f"{path} would shadow {found}"


@pytest.mark.parametrize("path", sources(*PACKAGES, "tests"), ids=str)
def test_files_and_functions_stay_short(path: Path) -> None:
    """Files of at most 300 lines (350 in tests), functions of at most 60."""
    text = path.read_text(encoding="utf-8")
    package = path.relative_to(ROOT).parts[0]
    assert text.count("\n") <= LONGEST_FILE_LINES.get(package, 300), path
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= LONGEST_FUNCTION_LINES, f"{path}: {node.name} has {lines} lines"


@pytest.mark.parametrize("path", sources(*PACKAGES), ids=str)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    """A module docstring, everywhere."""
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_a_stage_keeps_the_number_that_its_artifacts_lie_under() -> None:
    """The table and the stage say the same, and no two stages share a number."""
    folders = {name: stage_folder(name) for name in KNOWN_STAGES}
    assert folders == {name: get_stage(name).folder for name in KNOWN_STAGES}
    assert len({folder.split("-")[0] for folder in folders.values()}) == len(folders)
