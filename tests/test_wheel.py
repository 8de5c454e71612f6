"""The wheel: what is in it, and that it works where there is no repository.

It is built from a copy, so that nothing an earlier build has left is in it.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tiny_pipeline import write_config

ROOT = Path(__file__).resolve().parents[1]
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "flows", "tasks", "roberta_model")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built without a network."""
    source = tmp_path_factory.mktemp("source")
    for name in (*BUILT_FROM, "deployments"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("*.pyc"))
        else:
            shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(source / "dist"), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = (source / "dist").glob("*.whl")
    return built


def test_the_wheel_holds_all_that_the_code_reads_and_nothing_else(wheel: Path) -> None:
    """Every module, template, preset and type marker; no tests, locks or scripts."""
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    packages = ("flows", "tasks", "roberta_model", "deployments/presets", "deployments/suites")
    files = (path for package in packages for path in (ROOT / package).rglob("*"))
    wanted = {path.relative_to(ROOT).as_posix() for path in files if path.is_file()}
    assert inside == {name for name in wanted if "__pycache__" not in name}
    assert "deployments/presets/quickstart.yaml" in inside


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel and the dependencies that are here.

    The folder they lie in is added by a path file. Path files inside it are not read, so an
    editable installation of this project is not seen.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    programs = folder / "bin"
    (site,) = folder.glob("lib/python*/site-packages")
    command = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install"]
    command += ["--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


def roberta(programs: Path, folder: Path, *words: str | Path) -> Any:
    """The installed command in a folder, without a trace of the repository around it."""
    left_out = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    kept = {k: v for k, v in os.environ.items() if k not in left_out and "PREFECT" not in k}
    done = subprocess.run(
        [programs / "roberta", *words],
        cwd=folder,
        env={**kept, "PREFECT_HOME": str(folder / "prefect"), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done
    return done


@pytest.mark.slow
def test_the_wheel_gives_a_working_command(installed: Path, tmp_path: Path) -> None:
    """In an empty folder: help in a second, a preset's plan, and a run to its report."""
    code = "import flows, tasks, roberta_model; print(tasks.__file__)"
    place = subprocess.run(
        [installed / "python", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert place.stdout.startswith(str(installed.parent))

    seconds = []
    for _ in range(5):
        started = time.monotonic()
        assert "fill-mask" in roberta(installed, tmp_path, "--help").stdout
        seconds.append(time.monotonic() - started)
    assert min(seconds) < 1

    assert "publish" in roberta(installed, tmp_path, "plan", "quickstart").stdout

    config = write_config(tmp_path / "tiny")
    roberta(installed, tmp_path, "run", config)
    latest = tmp_path / "tiny" / "store" / "latest"
    assert "<html" in (latest / "report.html").read_text()
    told = roberta(installed, tmp_path, "fill-mask", latest / "model", "Return the <mask>.")
    assert told.stdout.strip()
