"""Runs one stage: finds what is done, computes the rest, and makes the artifact exist.

    key ──▶ sound artifact? ──▶ yes: cached
                 │ no
                 ▼
            lease ──▶ stage.run(context) ──▶ units committed one by one ──▶ manifest

A failure leaves every finished unit behind; the same call goes on from there.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from tasks.config import Config
from tasks.engine.attempt import Attempt
from tasks.engine.catalog import Catalog
from tasks.engine.context import Context
from tasks.engine.files import disk_problem
from tasks.engine.forcing import FORCED, REPLACED, begin_anew, is_forced
from tasks.engine.identity import canonical, key_of, library_versions
from tasks.engine.lease import LEASES, Lease
from tasks.engine.progress import Progress
from tasks.engine.provenance import merged
from tasks.engine.records import (
    MANIFEST,
    Artifact,
    output_digest,
    output_entries,
    read_manifest,
)
from tasks.engine.sealing import seal, unseal
from tasks.engine.stage import Stage, StageReport
from tasks.engine.store import Store
from tasks.engine.unit_records import UnitRecord
from tasks.engine.units import StoredFile
from tasks.engine.workforce import Workforce
from tasks.errors import RobertaError, StageError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageIdentity:
    """Everything a stage's key is made of, resolved.

    `stands` says that the key knows nothing of the inputs, which may then be missing.
    """

    key: str
    config: Mapping[str, Any]
    externals: Mapping[str, StoredFile]
    inputs: Mapping[str, Artifact]
    stands: bool

    def inputs_differ(self, stage: Stage[Any], manifest: Mapping[str, Any]) -> bool:
        """Whether an artifact of this key was made from other inputs, as one that stands may be."""
        return self.stands and any(
            manifest["inputs"][name]["digest"] != stage.input_digest(artifact)
            for name, artifact in self.inputs.items()
        )


@dataclass(frozen=True)
class Outcome:
    """A finished stage and whether anything had to be computed for it."""

    artifact: Artifact
    state: str
    seconds: float


def identify(stage: Stage[Any], config: Config, inputs: Mapping[str, Artifact]) -> StageIdentity:
    """The stage's key, from its slice of the config, its outside files and its inputs.

    Raises:
        UserError: an outside file that the config names is missing or unreadable.
    """
    section = stage.config(config)
    externals = stage.externals(section)
    stands = stage.stands(section)
    needed = {name: inputs[name] for name in stage.needs if name in inputs or not stands}
    known = {} if stands else needed
    identity = canonical(section)
    key = key_of(
        {
            "stage": stage.name,
            "version": stage.version,
            "libraries": library_versions(stage.libraries),
            "config": identity,
            "externals": {label: file.sha256 for label, file in externals.items()},
            "inputs": {name: stage.input_digest(artifact) for name, artifact in known.items()},
        }
    )
    return StageIdentity(key, identity, externals, needed, stands)


def run_stage(
    stage: Stage[Any],
    config: Config,
    store: Store,
    inputs: Mapping[str, Artifact] | None = None,
    *,
    force: str | None = None,
    progress: Progress | None = None,
    workforce: Workforce | None = None,
) -> Outcome:
    """Bring one stage's artifact into being, reusing every sound unit there is.

    `force` makes it anew, whatever there is, once for each such word: who asks again with the
    same one (a run that is tried again) goes on with what was made since.
    `workforce` is the run's; without one the stage has workers of its own, ended with it.

    Raises:
        UserError: the config or the data as configured is wrong.
        StageError: the stage could not finish; finished units are kept.
    """
    start = time.monotonic()
    identity = identify(stage, config, inputs or {})
    folder = f"{stage.folder}/{identity.key}"
    if not is_forced(store, folder, force) and (found := sound_artifact(store, folder)):
        return _ended(stage, Outcome(found, "cached", time.monotonic() - start))
    lease = Lease(store, folder)
    try:
        with lease.held(lambda owner: _say_waiting(stage, owner)):
            if not is_forced(store, folder, force) and (found := sound_artifact(store, folder)):
                return _ended(stage, Outcome(found, "cached", time.monotonic() - start))
            attempt = Attempt(lease, folder)
            with nullcontext(workforce) if workforce else Workforce(config.engine) as workers:
                artifact = _compute(
                    stage, config, attempt, identity, workers, force, progress or Progress()
                )
    except OSError as problem:
        reason = disk_problem(problem) or f"{type(problem).__name__}: {problem}"
        raise StageError(f"{stage.name}: {reason}") from problem
    return _ended(stage, Outcome(artifact, "done", time.monotonic() - start))


def _ended(stage: Stage[Any], outcome: Outcome) -> Outcome:
    """Say in one line how a stage ended."""
    place = outcome.artifact.store.url(outcome.artifact.folder)
    log.info("%-10s %-8s %9.1f s  %s", stage.name, outcome.state, outcome.seconds, place)
    return outcome


def sound_artifact(store: Store, folder: str) -> Artifact | None:
    """The artifact if it is complete and every byte of it is as recorded, else None."""
    artifact = read_manifest(store, folder)
    if artifact is None:
        return None
    damaged = artifact.damaged()
    for paths in damaged.values():
        log.warning("%s: damaged, will be made again: %s", store.url(folder), ", ".join(paths))
    return None if damaged else artifact


def _say_waiting(stage: Stage[Any], owner: Mapping[str, Any]) -> None:
    log.warning("%s: process %s is working on this; waiting for it", stage.name, owner["pid"])


def _compute(
    stage: Stage[Any],
    config: Config,
    attempt: Attempt,
    identity: StageIdentity,
    workforce: Workforce,
    force: str | None,
    progress: Progress,
) -> Artifact:
    if force is not None and is_forced(attempt.store, attempt.folder, force):
        begin_anew(attempt, force)
    replaced = set_aside(attempt, stage, identity)
    catalog = Catalog(attempt, stage, replaced, alone=force is not None)
    context = Context(
        stage=stage,
        config=stage.config(config),
        engine=config.engine,
        workforce=workforce,
        attempt=attempt,
        catalog=catalog,
        externals=identity.externals,
        inputs=identity.inputs,
        progress=progress,
    )
    place = attempt.store.url(attempt.folder)
    log.info("%-10s %-8s %11s  %s", stage.name, "started", "", place)
    try:
        report = stage.run(context)
        _check_ledger(stage, report, identity.inputs)
        return _finish(stage, identity, attempt, catalog, report)
    except RobertaError as problem:
        raise type(problem)(_named(stage, str(problem))) from problem
    finally:
        context.close()


def _named(stage: Stage[Any], message: str) -> str:
    return message if message.startswith(f"{stage.name}:") else f"{stage.name}: {message}"


def set_aside(
    attempt: Attempt, stage: Stage[Any], identity: StageIdentity
) -> dict[str, UnitRecord]:
    """Make a damaged artifact partial again; returns what its units should come out as.

    The old manifest stays as `replaced.json` until the new one is written, so that a unit that
    is redone gets its old record back, times and all, and is refused if its bytes are others.

    Raises:
        StageError: it stood while its inputs changed, so it cannot be made again as it was.
    """
    store, folder = attempt.store, attempt.folder
    old = store.read(f"{folder}/{MANIFEST}")
    before = unseal(old) or unseal(store.read(f"{folder}/{REPLACED}"))
    if before is not None and identity.inputs_differ(stage, before):
        raise StageError(
            f"{stage.name}: its files in {store.url(folder)} are damaged, and what they were made "
            "from has changed since, so they cannot be made again as they were. Bring a copy of "
            f"that folder back, or begin anew with --force {stage.name}: later stages follow."
        )
    if old is not None and unseal(old) is not None:
        attempt.check()
        store.write(f"{folder}/{REPLACED}", old)
    attempt.remove(MANIFEST)
    replaced = unseal(store.read(f"{folder}/{REPLACED}"))
    if replaced is None:
        return {}
    records = [UnitRecord.from_json(record) for record in replaced["units"]]
    return {record.name: record for record in records}


def _check_ledger(stage: Stage[Any], report: StageReport, inputs: Mapping[str, Artifact]) -> None:
    report.ledger.check(stage.name)
    if not stage.needs:
        return
    before = inputs[stage.needs[0]]
    for measure, balance in before.ledger.balances.items():
        taken = report.ledger.balances.get(measure)
        if taken is not None and taken.taken != balance.kept:
            raise StageError(
                f"{stage.needs[0]} kept {balance.kept:,} {measure} but {taken.taken:,} arrived. "
                "This is a defect in the stage; nothing was published."
            )


def _finish(
    stage: Stage[Any],
    identity: StageIdentity,
    attempt: Attempt,
    catalog: Catalog,
    report: StageReport,
) -> Artifact:
    """Write the manifest: now the artifact exists."""
    units = catalog.used
    outputs = output_entries(units)
    manifest = {
        "stage": stage.name,
        "version": stage.version,
        "libraries": library_versions(stage.libraries),
        "key": identity.key,
        "config": identity.config,
        "externals": {label: file.sha256 for label, file in identity.externals.items()},
        "inputs": {
            name: {"key": artifact.key, "digest": stage.input_digest(artifact)}
            for name, artifact in identity.inputs.items()
        },
        "outputs": outputs,
        "output_digest": output_digest(outputs),
        "ledger": report.ledger.to_json(),
        "summary": canonical(dict(report.summary), "summary"),
        "headline": report.headline,
        "figures": [list(figure) for figure in report.figures.items()],
        "provenance": merged([dict(unit.provenance) for unit in units]),
        "units": [unit.to_json() for unit in units],
    }
    _clear_away(attempt, units, catalog.keep_used())
    attempt.write(MANIFEST, seal(manifest))
    attempt.remove(REPLACED)
    return Artifact(attempt.store, attempt.folder, manifest)


def _clear_away(attempt: Attempt, units: Sequence[UnitRecord], records: set[str]) -> None:
    """Remove what the manifest will not name: after it is written nobody would look again."""
    named = {REPLACED, FORCED} | records
    named |= {f"{unit.label}{suffix}" for unit in units for suffix in unit.files}
    for path in attempt.store.files(attempt.folder, temporary=True):
        if path not in named and not path.startswith(f"{LEASES}/"):
            attempt.remove(path)
    attempt.drop_lasting()
