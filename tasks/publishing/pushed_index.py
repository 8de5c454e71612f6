"""What a push leaves beside a model's files: `files.json`, which names them all with their digests.

It is put last but one, before `config.json`, without which nobody can load the folder.
"""

import json
from typing import Any

INDEX = "files.json"
LAST = "config.json"


def index_of(content: bytes | None) -> dict[str, Any]:
    """The index that some bytes are; empty where they are none.

    >>> index_of(b'{"files": {}}'), index_of(b"[1"), index_of(b'{"files": 3}'), index_of(None)
    ({'files': {}}, {}, {}, {})
    """
    try:
        known = json.loads(content or b"null")
    except ValueError:
        return {}
    return known if isinstance(known, dict) and isinstance(known.get("files"), dict) else {}


def another_is_there(url: str) -> str:
    """The refusal of a place that holds another model."""
    return (
        f"{url}: another model is there already. Give a new place, or --replace to put this "
        "one in its stead."
    )
