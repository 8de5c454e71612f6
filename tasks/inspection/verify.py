"""Verify and repair: every recorded byte is read again; what is damaged is named and redone.

Repair makes an artifact partial and runs its stage with the config it was made with. The
engine finds every sound unit, so only the damaged ones (and what they cannot be had without)
are computed again, and they must come out as they were.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from tasks.config import Config
from tasks.engine.progress import Progress
from tasks.engine.records import MANIFEST, UNITS, read_manifest, read_unit
from tasks.engine.runner import run_stage
from tasks.engine.store import Store
from tasks.errors import StageError
from tasks.inspection.runs import config_of, read_runs
from tasks.stages import STAGE_NAMES, get_stage, inputs_of, stage_folder

log = logging.getLogger(__name__)


def find_damage(store: Store, keys: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Damaged or missing files: `{"stage", "key", "unit", "path"}`, in the stages' order.

    `keys` narrows the search to one artifact for each stage; None means all there are.
    """
    found = []
    for stage, key in _artifacts(store, keys):
        folder = f"{stage_folder(stage)}/{key}"
        found += [
            {"stage": stage, "key": key, "unit": unit, "path": f"{folder}/{path}"}
            for unit, path in _damaged_in(store, folder)
        ]
    return found


def _artifacts(store: Store, keys: Mapping[str, str] | None) -> Iterator[tuple[str, str]]:
    for stage in STAGE_NAMES:
        for key in store.names(stage_folder(stage)):
            if keys is None or keys.get(stage) == key:
                yield stage, key


def _damaged_in(store: Store, folder: str) -> Iterator[tuple[str, str]]:
    artifact = read_manifest(store, folder)
    if artifact is not None:
        for unit, paths in artifact.damaged().items():
            for path in paths:
                yield unit, path
        return
    if store.exists(f"{folder}/{MANIFEST}"):
        yield "manifest", MANIFEST
    for name in store.names(f"{folder}/{UNITS}"):
        record = read_unit(store, folder, name)
        if record is None:
            yield name, f"{UNITS}/{name}"
        else:
            for path in record.damaged(store, folder):
                yield record.label, path


def repair(
    store: Store, damage: list[dict[str, Any]], config: Config | None, progress: Progress
) -> list[dict[str, Any]]:
    """Make damaged artifacts whole again, in the stages' order.

    Returns one entry an artifact: `{"stage", "key", "state", "units"}` where `units` are the
    labels that were computed again.

    Raises:
        StageError: no run is known that made the artifact, or the text it was made from is
            no longer the same.
    """
    done = []
    for stage, key in dict.fromkeys((entry["stage"], entry["key"]) for entry in damage):
        folder = f"{stage_folder(stage)}/{key}"
        units = [e["unit"] for e in damage if (e["stage"], e["key"]) == (stage, key)]
        if not _is_partial(store, folder):
            _repair_one(store, stage, key, config, progress)
        else:
            _drop_damaged(store, folder, units)
        done.append({"stage": stage, "key": key, "state": "repaired", "units": units})
    return done


def _is_partial(store: Store, folder: str) -> bool:
    return not store.exists(f"{folder}/{MANIFEST}")


def _drop_damaged(store: Store, folder: str, labels: list[str]) -> None:
    """In a partial artifact, forget damaged units: the next run makes them."""
    for name in store.names(f"{folder}/{UNITS}"):
        record = read_unit(store, folder, name)
        if record is None or record.label in labels:
            store.remove(f"{folder}/{UNITS}/{name}")


def _repair_one(
    store: Store, stage_name: str, key: str, config: Config | None, progress: Progress
) -> None:
    stage = get_stage(stage_name)
    for candidate, inputs in _makers(store, stage_name, key, config):
        artifacts = {
            name: artifact
            for name in stage.needs
            if (artifact := read_manifest(store, f"{stage_folder(name)}/{inputs.get(name)}"))
        }
        if set(artifacts) < set(stage.needs):
            continue
        outcome = run_stage(stage, candidate, store, inputs_of(stage, artifacts), progress=progress)
        if outcome.artifact.key == key:
            return
    raise StageError(
        f"{stage_name}: {key} is damaged and cannot be made again: no run in this store has a "
        "config that leads to it, or the source text has changed. Give the CONFIG it was made "
        "with, or run the pipeline anew."
    )


def _makers(
    store: Store, stage: str, key: str, config: Config | None
) -> Iterator[tuple[Config, dict[str, str]]]:
    """Configs that may have made an artifact, each with the keys of the run's stages."""
    for record in read_runs(store):
        keys = {entry["name"]: entry["key"] for entry in record["stages"] if entry.get("key")}
        if keys.get(stage) == key:
            yield config or config_of(record), keys
