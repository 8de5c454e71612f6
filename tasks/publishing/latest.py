"""`latest`: the newest published artifact of a store, under a name that stays."""

import json
import os
import uuid
from pathlib import Path

from tasks.engine.sealing import check_format
from tasks.engine.store import Store

LATEST = "latest"
# Raised when what it says means something else. Of the first format there was no number.
FORMAT = 2


def point_latest(store: Store, folder: str) -> None:
    """Make `latest.json`, and on a local disk the link `latest`, point to an artifact folder.

    The link is replaced in one step, so a reader sees the old model or the new one.
    """
    content = json.dumps({"format": FORMAT, "folder": folder})
    store.write(f"{LATEST}.json", f"{content}\n".encode())
    if store.is_local:
        link = Path(store.url(LATEST))
        temporary = link.with_name(f".{LATEST}.{uuid.uuid4().hex[:8]}")
        temporary.symlink_to(folder, target_is_directory=True)
        os.replace(temporary, link)


def read_latest(store: Store) -> str | None:
    """The artifact folder that `latest.json` points to; None if nothing readable is there.

    Raises:
        StageError: a later version of this program wrote it.
    """
    try:
        pointer = json.loads(store.read(f"{LATEST}.json") or b"null")
    except ValueError:
        return None
    if not isinstance(pointer, dict):
        return None
    check_format(pointer, FORMAT, "latest.json")
    return str(pointer.get("folder", "")) or None
