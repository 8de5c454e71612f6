"""Artifacts and records of runs that are written by hand: as much of them as a rule looks at."""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.engine.lease import this_process
from tasks.engine.records import MANIFEST, Artifact, read_manifest
from tasks.engine.sealing import seal
from tasks.engine.store import Store
from tasks.inspection.runs import write_run
from tasks.stages import stage_folder

GONE = {**this_process(), "process_start": 1.0}
"""A process of this machine that is no more."""


def output(path: str, size: int = 0, rows: int | None = None, sha256: str = "") -> dict[str, Any]:
    """A manifest's entry of a file, which need not be there."""
    return {"path": path, "sha256": sha256 or f"of {path}", "bytes": size, "rows": rows}


def hand_made(
    store: Store,
    stage: str,
    key: str,
    *,
    ended: str | None = "2026-01-01T00:00:00+00:00",
    made_from: Mapping[str, str] | None = None,
    outputs: Sequence[Mapping[str, Any]] = (),
    **manifest: Any,
) -> Artifact:
    """A finished artifact in a store; `made_from` are the keys of its inputs."""
    inputs = {name: {"key": key, "digest": f"of {key}"} for name, key in (made_from or {}).items()}
    content = {
        "key": key,
        "version": 1,
        "libraries": {},
        "config": {},
        "externals": {},
        "inputs": inputs,
        "ledger": {},
        "summary": {},
        "units": [],
        "outputs": list(outputs),
        "output_digest": f"of {key}",
        "headline": f"headline of {key}",
        "provenance": {} if ended is None else {"ended": ended},
        **manifest,
    }
    folder = f"{stage_folder(stage)}/{key}"
    store.write(f"{folder}/{MANIFEST}", seal(content))
    found = read_manifest(store, folder)
    assert found is not None
    return found


def hand_made_run(
    store: Store, run: str, keys: Mapping[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    """A run's record in a store, done unless told otherwise; `keys` are its artifacts' by stage."""
    stages = [{"name": name, "key": key, "state": "done"} for name, key in (keys or {}).items()]
    record = {
        "run": run,
        "name": "letters",
        "state": "done",
        "started": "2026-01-01T00:00:00+00:00",
        "process": None,
        "stages": stages,
        **more,
    }
    write_run(store, record)
    return record
