"""Status: the runs and artifacts of a store, with sizes, and what is partial."""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.engine.records import read_manifest
from tasks.engine.store import Store
from tasks.engine.unit_records import UNITS, count_units
from tasks.inspection.drift import changed_settings
from tasks.inspection.in_work import live_owner
from tasks.inspection.runs import read_runs, state_of
from tasks.stages import STORED, stage_folder


def read_status(store: Store) -> dict[str, Any]:
    """Plain JSON: `{"store", "runs": [...], "artifacts": [...]}`, newest run first."""
    records = read_runs(store)
    runs = [
        {
            "run": record["run"],
            "name": record["name"],
            "state": state_of(record),
            "started": record["started"],
            "seconds": record.get("seconds"),
            "stages": [
                {name: entry.get(name) for name in ("name", "key", "state")}
                | {"problem": _text(entry.get("problem"))}
                for entry in record["stages"]
            ],
            "progress": _progress(record) if state_of(record) == "running" else None,
            "changed": _changed(record, records[number + 1 :]),
        }
        for number, record in enumerate(records)
    ]
    artifacts = [
        _artifact_status(store, name, key)
        for name in STORED
        for key in store.names(stage_folder(name))
    ]
    return {"store": store.url(""), "runs": runs, "artifacts": artifacts}


def _text(value: Any) -> str | None:
    """A text of a record; anybody can put a file there."""
    return value if isinstance(value, str) and value.strip() else None


def _progress(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """How far a run is, if its record says so as ours do."""
    told = record.get("progress")
    is_ours = isinstance(told, dict) and {type(told.get(n)) for n in ("stage", "text")} == {str}
    return told if is_ours else None


def _changed(record: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The fields of a run's config that the run before of its name had otherwise."""
    before = next((each for each in earlier if each["name"] == record["name"]), None)
    if before is None:
        return {}
    changes = changed_settings(*(each.get("config") or {} for each in (before, record)))
    return {change["field"]: change["after"] for change in changes}


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
