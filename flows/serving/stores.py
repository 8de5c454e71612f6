"""The stores whose runs a server shows: those of its deployments, and of the folder it runs in.

The server's process does not ask its own API: the list lies in a file beside the address.
"""

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tasks.config.addresses import redacted
from tasks.config.root import DEFAULT_STORE
from tasks.engine.files import write_whole
from tasks.engine.records import MANIFEST
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.errors import RobertaError
from tasks.inspection.runs import RUNS, read_run, read_runs, state_of
from tasks.stages import FINE_TUNING, KNOWN_STAGES, stage_folder

log = logging.getLogger(__name__)

STORES = "ROBERTA_STORES"
"""The environment variable with stores to show beside those of deployments, one a line."""

_FILE = "roberta-stores.json"
_REPORT = "report.html"


def _file() -> Path:
    from prefect.settings import get_current_settings

    return Path(get_current_settings().home) / _FILE


def stores_of(configs: Iterable[Mapping[str, Any]], folder: Path) -> list[str]:
    """The stores of deployed configs, and the folder's own: `roberta` alone works with that one."""
    deployed = [config["store"] for config in configs if isinstance(config.get("store"), str)]
    own = folder / DEFAULT_STORE
    return [*deployed, str(own)] if (own / RUNS).is_dir() else deployed


def show_stores(urls: Iterable[str]) -> None:
    """Say which stores are shown from now on."""
    content = json.dumps(sorted(set(urls))).encode()
    if not _file().exists() or _file().read_bytes() != content:
        write_whole(_file(), content, flush=False)


def shown_stores() -> list[Store]:
    """The stores that are shown, each once however it is spelt; not one that cannot be opened."""
    urls = [line for line in os.environ.get(STORES, "").split("\n") if line]
    with suppress(OSError, ValueError):
        urls += json.loads(_file().read_text(encoding="utf-8"))
    found: dict[str, Store] = {}
    for url in dict.fromkeys(urls):
        with suppress(RobertaError, OSError):
            store = open_store(url)
            found.setdefault(store.url(""), store)
    return list(found.values())


def _stages(store: Store, run: str) -> list[Any]:
    """The stages of a run's record; none where the store cannot be read, which may pass."""
    try:
        return list((read_run(store, run) or {}).get("stages", []))
    except (RobertaError, OSError) as problem:
        log.warning("%s cannot be read: %s", store.url(""), problem)
        return []


def reports(most: int) -> list[dict[str, Any]]:
    """The newest runs of all stores whose report is still there, at most so many.

    Each has `run`, `name`, `started`, `state`, `store`, and whether it has `published` a model and
    `taught` an encoder; a refresh without new text may only have taught.
    """
    found = []
    for store in shown_stores():
        try:
            records = read_runs(store)
            there = {stage: store.names(stage_folder(stage)) for stage in ("publish", FINE_TUNING)}
        except (RobertaError, OSError) as problem:
            log.warning("%s cannot be read: %s", store.url(""), problem)
            continue
        for record in records:
            ended = {
                entry["name"]: entry["state"]
                for entry in record["stages"]
                if entry.get("state") in ("done", "cached")
                and entry.get("key") in there.get(entry["name"], ())
            }
            has_page = "publish" in ended or ended.get(FINE_TUNING) == "done"
            if has_page and _is_name(record["run"]):
                told = {key: str(record[key]) for key in ("run", "name", "started")}
                taught, store_url = FINE_TUNING in ended, redacted(store.url(""))
                told |= {"state": state_of(record), "store": store_url}
                found.append({**told, "published": "publish" in ended, "taught": taught})
    return sorted(found, key=lambda one: str(one["started"]), reverse=True)[:most]


def find_report(run: str, *, taught: bool = False) -> str | None:
    """The report that a run made, or None; what its record says of other places is not read.

    With `taught` it is the page on what the run has fine-tuned.
    """
    wanted = FINE_TUNING if taught else "publish"
    for store, stage, key in _artifacts(run):
        if stage == wanted:
            page = store.read(f"{stage_folder(stage)}/{key}/{_REPORT}")
            return None if page is None else page.decode(errors="replace")
    return None


def find_manifest(run: str, folder: str, key: str) -> bytes | None:
    """The manifest of an artifact that a run made or found, or None.

    Args:
        run: The run's id.
        folder: Its stage's folder in a store, such as `4-pack`.
        key: The artifact's.
    """
    for store, stage, known in _artifacts(run):
        if (stage_folder(stage), known) == (folder, key):
            return store.read(f"{folder}/{key}/{MANIFEST}")
    return None


def _artifacts(run: str) -> Iterator[tuple[Store, str, str]]:
    """(store, stage, key) of what a run's record names, as far as these are names and no paths."""
    if not _is_name(run):
        return
    for store in shown_stores():
        for entry in _stages(store, run):
            stage, key = entry.get("name"), str(entry.get("key", ""))
            if stage in KNOWN_STAGES and key.isalnum():
                yield store, stage, key


def _is_name(run: str) -> bool:
    return run.replace("-", "").isalnum()
