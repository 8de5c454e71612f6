"""How many bytes a removal frees: a file that has another name elsewhere frees none."""

import os
from pathlib import Path

from tasks.engine.store import Store


class Links:
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


def weigh(store: Store, folder: str, links: Links) -> tuple[int, int]:
    """The bytes of a folder's files, and how many of them its removal frees."""
    links.begin()
    if not store.is_local:
        size = sum(store.size(f"{folder}/{path}") or 0 for path in store.files(folder))
        return size, size
    paths = local_files(Path(store.url(folder)))
    freed = [(path.lstat().st_size, links.freed_by(path)) for path in paths]
    return sum(size for size, _ in freed), sum(size for _, size in freed)


def local_files(folder: Path) -> list[Path]:
    """All files below a folder, temporary ones too; links count as themselves."""
    return [Path(root, name) for root, _, names in os.walk(folder) for name in names]
