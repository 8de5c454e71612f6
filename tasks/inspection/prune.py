"""Prune: remove what nothing refers to, and say of everything else why it stays.

    plan     every artifact: kept, and why; or to be removed, and why
    remove   under its lease: the manifest first, so a half-removed artifact is never whole;
             on a local disk the folder is then renamed in one step, and emptied at leisure

A file that is linked from an artifact that stays (units taken over are hard links) frees no
space, and is not counted as freed.
"""

import errno
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tasks.engine.records import MANIFEST, read_manifest
from tasks.engine.store import Store
from tasks.errors import StageError, UserError
from tasks.inspection.freed_space import Links, weigh
from tasks.inspection.in_work import lease_taken, live_owner
from tasks.inspection.leftovers import sweep
from tasks.inspection.references import Place, find_references
from tasks.inspection.runs import read_runs, state_of
from tasks.inspection.suites import Models
from tasks.stages import KNOWN_STAGES, STORED, SUITE, stage_folder

PARTIAL_DAYS = 7.0
_DAY_SECONDS = 86_400


@dataclass
class Pruned:
    """One artifact: what becomes of it and why. Bytes are 0 for what is kept."""

    stage: str
    key: str
    state: str
    why: str
    bytes: int = 0
    freed_bytes: int = 0

    @property
    def folder(self) -> str:
        """Where it lies in the store."""
        return f"{stage_folder(self.stage)}/{self.key}"


