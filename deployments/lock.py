"""Write the lock files: `make lock`, or `make lock UPGRADE=1` for the newest versions.

    requirements.lock          what every installation has, besides torch (see install_torch.py)
    requirements-EXTRA.lock    what an extra of pyproject.toml adds to it; `dev` is the tests' and
                               linters'

uv resolves them for all platforms and Python versions at once and lists the hashes of every file
that the index has of a pinned version, so that one file serves Linux and macOS. One resolution
with all extras fixes the versions, so any of them can be installed beside any other. Versions
stay as they are until a range in pyproject.toml leaves them out or UPGRADE asks for new ones.
"""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from packaging.requirements import Requirement

HERE = Path(__file__).resolve().parent
PYPROJECT = HERE.parent / "pyproject.toml"
# Torch's build is the user's choice, and the CUDA packages come with it.
NOT_LOCKED = re.compile(r"torch|triton|nvidia-.*|cuda-.*")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"))
# What decides whether a pin's marker holds, for each environment that we serve.
ENVIRONMENTS = [
    {
        "python_version": python,
        "python_full_version": f"{python}.{patch}",
        "sys_platform": system,
        "platform_system": system.capitalize(),
        "platform_machine": machine,
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": "posix",
    }
    for python, patch, (system, machine) in product(PYTHONS, (0, 9), PLATFORMS)
]


def extras() -> list[str]:
    """The extras of pyproject.toml; each has a lock file."""
    return list(_project()["optional-dependencies"])


def _project() -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = tomllib.loads(PYPROJECT.read_text())["project"]
    return found


def lock_file(extra: str = "") -> Path:
    """Where an extra's pins are; without one, those of every installation."""
    return HERE / (f"requirements-{extra}.lock" if extra else "requirements.lock")


def read_pins(text: str) -> dict[str, str]:
    """The entries of a lock file by name: requirement, marker and hashes, line by line."""
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    return {entry.partition("==")[0]: entry for entry in entries if "==" in entry}


def requirement(entry: str) -> Requirement:
    """The version and marker of an entry."""
    return Requirement(entry.partition("\n")[0].rstrip("\\ "))


def served(entry: str) -> list[dict[str, str]]:
    """The environments of ours that an entry is for."""
    marker = requirement(entry).marker
    return [each for each in ENVIRONMENTS if marker is None or marker.evaluate(each)]


def resolve(arguments: Sequence[str], before: str) -> str:
    """What uv pins for pyproject.toml, torch's version and what builds us.

    `before` is a lock whose versions are kept where they fit.
    """
    from install_torch import PIN  # beside this script

    build = tomllib.loads(PYPROJECT.read_text())["build-system"]["requires"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out.lock")
        out.write_text(before)
        command = [sys.executable, "-m", "uv", "pip", "compile", str(PYPROJECT), "-", "--quiet"]
        command += ["--universal", "--python-version", PYTHONS[0], "--generate-hashes"]
        command += ["--no-header", "--no-annotate", "--output-file", str(out), *arguments]
        inputs = "\n".join([PIN, *build])
        done = subprocess.run(command, input=inputs, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit("lock: uv found no versions that fit; it says why above.")
        return out.read_text()


def main() -> int:
    """Write all the files."""
    files = [lock_file(), *map(lock_file, extras())]
    old = "" if os.environ.get("UPGRADE") else "".join(f.read_text() for f in files if f.exists())
    with tempfile.TemporaryDirectory() as folder:
        versions = Path(folder, "all.lock")
        versions.write_text(resolve(["--all-extras"], old))
        same = ["--constraint", str(versions)]
        main_pins = read_pins(resolve(same, ""))
        _write(lock_file(), "What `make setup` installs, besides torch", main_pins)
        for extra in extras():
            pins = read_pins(resolve([*same, "--extra", extra], ""))
            added = {name: entry for name, entry in pins.items() if name not in main_pins}
            _write(lock_file(extra), f"What the extra `{extra}` adds to requirements.lock", added)
    return 0


def _write(path: Path, what: str, pins: dict[str, str]) -> None:
    kept = [
        entry for name, entry in pins.items() if not NOT_LOCKED.fullmatch(name) and served(entry)
    ]
    text = f"# {what}. Made by `make lock`.\n{''.join(kept)}"
    if not path.exists() or path.read_text() != text:  # a newer file is installed anew by make
        path.write_text(text)
    print(f"{path.name}: {len(kept)} packages")


if __name__ == "__main__":
    raise SystemExit(main())
