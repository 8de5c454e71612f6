"""Figures of the shown stores as Prometheus reads them, computed when they are asked for."""

import logging
from collections import Counter
from collections.abc import Iterator

from flows.serving.stores import shown_stores
from tasks.engine.store import Store
from tasks.errors import RobertaError
from tasks.inspection.health import read_health
from tasks.inspection.runs import read_runs, state_of

log = logging.getLogger(__name__)

Figure = tuple[str, dict[str, str], float]
_HELP = {
    "roberta_runs": "Runs in the store by pipeline and state.",
    "roberta_last_good_run_age_seconds": "Since a pipeline's last run that ended well.",
    "roberta_last_run_failed": "1 where a pipeline's last run did not end well.",
    "roberta_leases": "Artifacts that somebody works on.",
    "roberta_disk_free_bytes": "Space left on the store's disk.",
    "roberta_disk_days_left": "Until it is full, as artifacts of two weeks grew.",
}


def metrics_text() -> str:
    """The exposition format, version 0.0.4."""
    lines: dict[str, list[str]] = {name: [] for name in _HELP}
    for store in shown_stores():
        for name, labels, value in _figures_or_none(store):
            told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
            lines[name].append(f"{name}{{{told}}} {value}")
    return "".join(
        f"# HELP {name} {_HELP[name]}\n# TYPE {name} gauge\n" + "".join(f"{x}\n" for x in found)
        for name, found in lines.items()
        if found
    )


def _figures_or_none(store: Store) -> list[Figure]:
    """A store's figures; of one that cannot be read none, so that the others' are still there."""
    try:
        return list(_figures(store))
    except (RobertaError, OSError) as problem:
        log.warning("%s cannot be read: %s", store.url(""), problem)
        return []


def _figures(store: Store) -> Iterator[Figure]:
    health, url = read_health(store), store.url("")
    states = Counter((str(run["name"]), state_of(run)) for run in read_runs(store))
    for (name, state), count in sorted(states.items()):
        yield "roberta_runs", {"store": url, "pipeline": name, "state": state}, count
    for entry in health["pipelines"]:
        labels = {"store": url, "pipeline": str(entry["name"])}
        if entry["good_age_seconds"] is not None:
            yield "roberta_last_good_run_age_seconds", labels, entry["good_age_seconds"]
        failed = entry["last_state"] in ("failed", "stopped", "killed")
        yield "roberta_last_run_failed", labels, int(failed)
    yield "roberta_leases", {"store": url}, len(health["leases"])
    if health["disk"]["free_bytes"] is not None:
        yield "roberta_disk_free_bytes", {"store": url}, health["disk"]["free_bytes"]
    if health["disk"]["days_left"] is not None:
        yield "roberta_disk_days_left", {"store": url}, health["disk"]["days_left"]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