@dataclass
class Pruning:
    """What was removed (or would be, in a dry run) and what stays."""

    store: str
    dry_run: bool
    removed: list[Pruned] = field(default_factory=list)
    kept: list[Pruned] = field(default_factory=list)
    temporary: dict[str, int] = field(default_factory=lambda: {"files": 0, "freed_bytes": 0})

    @property
    def freed_bytes(self) -> int:
        """The space on the disk that there is now more."""
        return sum(item.freed_bytes for item in self.removed) + self.temporary["freed_bytes"]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; `freed_bytes` is the sum over all."""
        kept = [
            {name: getattr(item, name) for name in ("stage", "key", "state", "why")}
            for item in self.kept
        ]
        return {**asdict(self), "kept": kept, "freed_bytes": self.freed_bytes}


def prune(
    store: Store,
    num_runs: int = 1,
    *,
    partial_days: float = PARTIAL_DAYS,
    leads_to: Mapping[str, str] | None = None,
    dry_run: bool = False,
) -> Pruning:
    """Remove what neither `latest`, nor a kept run, nor a run under way refers to.

    Args:
        store: The store to prune.
        num_runs: How many runs of each config name are kept, see `references.kept_runs`.
        partial_days: Unfinished artifacts that were touched since then are kept.
        leads_to: Keys by stage that are kept as well: those of a config in hand.
        dry_run: Only say what would be removed.

    Raises:
        UserError: no run is recorded, so all would be removed.
    """
    are_of_runs = any(stage in KNOWN_STAGES for stage, _ in _places(store))
    if num_runs and not read_runs(store) and are_of_runs:
        raise UserError(
            f"{store.url('')}: no run is recorded here, so nothing tells which artifacts are "
            "needed. Use --keep 0 to remove all but what `latest` points to."
        )
    found = Pruning(store.url(""), dry_run)
    known = _under_way(store)
    links = Links(forgetful=not dry_run)
    for item, remove in _plan(store, num_runs, partial_days, leads_to):
        if not remove:
            found.kept.append(item)
            continue
        item.bytes, item.freed_bytes = weigh(store, item.folder, links)
        if dry_run or _remove(store, item, known):
            found.removed.append(item)
        else:
            kept = Pruned(item.stage, item.key, item.state, "a run has just begun to use it")
            found.kept.append(kept)
    files, freed_bytes = sweep(store, [item.folder for item in found.kept], links, dry_run=dry_run)
    found.temporary = {"files": files, "freed_bytes": freed_bytes}
    return found


def _under_way(store: Store) -> set[str]:
    return {str(run["run"]) for run in read_runs(store) if state_of(run) == "running"}


def _places(store: Store) -> Iterator[Place]:
    for stage in STORED:
        for key in store.names(stage_folder(stage)):
            if not key.startswith("."):
                yield stage, key


def _plan(
    store: Store, num_runs: int, partial_days: float, leads_to: Mapping[str, str] | None
) -> Iterator[tuple[Pruned, bool]]:
    """Every artifact, with whether it is to go."""
    references = find_references(store, num_runs, leads_to)
    places = list(_places(store))
    owners = {place: live_owner(store, f"{stage_folder(place[0])}/{place[1]}") for place in places}
    busy = {stage for (stage, _), owner in owners.items() if owner is not None}
    begun = [str(run["started"]) for run in read_runs(store) if state_of(run) == "running"]
    models = Models()
    for stage, key in places:
        artifact = read_manifest(store, f"{stage_folder(stage)}/{key}")
        item = Pruned(stage, key, "partial" if artifact is None else "done", "")
        owner, removed = owners[stage, key], False
        if owner is not None:
            item.why = f"process {owner['pid']} works on it"
        elif (stage, key) in references:
            item.why = references[stage, key]
        elif stage in busy:
            item.why = f"a run works on {stage} and may take units over from it"
        elif begun and artifact is not None and artifact.ended >= min(begun):
            item.why = "it was made since a run began that is under way"
        elif artifact is None:
            days = _idle_days(store, item.folder)
            removed = days >= partial_days
            item.why = f"unfinished, last touched {days:.1f} days ago"
            if removed:
                item.why = f"unfinished, and untouched for {partial_days:g} days"
        elif stage == SUITE:
            item.why, removed = models.why(artifact, strangers=num_runs > 0)
        else:
            item.why, removed = "no kept run refers to it", True
        if artifact is not None:
            models.note(stage, artifact, removed=removed)
        yield item, removed


def _idle_days(store: Store, folder: str) -> float:
    """Days since anything in a folder was written; 0 where the store cannot tell."""
    paths = [f"{folder}/{path}" for path in store.files(folder)] or [folder]
    times = [store.modified(path) for path in paths]
    known = [time_ for time_ in times if time_ is not None]
    if len(known) < len(times):
        return 0.0
    return max(0.0, (time.time() - max(known)) / _DAY_SECONDS)


def _remove(store: Store, item: Pruned, known: set[str]) -> bool:
    """Remove an artifact under its lease; False when a run has it, or has changed it since.

    So it is when runs are under way beside those `known` to the plan: they may find it done, and
    read from it under no lease.
    """
    taken = False
    try:
        with lease_taken(store, item.folder) as ours:
            taken = ours and _is_as_planned(store, item) and _under_way(store) <= known
            rest = _take_out(store, item) if taken else None
    except (OSError, StageError) as problem:
        # On a full disk nobody can take a lease, a run neither: there a look has to do.
        if taken or not _is_full(problem) or live_owner(store, item.folder) is not None:
            raise
        taken, rest = True, _take_out(store, item)
    if rest is not None:
        shutil.rmtree(rest, ignore_errors=True)
    return taken


def _is_as_planned(store: Store, item: Pruned) -> bool:
    whole = read_manifest(store, item.folder) is not None
    return whole == (item.state == "done")


def _is_full(problem: BaseException) -> bool:
    """Whether the disk has no space left, not even for a lease."""
    full = (errno.ENOSPC, errno.EDQUOT)
    return any(getattr(cause, "errno", None) in full for cause in (problem, problem.__cause__))


def _take_out(store: Store, item: Pruned) -> Path | None:
    """Make an artifact exist no more; on a local disk, the folder that is still to be emptied."""
    store.remove(f"{item.folder}/{MANIFEST}")
    if not store.is_local:
        store.remove(item.folder)
        return None
    folder = Path(store.url(item.folder))
    rest = folder.with_name(f".{item.key}.{uuid.uuid4().hex[:8]}.tmp")
    return folder.rename(rest)
