"""The plan: what a run would do and why. It reads the store and changes nothing."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tasks.config import Config
from tasks.engine.identity import canonical
from tasks.engine.records import Artifact, read_manifest
from tasks.engine.runner import StageIdentity, identify
from tasks.engine.stage import Stage
from tasks.engine.store import Store
from tasks.engine.unit_records import UNITS, count_units
from tasks.inspection.drift import describe, drift, drift_from
from tasks.inspection.in_work import live_owner
from tasks.inspection.runs import newest_artifact
from tasks.stages import all_stages, check_outside, get_stage


@dataclass
class StagePlan:
    """One stage of a plan; `key` is None while it hangs on a stage that has yet to run."""

    name: str
    key: str | None
    action: str
    why: list[str]
    estimate: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, as the command's contract has it."""
        return asdict(self)


def make_plan(config: Config, store: Store, until: str | None = None) -> list[StagePlan]:
    """For every stage: run, resume or cached, with the reasons.

    Raises:
        UserError: something that a stage would read from outside is missing.
    """
    check_outside(config, until)
    made: dict[str, Artifact] = {}
    plans = []
    for stage in all_stages(config, until):
        pending = [name for name in stage.needs if name not in made]
        if pending and not _stands_ready(stage, config, store):
            plans.append(_plan_pending(stage, config, store, made, pending))
            continue
        plan, artifact = _plan_known(stage, config, store, identify(stage, config, made))
        plans.append(plan)
        if artifact is not None:
            made[stage.name] = artifact
    return plans


def _plan_known(
    stage: Stage[Any], config: Config, store: Store, identity: StageIdentity
) -> tuple[StagePlan, Artifact | None]:
    folder = f"{stage.folder}/{identity.key}"
    artifact = read_manifest(store, folder)
    if artifact is not None:
        damaged = [path for paths in artifact.damaged().values() for path in paths]
        if not damaged:
            why = ["nothing it depends on has changed"]
            if identity.stands:
                why = ["it stays as it was first made"]
            return StagePlan(stage.name, identity.key, "cached", why), artifact
        why = [f"damaged: {', '.join(damaged)}"]
        return StagePlan(stage.name, identity.key, "resume", why), None
    num_units = count_units(store.names(f"{folder}/{UNITS}"))
    if num_units:
        is_in_work = live_owner(store, folder) is not None
        since = "a run is at work on it" if is_in_work else "an earlier run ended early"
        why = [f"{since}; {num_units} finished units are kept"]
        return StagePlan(stage.name, identity.key, "resume", why), None
    newest = newest_artifact(store, stage.name, config.name)
    if newest is None:
        return StagePlan(stage.name, identity.key, "run", ["it has not run yet"]), None
    why = [describe(entry) for entry in drift_from(stage, identity, newest)]
    return StagePlan(stage.name, identity.key, "run", why or ["its artifact was removed"]), None


def _stands_ready(stage: Stage[Any], config: Config, store: Store) -> bool:
    """Whether a stage need not wait for its inputs: its artifact is made, and stands."""
    if not stage.stands(stage.config(config)):
        return False
    return read_manifest(store, f"{stage.folder}/{identify(stage, config, {}).key}") is not None


def _plan_pending(
    stage: Stage[Any],
    config: Config,
    store: Store,
    made: Mapping[str, Artifact],
    pending: list[str],
) -> StagePlan:
    """A stage whose inputs are still to be made: it runs, unless they come out the same."""
    newest = newest_artifact(store, stage.name, config.name)
    if newest is None:
        return StagePlan(stage.name, None, "run", ["it has not run yet"])
    section = stage.config(config)
    why = [
        describe(e)
        for e in drift(stage, canonical(section), stage.externals(section), made, newest)
    ]
    names = " and ".join(pending)
    why.append(f"{names} will run first; if the outputs come out the same, this is reused")
    return StagePlan(stage.name, None, "run", why)


def explain(config: Config, store: Store, stage_name: str) -> dict[str, Any]:
    """Which fields or inputs of a stage differ from its newest artifact.

    Returns `{"stage", "key", "newest", "action", "differences": [{"field", "before", "after"}],
    "why": [...]}`; `newest` is the key that was compared with, or None.
    """
    plans = {plan.name: plan for plan in make_plan(config, store, until=stage_name)}
    plan = plans[stage_name]
    stage = get_stage(stage_name)
    newest = newest_artifact(store, stage_name, config.name)
    differences: list[dict[str, Any]] = []
    if newest is not None:
        made = {
            name: artifact
            for name in stage.needs
            if (key := plans[name].key) and plans[name].action == "cached"
            if (artifact := read_manifest(store, f"{get_stage(name).folder}/{key}")) is not None
        }
        section = stage.config(config)
        if stage.stands(section):
            made = {}
        differences = drift(stage, canonical(section), stage.externals(section), made, newest)
    return {
        "stage": stage_name,
        "key": plan.key,
        "newest": None if newest is None else newest.key,
        "action": plan.action,
        "differences": differences,
        "why": plan.why,
    }
