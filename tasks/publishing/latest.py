"""`latest`: the newest published artifact of a store, and of each pipeline, under names that stay.

    latest.json         latest          ──▶ 7-publish/<key>     the newest of all
    models/<name>.json  models/<name>   ──▶ 7-publish/<key>     the newest of that pipeline

On a local disk each has a link beside it.
"""

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from tasks.engine.sealing import check_format
from tasks.engine.store import Store

LATEST = "latest"
MODELS = "models"
# Raised when what they say means something else. Of the first format there was no number.
FORMAT = 2


def point_latest(store: Store, folder: str, name: str) -> None:
    """Make the pointers of a pipeline and of the whole store point to an artifact folder.

    The links are replaced in one step, so a reader sees the old model or the new one.
    """
    content = (json.dumps({"format": FORMAT, "folder": folder}) + "\n").encode()
    for pointer in (f"{MODELS}/{name}", LATEST):
        store.write(f"{pointer}.json", content)
        if store.is_local:
            link = Path(store.url(pointer))
            temporary = link.with_name(f".{link.name}.{uuid.uuid4().hex[:8]}")
            target = os.path.relpath(store.url(folder), link.parent)
            temporary.symlink_to(target, target_is_directory=True)
            os.replace(temporary, link)


def published_folder(store: Store, name: str) -> str | None:
    """The folder of a pipeline's newest published artifact, or None."""
    return _folder_in(store, f"{MODELS}/{name}.json")


def published_folders(store: Store) -> Iterator[tuple[str, str]]:
    """Each pointer's name with the artifact folder that it points to."""
    for file in (f"{LATEST}.json", *(f"{MODELS}/{name}" for name in store.names(MODELS))):
        if file.endswith(".json") and (folder := _folder_in(store, file)) is not None:
            yield file.removesuffix(".json"), folder


def _folder_in(store: Store, file: str) -> str | None:
    """Where a pointer points; None if nothing readable is there.

    Raises:
        StageError: a later version of this program wrote it.
    """
    try:
        pointer = json.loads(store.read(file) or b"null")
    except ValueError:
        return None
    if not isinstance(pointer, dict):
        return None
    check_format(pointer, FORMAT, file)
    return str(pointer.get("folder", "")) or None
