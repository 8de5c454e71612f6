"""Prune: remove what nothing refers to, and say of everything else why it stays.

    plan     every artifact: kept, and why; or to be removed, and why
    remove   under its lease: the manifest first, so a half-removed artifact is never whole;
             on a local disk the folder is then renamed in one step, and emptied at leisure

A file that is linked from an artifact that stays (units taken over are hard links) frees no
space, and is not counted as freed.
"""

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tasks.engine.files import is_temporary
from tasks.engine.records import MANIFEST, Artifact, read_manifest
from tasks.engine.store import Store
from tasks.errors import StageError, UserError
from tasks.inspection.in_work import lease_taken, live_owner
from tasks.inspection.references import Place, find_references
from tasks.inspection.runs import RUNS, read_runs, state_of
from tasks.stages import STAGE_NAMES, stage_folder

PARTIAL_DAYS = 7.0
_DAY_SECONDS = 86_400
# Outside of artifacts no lease tells whether a writer lives; nobody writes one file for so long.
_WRITE_SECONDS = 3_600
_WORK = ".work"


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
    if num_runs and not read_runs(store) and any(_places(store)):
        raise UserError(
            f"{store.url('')}: no run is recorded here, so nothing tells which artifacts are "
            "needed. Use --keep 0 to remove all but what `latest` points to."
        )
    found = Pruning(store.url(""), dry_run)
    known = _under_way(store)
    links = _Links(forgetful=not dry_run)
    for item, remove in _plan(store, num_runs, partial_days, leads_to):
        if not remove:
            found.kept.append(item)
            continue
        item.bytes, item.freed_bytes = _weigh(store, item.folder, links)
        if dry_run or _remove(store, item, known):
            found.removed.append(item)
        else:
            kept = Pruned(item.stage, item.key, item.state, "a run has just begun to use it")
            found.kept.append(kept)
    _sweep(store, found, links)
    return found


def _under_way(store: Store) -> set[str]:
    return {str(run["run"]) for run in read_runs(store) if state_of(run) == "running"}


def _places(store: Store) -> Iterator[Place]:
    for stage in STAGE_NAMES:
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
    for stage, key in places:
        artifact = read_manifest(store, f"{stage_folder(stage)}/{key}")
        item = Pruned(stage, key, "partial" if artifact is None else "done", "")
        owner = owners[stage, key]
        if owner is not None:
            item.why = f"process {owner['pid']} works on it"
        elif (stage, key) in references:
            item.why = references[stage, key]
        elif stage in busy:
            item.why = f"a run works on {stage} and may take units over from it"
        elif begun and artifact is not None and _ended(artifact) >= min(begun):
            item.why = "it was made since a run began that is under way"
        elif artifact is None and (days := _idle_days(store, item.folder)) < partial_days:
            item.why = f"unfinished, last touched {days:.1f} days ago"
        else:
            gone = "no kept run refers to it"
            unfinished = f"unfinished, and untouched for {partial_days:g} days"
            item.why = gone if artifact is not None else unfinished
            yield item, True
            continue
        yield item, False


def _ended(artifact: Artifact) -> str:
    return str(artifact.manifest["provenance"].get("ended", ""))


def _idle_days(store: Store, folder: str) -> float:
    """Days since anything in a folder was written; 0 where the store cannot tell."""
    paths = [f"{folder}/{path}" for path in store.files(folder)] or [folder]
    times = [store.modified(path) for path in paths]
    known = [time_ for time_ in times if time_ is not None]
    if len(known) < len(times):
        return 0.0
    return max(0.0, (time.time() - max(known)) / _DAY_SECONDS)


class _Links:
    """Counts the names of files that go, and so which bytes are freed.

    With `forgetful`, names counted for one artifact are gone from the disk before the next.
    """

    def __init__(self, *, forgetful: bool) -> None:
        self._forgetful = forgetful
        self._gone: dict[tuple[int, int], int] = {}

    def begin(self) -> None:
        """Begin with the next artifact."""
        if self._forgetful:
            self._gone.clear()

    def freed_by(self, path: Path) -> int:
        """The bytes that are freed when this name goes, after those counted before."""
        status = path.lstat()
        identity = (status.st_dev, status.st_ino)
        self._gone[identity] = self._gone.get(identity, 0) + 1
        return status.st_size if self._gone[identity] >= status.st_nlink else 0


def _weigh(store: Store, folder: str, links: _Links) -> tuple[int, int]:
    """The bytes of a folder's files, and how many of them its removal frees."""
    links.begin()
    if not store.is_local:
        size = sum(store.size(f"{folder}/{path}") or 0 for path in store.files(folder))
        return size, size
    paths = _local_files(Path(store.url(folder)))
    freed = [(path.lstat().st_size, links.freed_by(path)) for path in paths]
    return sum(size for size, _ in freed), sum(size for _, size in freed)


def _local_files(folder: Path) -> list[Path]:
    """All files below a folder, temporary ones too; links count as themselves."""
    return [Path(root, name) for root, _, names in os.walk(folder) for name in names]


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


def _sweep(store: Store, found: Pruning, links: _Links) -> None:
    """Remove what writers that are gone have left: only a local disk has such files."""
    if not store.is_local:
        return
    links.begin()
    root = Path(store.url(""))
    for folder in (root, root / RUNS):
        old = [path for path in _temporary_in(folder) if _age_seconds(path) > _WRITE_SECONDS]
        _drop(old, found, links)
    for stage in STAGE_NAMES:
        _drop(_temporary_in(root / stage_folder(stage)), found, links)
    for item in found.kept:
        folder = Path(store.url(item.folder))
        left = _left_in(folder)
        if not left or live_owner(store, item.folder) is not None:
            continue
        if found.dry_run:
            _drop(left, found, links)
            continue
        with lease_taken(store, item.folder) as ours:
            _drop(_left_in(folder) if ours else [], found, links)


def _temporary_in(folder: Path) -> list[Path]:
    """Temporary files and folders directly in a folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if is_temporary(path.name))


def _left_in(folder: Path) -> list[Path]:
    """What dead writers have left anywhere in an artifact: temporary files, and work folders."""
    work = folder / _WORK
    files = [path for path in _local_files(folder) if work not in path.parents]
    return [path for path in files if is_temporary(path.name)] + ([work] if work.is_dir() else [])


def _age_seconds(path: Path) -> float:
    return time.time() - path.lstat().st_mtime


def _drop(paths: list[Path], found: Pruning, links: _Links) -> None:
    """Remove files and folders, or only count them in a dry run."""
    for path in paths:
        is_folder = path.is_dir() and not path.is_symlink()
        files = _local_files(path) if is_folder else [path]
        found.temporary["files"] += len(files)
        found.temporary["freed_bytes"] += sum(links.freed_by(file) for file in files)
        if found.dry_run:
            continue
        if is_folder:
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
