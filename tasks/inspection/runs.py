"""Run records: which run used which artifacts, with which config.

A record is a convenience for people and for `explain`; whether something is done is decided
by manifests alone. It lies at `<store>/runs/<run id>.json`.
"""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tasks.config import Config
from tasks.engine.lease import is_gone, was_before_restart
from tasks.engine.records import Artifact, read_manifest
from tasks.engine.sealing import check_format
from tasks.engine.store import Store
from tasks.stages import stage_folder

RUNS = "runs"
# Raised when a field of a run's record means something else. Records of the first have no number.
FORMAT = 2
PRETRAIN = "pretrain"
"""The flow that is the whole pipeline; records of before there were others name none."""

# What everybody who reads a record relies on.
_NEEDED = {"run": str, "name": str, "started": str, "stages": list}
_PROCESS = {"machine", "pid", "process_start"}


def write_run(store: Store, record: Mapping[str, Any]) -> None:
    """Save a run's record under its id, replacing an earlier state of it."""
    content = json.dumps({"format": FORMAT, **record}, indent=1, ensure_ascii=False) + "\n"
    store.write(f"{RUNS}/{record['run']}.json", content.encode())


def read_runs(store: Store, name: str | None = None) -> list[dict[str, Any]]:
    """Run records, newest first; with `name`, only those of that config.

    Raises:
        StageError: a later version of this program wrote one.
    """
    records = []
    for file in store.names(RUNS):
        record = read_run(store, file.removesuffix(".json"))
        if record is not None and name in (None, record.get("name")):
            records.append(record)
    return sorted(records, key=lambda record: str(record["started"]), reverse=True)


def read_run(store: Store, run: str) -> dict[str, Any] | None:
    """One run's record by its id, without its format, or None if it is not there or not whole.

    Raises:
        StageError: a later version of this program wrote it.
    """
    try:
        record = json.loads(store.read(f"{RUNS}/{run}.json") or b"null")
    except ValueError:
        return None
    if not isinstance(record, dict):
        return None
    check_format(record, FORMAT, "run")
    record.pop("format", None)
    return record if _is_whole(record) else None


def _is_whole(record: Mapping[str, Any]) -> bool:
    """Whether a record has what a run's must have; anybody can put a file there."""
    process = record.get("process")
    if process is not None and not (isinstance(process, dict) and process.keys() >= _PROCESS):
        return False
    return all(isinstance(record.get(name), kind) for name, kind in _NEEDED.items()) and all(
        isinstance(entry, dict) and isinstance(entry.get("name"), str) for entry in record["stages"]
    )


def state_of(record: Mapping[str, Any]) -> str:
    """A run's state; `killed` when it never came to say how it ended."""
    state, process = str(record.get("state")), record.get("process")
    if state != "running" or process is None:
        return state
    is_killed = is_gone(process) or was_before_restart(process, _seconds(record["started"]))
    return "killed" if is_killed else state


def _seconds(text: str) -> float:
    """A time of a record in seconds; one that cannot be read is never over."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return math.inf


def states_under_way(store: Store, keys: Mapping[str, str]) -> dict[str, str]:
    """How the run that is now at work came by artifacts: `done` or `cached`, by stage.

    `keys` are the artifacts' by stage. Empty where no run is at work on all of them.
    """
    for record in read_runs(store):
        stages = {entry["name"]: entry for entry in record["stages"]}
        if record.get("state") == "running" and all(
            stages.get(name, {}).get("key") == key for name, key in keys.items()
        ):
            return {name: str(stages[name].get("state")) for name in keys}
    return {}


def config_of(record: Mapping[str, Any]) -> Config:
    """The config a run was started with."""
    return Config.model_validate(record["config"])


def artifacts_of(store: Store, stage: str) -> list[Artifact]:
    """All finished artifacts of a stage, newest first."""
    folder = stage_folder(stage)
    found = [read_manifest(store, f"{folder}/{key}") for key in store.names(folder)]
    artifacts = [artifact for artifact in found if artifact is not None]
    return sorted(artifacts, key=lambda artifact: artifact.ended, reverse=True)


def newest_artifact(store: Store, stage: str, name: str) -> Artifact | None:
    """The artifact of a stage that the newest run of this name used, or None."""
    for record in read_runs(store, name):
        for entry in record["stages"]:
            if entry["name"] == stage and entry.get("key"):
                artifact = read_manifest(store, f"{stage_folder(stage)}/{entry['key']}")
                if artifact is not None:
                    return artifact
    return None
