"""What writers that are gone have left: temporary files, and folders of attempts."""

import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from tasks.engine.files import is_temporary
from tasks.engine.store import Store
from tasks.inspection.freed_space import Links, local_files
from tasks.inspection.in_work import lease_taken, live_owner
from tasks.inspection.runs import RUNS
from tasks.stages import STORED, stage_folder

# Outside of artifacts no lease tells whether a writer lives; nobody writes one file for so long.
_WRITE_SECONDS = 3_600
_WORK = ".work"


def sweep(store: Store, folders: Iterable[str], links: Links, *, dry_run: bool) -> tuple[int, int]:
    """Remove what writers that are gone have left: only a local disk has such files.

    Args:
        store: Where to look.
        folders: The artifacts that stay; those that go take their leftovers with them.
        links: What was counted before.
        dry_run: Only count.

    Returns:
        The number of files, and the bytes that their removal frees.
    """
    if not store.is_local:
        return 0, 0
    found = _Found(links, dry_run)
    links.begin()
    root = Path(store.url(""))
    for folder in (root, root / RUNS):
        old = [path for path in _temporary_in(folder) if _age_seconds(path) > _WRITE_SECONDS]
        found.drop(old)
    for stage in STORED:
        found.drop(_temporary_in(root / stage_folder(stage)))
    for name in folders:
        folder = Path(store.url(name))
        left = _left_in(folder)
        if not left or live_owner(store, name) is not None:
            continue
        if dry_run:
            found.drop(left)
            continue
        with lease_taken(store, name) as ours:
            found.drop(_left_in(folder) if ours else [])
    return found.files, found.freed_bytes


def _temporary_in(folder: Path) -> list[Path]:
    """Temporary files and folders directly in a folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if is_temporary(path.name))


def _left_in(folder: Path) -> list[Path]:
    """What dead writers have left anywhere in an artifact: temporary files, and work folders."""
    work = folder / _WORK
    files = [path for path in local_files(folder) if work not in path.parents]
    return [path for path in files if is_temporary(path.name)] + ([work] if work.is_dir() else [])


def _age_seconds(path: Path) -> float:
    return time.time() - path.lstat().st_mtime


class _Found:
    """Leftovers that are removed, or only counted."""

    def __init__(self, links: Links, dry_run: bool) -> None:
        self._links, self._dry_run = links, dry_run
        self.files = self.freed_bytes = 0

    def drop(self, paths: Iterable[Path]) -> None:
        """Count files and folders with all in them, and remove them unless it is a dry run."""
        for path in paths:
            is_folder = path.is_dir() and not path.is_symlink()
            files = local_files(path) if is_folder else [path]
            self.files += len(files)
            self.freed_bytes += sum(self._links.freed_by(file) for file in files)
            if self._dry_run:
                continue
            if is_folder:
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
