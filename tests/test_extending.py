"""`docs/extending.md` is true: its blocks, applied to a copy of the repository, do what it says."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
GUIDE = ROOT / "docs" / "extending.md"
CHECKS = ROOT / "tests" / "extending"
PARTS = ("format", "source", "filter", "stage", "optimiser", "head")
MOST_FILES = 3
SLOW = pytest.mark.slow

_BLOCK = re.compile(r"^```(python|diff)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks_of(part: str) -> list[tuple[str, str, str]]:
    """(language, path, text) of the blocks below a part's heading."""
    found = re.search(rf"^## An? {part}$(.*?)(?=^## |\Z)", GUIDE.read_text(), re.M | re.S)
    assert found is not None, f"{GUIDE.name} has no section on a {part}"
    return [(match[1], match[2], match[3]) for match in _BLOCK.finditer(found[1])]


def changed(text: str, diff: str, path: str) -> str:
    """A text with the hunks of a diff applied, each to the one place that it fits."""
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if not line.startswith("+"))
        new = "".join(line[1:] for line in lines if not line.startswith("-"))
        assert text.count(old) == 1, f"{path} holds this {text.count(old)} times, not once:\n{old}"
        text = text.replace(old, new)
    return text


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages as they are here, to be changed."""
    for package in ("roberta_model", "tasks", "flows", "deployments"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    return tmp_path


def apply(part: str, copy: Path) -> list[str]:
    """Do what the guide says; returns the paths that were touched."""
    blocks = blocks_of(part)
    for language, path, text in blocks:
        place = copy / path
        assert place.exists() == (language == "diff"), f"{path} is {language}"
        place.write_text(changed(place.read_text(), text, path) if language == "diff" else text)
    return [path for _, path, _ in blocks]


def check(part: str, copy: Path) -> subprocess.CompletedProcess[str]:
    """Run a part's script with the copy's packages, in an empty folder."""
    folder = Path(tempfile.mkdtemp(dir=copy))
    paths = f"{copy}{os.pathsep}{ROOT / 'tests' / 'support'}"
    return subprocess.run(
        [sys.executable, "-W", "error", str(CHECKS / f"{part}.py")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )


def or_slow(part: str) -> Any:
    """Half of the parts are tried every time, the others with the slow tests."""
    return part if part in ("format", "filter", "stage") else pytest.param(part, marks=SLOW)


@pytest.mark.parametrize("part", [or_slow(part) for part in PARTS])
def test_a_part_is_added_as_the_guide_says(part: str, copy: Path) -> None:
    """At most three files, tidy ones, and then it works; without them it does not."""
    assert check(part, copy).returncode != 0, "the script would pass without the part"
    touched = apply(part, copy)
    assert len(set(touched)) == len(touched) <= MOST_FILES
    tidy = [sys.executable, "-m", "ruff"]
    for command in (["check", "-q"], ["format", "-q", "--check"]):
        settings = ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
        lint = subprocess.run([*tidy, *command, *settings, *touched], cwd=copy, capture_output=True)
        assert lint.returncode == 0, lint.stdout.decode() + lint.stderr.decode()
    done = check(part, copy)
    assert done.returncode == 0, done.stderr


def test_every_script_belongs_to_a_part() -> None:
    """Nothing lies there that nobody runs."""
    assert {path.stem for path in CHECKS.glob("*.py")} == set(PARTS)
