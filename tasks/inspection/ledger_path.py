"""The ledger of a whole run: the documents', bytes' and tokens' way through every stage."""

from collections.abc import Mapping
from typing import Any

from tasks.config import Config
from tasks.engine.ledger import balance_of
from tasks.engine.records import Artifact, read_manifest
from tasks.engine.runner import identify
from tasks.engine.stage import Stage
from tasks.engine.store import Store
from tasks.errors import UserError
from tasks.inspection.runs import read_runs
from tasks.stages import all_stages


def finished_artifacts(config: Config, store: Store) -> dict[str, Artifact]:
    """The artifacts a config leads to, as far as they are finished, in the stages' order."""
    made: dict[str, Artifact] = {}
    for stage in all_stages(config):
        if not _can_identify(stage, config, made):
            continue
        identity = identify(stage, config, made)
        artifact = read_manifest(store, f"{stage.folder}/{identity.key}")
        if artifact is not None:
            made[stage.name] = artifact
    return made


def _can_identify(stage: Stage[Any], config: Config, made: Mapping[str, Artifact]) -> bool:
    return stage.stands(stage.config(config)) or all(name in made for name in stage.needs)


def known_keys(config: Config, store: Store) -> dict[str, str]:
    """The key of every artifact that a config leads to, finished, damaged or neither.

    Behind an artifact that cannot be read, keys are those of the newest run that had it.
    """
    made: dict[str, Artifact] = {}
    keys: dict[str, str] = {}
    for stage in all_stages(config):
        if _can_identify(stage, config, made):
            keys[stage.name] = identify(stage, config, made).key
            artifact = read_manifest(store, f"{stage.folder}/{keys[stage.name]}")
            if artifact is not None:
                made[stage.name] = artifact
    for record in read_runs(store, config.name):
        ran = {entry["name"]: entry["key"] for entry in record["stages"] if entry.get("key")}
        if ran.keys() > keys.keys() and all(ran[name] == key for name, key in keys.items()):
            return ran
    return keys


def read_ledger(config: Config, store: Store) -> dict[str, Any]:
    """Plain JSON: `{"stages": [{"name", "key", measures...}], "balanced": bool}`.

    Raises:
        UserError: no stage of this config has finished in the store.
    """
    made = finished_artifacts(config, store)
    if not made:
        raise UserError(
            f"{store.url('')}: no stage of this config has finished here. Use `roberta run`."
        )
    return ledger_of(made)


def ledger_of(made: dict[str, Artifact]) -> dict[str, Any]:
    """The ledger of finished artifacts; see `balance_of`."""
    ledgers = {name: artifact.ledger.to_json() for name, artifact in made.items()}
    return balance_of({name: (made[name].key, ledger) for name, ledger in ledgers.items()})
