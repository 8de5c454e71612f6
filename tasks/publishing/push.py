"""Handing a model folder on: to a folder, to any store that fsspec knows, or to the hub.

    model ──(stock agrees?)──▶ a checked copy ──▶ a folder   renamed into place, whole
                                              ──▶ a store    weights, ..., files.json, config.json
                                              ──▶ the hub    one commit

The copy is made and checked on this machine before anything is sent. A store has no rename: there
`config.json`, without which nobody can load the folder, is put last, and taken away first where
another model is replaced. So what an interrupted push leaves is never taken for a whole model, and
the same command makes it one. `files.json` names every file with its size and digest.

Credentials come from the environment alone, as each store's own driver reads them; the hub's
token is HF_TOKEN.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.config.addresses import redacted
from tasks.engine.identity import file_digest
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.errors import RobertaError, UserError
from tasks.publishing.export import export_folder
from tasks.publishing.hub_push import HUB, Repository
from tasks.publishing.pushed_index import INDEX, LAST, another_is_there, index_of
from tasks.publishing.staging import put_in_place, staged_beside

_FORMAT = 1


def push_model(model: Path, url: str, *, replace: bool = False) -> dict[str, Any]:
    """Copy a model folder to a URL, checked against stock transformers, whole or not at all.

    Returns `{"url", "files", "bytes", "largest_difference", "state"}`; `state` is `pushed`, or
    `there` where the very same files were there already.

    Args:
        model: A model folder on this machine.
        url: A folder, an fsspec URL, or `hf://user/name`.
        replace: Put it in the place of another model that is there.

    Raises:
        UserError: there is no model folder, the place holds something else, or the URL is none
            that can be written or carries a secret.
        StageError: stock transformers does not agree, nothing is sent; or a server failed.
    """
    if url.startswith(HUB):
        repository = Repository(url)
        with _checked_copy(model, None) as (folder, told):
            index = _write_index(folder)
            state = repository.take(folder, index, replace=replace)
        return _told(url, index, told, state)
    try:
        store = open_store(url)
    except UserError as problem:
        raise UserError(str(problem).replace("store:", "--to:", 1)) from problem
    # What a link leads to is the place, so that the link stays what it is.
    place = Path(os.path.realpath(store.root)) if store.is_local else None
    if place is not None and place.exists() and not place.is_dir():
        raise UserError(f"{redacted(url)}: this is a file. Give a new or empty place.")
    with _checked_copy(model, place) as (folder, told):
        index = _write_index(folder)
        if _is_there(store, index):
            return _told(redacted(url), index, told, "there")
        _check_free(store, redacted(url), index, replace)
        if place is not None:
            put_in_place(folder, place)
        else:
            _send(folder, store, index)
    return _told(redacted(url), index, told, "pushed")


def _told(
    url: str, index: Mapping[str, Any], told: Mapping[str, Any], state: str
) -> dict[str, Any]:
    files = index["files"]
    return {
        "url": url,
        "files": sorted(files),
        "bytes": sum(entry["bytes"] for entry in files.values()),
        "largest_difference": told["largest_difference"],
        "state": state,
    }


@contextmanager
def _checked_copy(model: Path, place: Path | None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A copy that stock transformers agrees with, and what `export_folder` says of it.

    It is made beside the place that it is for, where that is on this machine.
    """
    with (
        tempfile.TemporaryDirectory(prefix=".push-")
        if place is None
        else staged_beside(place) as scratch
    ):
        folder = Path(scratch, "model")
        try:
            told = export_folder(model, folder)
        except RobertaError as problem:
            named = tempfile.gettempdir() if place is None else str(place.parent)
            raise type(problem)(str(problem).replace(str(folder), named)) from problem
        yield folder, told


def _write_index(folder: Path) -> dict[str, Any]:
    """Write `files.json`: every other file with its size and digest; that of a push before goes."""
    (folder / INDEX).unlink(missing_ok=True)
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": file_digest(path)}
        for path in sorted(folder.iterdir())
    }
    index = {"format": _FORMAT, "files": files}
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    return index


def _read_index(store: Store) -> dict[str, Any]:
    """The index of what was pushed there before; empty where there is none that can be read."""
    return index_of(store.read(INDEX))


def _is_there(store: Store, index: Mapping[str, Any]) -> bool:
    """Whether the place holds these very files, whole; sizes are asked for, digests are told."""
    sizes = {name: entry["bytes"] for name, entry in index["files"].items()}
    return _read_index(store) == index and all(
        store.size(name) == size for name, size in sizes.items()
    )


def _check_free(store: Store, url: str, index: Mapping[str, Any], replace: bool) -> None:
    """Refuse a place that holds what is neither an unfinished push nor a model to be replaced.

    A model is replaced as far as its index names its files; what else lies there is somebody's.
    In a folder no push is ever unfinished: a README.md that lies there alone is somebody's, too.

    Raises:
        UserError: says what is there.
    """
    there = set(store.names(""))
    pushed = set(_read_index(store).get("files", {}))
    if LAST in there or not store.is_local:
        pushed |= index["files"].keys()
    foreign = sorted(there - {*pushed, INDEX})
    foreign += sorted(name for name in there - set(foreign) if store.size(name) is None)
    if LAST in there and not replace:
        raise UserError(another_is_there(url))
    if foreign:
        raise UserError(
            f"{url}: something else is there already, such as {foreign[0]}. Give a new or empty "
            "place."
        )


def _send(folder: Path, store: Store, index: Mapping[str, Any]) -> None:
    """Put the files into a store: nobody can load it before the last one is there."""
    there = store.names("")
    for name in sorted(there, key=lambda name: name != LAST):
        if name == LAST or name not in index["files"]:
            store.remove(name)
    order = sorted(index["files"], key=lambda name: (name == LAST, name))
    for name in (*order[:-1], INDEX, order[-1]):
        store.put(folder / name, name)
