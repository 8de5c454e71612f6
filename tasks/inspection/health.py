"""Health: what an operator asks of a store before anything is wrong.

How old is the last good run of each pipeline, who works on what, how long will the disk last.
"""

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.engine.records import read_manifest
from tasks.engine.store import Store
from tasks.inspection.runs import read_runs, state_of
from tasks.inspection.verify import find_in_work
from tasks.stages import STORED, stage_folder

_DAYS = 14


def read_health(store: Store) -> dict[str, Any]:
    """Plain JSON: `{"store", "pipelines", "leases", "disk"}`.

    `pipelines`: of each name, newest first: `name`, `last_run`, `last_state`, `last_good` (ISO
    8601 or None), `good_age_seconds`. `leases`: `stage`, `key`, `pid`, `machine`. `disk`:
    `free_bytes`, `bytes_per_day` (of artifacts finished in two weeks), `days_left`; nulls where a
    store has no disk of its own.
    """
    return {
        "store": store.url(""),
        "pipelines": _pipelines(store),
        "leases": find_in_work(store),
        "disk": _disk(store),
    }


def _pipelines(store: Store) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    found: dict[str, dict[str, Any]] = {}
    for record in read_runs(store):
        state = state_of(record)
        entry = found.setdefault(
            str(record["name"]),
            {
                "name": record["name"],
                "last_run": record["run"],
                "last_state": state,
                "last_good": None,
                "good_age_seconds": None,
            },
        )
        if state == "done" and entry["last_good"] is None:
            ended = _time(record["started"]) + timedelta(seconds=float(record.get("seconds") or 0))
            entry["last_good"] = ended.isoformat(timespec="seconds")
            entry["good_age_seconds"] = round((now - ended).total_seconds())
    return list(found.values())


def _disk(store: Store) -> Mapping[str, Any]:
    if not store.is_local or not store.exists(""):
        return {"free_bytes": None, "bytes_per_day": None, "days_left": None}
    free = shutil.disk_usage(store.url("")).free
    since, made, oldest = datetime.now(UTC) - timedelta(days=_DAYS), 0, None
    for stage in STORED:
        for key in store.names(stage_folder(stage)):
            artifact = read_manifest(store, f"{stage_folder(stage)}/{key}")
            if artifact is None:
                continue
            ended = _time(artifact.ended)
            if ended >= since:
                made += sum(file.bytes for _, file in artifact.outputs)
                oldest = min(ended, oldest or ended)
    if oldest is None:
        return {"free_bytes": free, "bytes_per_day": 0, "days_left": None}
    days = max(1.0, (datetime.now(UTC) - oldest).total_seconds() / 86_400)
    per_day = made / days
    left = round(free / per_day, 1) if per_day else None
    return {"free_bytes": free, "bytes_per_day": round(per_day), "days_left": left}


def _time(text: Any) -> datetime:
    """A time of a record; one that cannot be read counts as long ago."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
