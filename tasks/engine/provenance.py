"""Where, when and with what something was computed. It never takes part in a key."""

import os
import platform
import resource
import socket
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "accelerate", "tokenizers", "datasets", "pyarrow", "numpy", "prefect")


def now() -> str:
    """The time, UTC, to the millisecond, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@cache
def environment() -> dict[str, Any]:
    """The code and the packages of this process: git commit, whether edited, versions."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {"commit": _commit(), "python": platform.python_version(), "packages": versions}


def _commit() -> str | None:
    """The checkout's commit, with `+` when files were edited since; None outside git."""
    root = Path(__file__).resolve().parents[2]
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if (root / ".git").exists() else None


def peak_memory_bytes() -> int:
    """The most memory this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def unit_provenance(started: str, seconds: float) -> dict[str, Any]:
    """What is written beside a unit that this process has just computed."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": started,
        "ended": now(),
        "seconds": round(seconds, 3),
        "peak_memory_bytes": peak_memory_bytes(),
        **environment(),
    }


def merged(units: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """An artifact's provenance: a function of its units', so that it can be rebuilt.

    `seconds` sums the units' own time, over all processes; `started` and `ended` span them.
    """
    if not units:
        return {}
    last = max(units, key=lambda unit: str(unit["ended"]))
    return {
        "hosts": sorted({unit["host"] for unit in units}),
        "started": min(unit["started"] for unit in units),
        "ended": last["ended"],
        "seconds": round(sum(unit["seconds"] for unit in units), 3),
        "peak_memory_bytes": max(unit["peak_memory_bytes"] for unit in units),
        "commit": last["commit"],
        "python": last["python"],
        "packages": last["packages"],
    }
