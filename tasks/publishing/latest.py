"""`latest`: the newest published artifact of a store, under a name that stays."""

import json
import os
import uuid
from pathlib import Path

from tasks.engine.store import Store

LATEST = "latest"


def point_latest(store: Store, folder: str) -> None:
    """Make `latest.json`, and on a local disk the link `latest`, point to an artifact folder.

    The link is replaced in one step, so a reader sees the old model or the new one.
    """
    store.write(f"{LATEST}.json", (json.dumps({"folder": folder}) + "\n").encode())
    if store.is_local:
        link = Path(store.url(LATEST))
        temporary = link.with_name(f".{LATEST}.{uuid.uuid4().hex[:8]}")
        temporary.symlink_to(folder, target_is_directory=True)
        os.replace(temporary, link)
