"""The model folder of a published artifact, to go on from: whole, and on this machine."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tasks.engine.records import Artifact, read_manifest
from tasks.engine.store import Store
from tasks.errors import StageError
from tasks.publishing.latest import MODELS, published_folder

_MODEL = "model"


def published_artifact(store: Store, name: str) -> Artifact | None:
    """What a pipeline has published last, or None if it never has.

    Raises:
        StageError: it has, but that is not whole. To take this for none would put a model that
            was compared with nothing in its place.
    """
    folder = published_folder(store, name)
    found = None if folder is None else read_manifest(store, folder)
    if folder is not None and found is None:
        raise StageError(
            f"{MODELS}/{name} leads to {store.url(folder)}, which is no longer whole. Restore it, "
            f"or run the pipeline of {name} once more to publish another."
        )
    return found


@contextmanager
def model_folder(published: Artifact) -> Iterator[str]:
    """A folder of this machine with a published model, while the block runs.

    Raises:
        StageError: a file of it is damaged.
    """
    damage = [path for paths in published.damaged().values() for path in paths]
    if damage:
        raise StageError(
            f"{published.store.url(published.folder)}: {damage[0]} is not as it was published. "
            "`roberta verify CONFIG --repair` makes what is damaged again."
        )
    if published.store.is_local:
        yield published.store.url(f"{published.folder}/{_MODEL}")
        return
    with tempfile.TemporaryDirectory(prefix="roberta-model-") as folder:
        for path, file in published.outputs:
            if path.startswith(f"{_MODEL}/"):
                _take(file.local(), Path(folder) / path.removeprefix(f"{_MODEL}/"))
        yield folder


def _take(copy: Path, to: Path) -> None:
    """Put a fetched file there; the copy itself may be removed to make room."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        os.link(copy, to)
        return
    shutil.copyfile(copy, to)
