"""Verify and repair: every recorded byte is read again; what is damaged is named and redone.

Repair makes an artifact partial and runs its stage with the config it was made with. The
engine finds every sound unit, so only the damaged ones (and what they cannot be had without)
are computed again, and they must come out as they were. Whether the same artifact would come
out is known from its key, before anything runs.
"""

import logging
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tasks.config import Config
from tasks.engine.progress import Progress
from tasks.engine.records import MANIFEST, Artifact, read_manifest
from tasks.engine.runner import StageIdentity, identify, run_stage
from tasks.engine.stage import Stage
from tasks.engine.store import Store
from tasks.engine.unit_records import UNITS, forget_units, read_recorded, read_units
from tasks.errors import UserError
from tasks.inspection.drift import describe, drift_from
from tasks.inspection.in_work import lease_taken, live_owner
from tasks.inspection.runs import config_of, read_runs
from tasks.stages import STORED, SUITE, get_stage, stage_folder

log = logging.getLogger(__name__)

Place = tuple[str, str]


def find_damage(store: Store, keys: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Damaged or missing files: `{"stage", "key", "unit", "path"}`, in the stages' order.

    `keys` narrows the search to one artifact for each stage; None means all there are. What a
    run works on just now is left out: see `find_in_work`.
    """
    found = []
    for stage, key in _artifacts(store, keys):
        folder = f"{stage_folder(stage)}/{key}"
        if live_owner(store, folder) is not None:
            continue
        damaged = list(_damaged_in(store, folder))
        # A run may have begun while we read: then what we saw was its work.
        if damaged and live_owner(store, folder) is None:
            found += [
                {"stage": stage, "key": key, "unit": unit, "path": f"{folder}/{path}"}
                for unit, path in damaged
            ]
    return found


def find_in_work(store: Store, keys: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Artifacts under a live lease: `{"stage", "key", "pid", "machine"}`."""
    found = []
    for stage, key in _artifacts(store, keys):
        owner = live_owner(store, f"{stage_folder(stage)}/{key}")
        if owner is not None:
            told = {name: owner.get(name) for name in ("pid", "machine")}
            found.append({"stage": stage, "key": key, **told})
    return found


def _artifacts(store: Store, keys: Mapping[str, str] | None) -> Iterator[Place]:
    for stage in STORED:
        for key in store.names(stage_folder(stage)):
            if keys is None or keys.get(stage) == key:
                yield stage, key


def _damaged_in(store: Store, folder: str) -> Iterator[tuple[str, str]]:
    """Labels of units and paths in the artifact."""
    artifact = read_manifest(store, folder)
    if artifact is not None:
        for unit, paths in artifact.damaged(anew=True).items():
            for path in paths:
                yield unit, path
        return
    if store.exists(f"{folder}/{MANIFEST}"):
        yield "manifest", MANIFEST
    for name in store.names(f"{folder}/{UNITS}"):
        if not read_units(store, folder, name):
            yield name, f"{UNITS}/{name}"
    for record in filter(None, read_recorded(store, folder).values()):
        for path in record.damaged(store, folder, anew=True):
            yield record.label, path


def repair(
    store: Store, damage: list[dict[str, Any]], config: Config | None, progress: Progress
) -> list[dict[str, Any]]:
    """Make damaged artifacts whole again, in the stages' order.

    Returns one entry an artifact: `{"stage", "key", "state", "units"}`. `units` are the labels
    that were damaged; `state` is `repaired`, or `in work` when a run has the artifact.

    Raises:
        UserError: what an artifact was made from has changed or is gone; the others are
            repaired first. The message has one paragraph for each that is not.
        StageError: a unit came out otherwise than it was (on another kind of machine).
    """
    done: list[dict[str, Any]] = []
    problems: dict[Place, str] = {}
    for stage, key in dict.fromkeys((entry["stage"], entry["key"]) for entry in damage):
        units = [e["unit"] for e in damage if (e["stage"], e["key"]) == (stage, key)]
        try:
            if store.exists(f"{stage_folder(stage)}/{key}/{MANIFEST}"):
                state = _repair_whole(store, stage, key, config, problems, progress)
            else:
                state = _repair_partial(store, f"{stage_folder(stage)}/{key}")
        except UserError as problem:
            problems[stage, key] = str(problem)
            continue
        done.append({"stage": stage, "key": key, "state": state, "units": units})
    if problems:
        raise UserError("\n".join(problems.values()))
    return done


def _repair_partial(store: Store, folder: str) -> str:
    """In a partial artifact, forget the damaged units: the next run makes them."""
    with lease_taken(store, folder) as ours:
        if not ours:
            return "in work"
        labels = {label for label, _ in _damaged_in(store, folder)}
        for name in store.names(f"{folder}/{UNITS}"):
            units = read_units(store, folder, name)
            forget_units(store, folder, name, {u.name for u in units if u.label in labels})
    return "repaired"


def _repair_whole(
    store: Store,
    stage_name: str,
    key: str,
    config: Config | None,
    damaged: Collection[Place],
    progress: Progress,
) -> str:
    """Run the stage of a damaged artifact, if that can lead to the same one."""
    if stage_name == SUITE:
        raise UserError(_ask_again(store, key))
    stage = get_stage(stage_name)
    folder = f"{stage.folder}/{key}"
    before = read_manifest(store, folder)
    reasons = []
    for candidate, keys in _makers(store, stage_name, key, config):
        found = _inputs(store, stage, keys, damaged)
        if isinstance(found, str):
            reasons.append(found)
            continue
        try:
            identity = identify(stage, candidate, found)
        except UserError as problem:
            reasons.append(str(problem))
            continue
        if identity.key != key:
            reasons.append(_what_changed(stage, identity, before))
            continue
        if before is not None and identity.inputs_differ(stage, before.manifest):
            reasons.append("It stood while what it was made from changed.")
            continue
        run_stage(stage, candidate, store, found, progress=progress)
        return "repaired"
    because = reasons[0] if reasons else "No run in this store tells what it was made from."
    raise UserError(
        f"{stage_name}: {key} is damaged and cannot be made again as it was, so nothing was run. "
        f"{because} Undo that and repair again, or use `roberta run CONFIG`, which makes a new "
        "artifact beside it."
    )


def _ask_again(store: Store, key: str) -> str:
    """What to do about the damaged results of a suite: no run tells which folder was asked."""
    found = read_manifest(store, f"{stage_folder(SUITE)}/{key}")
    name = "SUITE" if found is None else found.summary.get("suite", "SUITE")
    return (
        f"{SUITE}: {key} is damaged. Ask again with the same `roberta evaluate MODEL --suite "
        f"{name}`, which does what is damaged anew and nothing else; to be without it, remove "
        f"{store.url(stage_folder(SUITE))}/{key}."
    )


def _inputs(
    store: Store, stage: Stage[Any], keys: Mapping[str, str], damaged: Collection[Place]
) -> dict[str, Artifact] | str:
    """A run's artifacts that a stage needs, or why they cannot be had."""
    made = {}
    for name in stage.needs:
        key = keys.get(name, "")
        artifact = read_manifest(store, f"{stage_folder(name)}/{key}")
        if (name, key) in damaged:
            return f"Its input {name} {key} is damaged too and could not be repaired."
        if artifact is None:
            return f"Its input {name} {key} is no longer in the store."
        made[name] = artifact
    return made


def _what_changed(stage: Stage[Any], identity: StageIdentity, before: Artifact | None) -> str:
    """Why a run would lead to another key: a sentence."""
    if before is None:
        return (
            f"Its manifest is damaged, and today's config and files lead to {identity.key}: "
            "something that it was made from has changed."
        )
    found = "; ".join(describe(entry) for entry in drift_from(stage, identity, before))
    return f"Since it was made this has changed: {found or 'how keys are made'}."


def _makers(
    store: Store, stage: str, key: str, config: Config | None
) -> Iterator[tuple[Config, dict[str, str]]]:
    """Configs that may have made an artifact, each with the keys of the run's stages."""
    for record in read_runs(store):
        keys = {entry["name"]: entry["key"] for entry in record["stages"] if entry.get("key")}
        if keys.get(stage) == key:
            yield config or config_of(record), keys
