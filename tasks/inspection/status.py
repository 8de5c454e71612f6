"""Status: the runs and artifacts of a store, with sizes, and what is partial."""

from typing import Any

from tasks.engine.records import read_manifest
from tasks.engine.store import Store
from tasks.engine.unit_records import UNITS, count_units
from tasks.inspection.in_work import live_owner
from tasks.inspection.runs import read_runs, state_of
from tasks.stages import STAGE_NAMES, stage_folder


def read_status(store: Store) -> dict[str, Any]:
    """Plain JSON: `{"store", "runs": [...], "artifacts": [...]}`, newest run first."""
    runs = [
        {
            "run": record["run"],
            "name": record["name"],
            "state": state_of(record),
            "started": record["started"],
            "seconds": record.get("seconds"),
            "stages": [
                {name: entry.get(name) for name in ("name", "key", "state")}
                for entry in record["stages"]
            ],
        }
        for record in read_runs(store)
    ]
    artifacts = [
        _artifact_status(store, name, key)
        for name in STAGE_NAMES
        for key in store.names(stage_folder(name))
    ]
    return {"store": store.url(""), "runs": runs, "artifacts": artifacts}


def _artifact_status(store: Store, stage: str, key: str) -> dict[str, Any]:
    folder = f"{stage_folder(stage)}/{key}"
    artifact = read_manifest(store, folder)
    return {
        "stage": stage,
        "key": key,
        "state": "done" if artifact is not None else "partial",
        "in_use": live_owner(store, folder) is not None,
        "units": count_units(store.names(f"{folder}/{UNITS}")),
        "bytes": sum(store.size(f"{folder}/{path}") or 0 for path in store.files(folder)),
        "ended": None if artifact is None else artifact.manifest["provenance"].get("ended"),
    }
