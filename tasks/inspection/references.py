"""References: which artifacts of a store something still needs, and what needs them.

runs/<id>.json, the newest few of each name ┐
runs under way                              ├──▶ (stage, key) ──▶ why it is kept
latest, models/, and what those come from   │
a config in hand                            ┘
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tasks.engine.records import read_manifest
from tasks.engine.store import Store
from tasks.inspection.runs import read_runs, state_of
from tasks.publishing.latest import published_folders
from tasks.stages import KNOWN_STAGES, stage_folder

Place = tuple[str, str]
Run = Mapping[str, Any]


def find_references(
    store: Store, num_runs: int, leads_to: Mapping[str, str] | None = None
) -> dict[Place, str]:
    """Why each artifact that is needed is needed, by (stage, key); first reasons win.

    Args:
        store: Where artifacts and run records lie.
        num_runs: How many runs of each config name are kept, see `kept_runs`.
        leads_to: The keys by stage that a config in hand leads to.
    """
    found: dict[Place, str] = {}
    for place, why in _published(store):
        found.setdefault(place, why)
    for run, why in kept_runs(read_runs(store), num_runs):
        for entry in run["stages"]:
            if entry.get("key"):
                found.setdefault((entry["name"], entry["key"]), why)
    for place in (leads_to or {}).items():
        found.setdefault(place, "the config leads to it")
    return found


def kept_runs(runs: Sequence[Run], num_runs: int) -> Iterator[tuple[Run, str]]:
    """The runs whose artifacts are kept, and why; `runs` are newest first.

    Of each config name: the newest `num_runs` that published a model, or, where none did, that
    finished; the newest run, however it ended, since it may be gone on with; and all that are
    under way. With `num_runs` 0: those under way alone.
    """
    by_name: dict[str, list[Run]] = {}
    for run in runs:
        by_name.setdefault(str(run["name"]), []).append(run)
    for name, same in by_name.items():
        states = {str(run["run"]): state_of(run) for run in same}
        done = [run for run in same if states[run["run"]] == "done"]
        best = [run for run in done if run.get("model")] or done
        kept = [*best[:num_runs], *same[: min(num_runs, 1)]]
        for run in same:
            if states[run["run"]] == "running":
                yield run, f"run {run['run']} of {name} is under way"
            elif run in kept:
                yield run, f"run {run['run']} of {name} ({states[run['run']]})"


def _published(store: Store) -> Iterator[tuple[Place, str]]:
    """The artifacts that `latest` and its like point to, and those that they were made from."""
    for name, folder in published_folders(store):
        for stage in KNOWN_STAGES:
            if folder.startswith(f"{stage_folder(stage)}/"):
                yield (stage, folder.rsplit("/", 1)[-1]), f"{name} points to it"
        artifact = read_manifest(store, folder)
        for stage, made_from in artifact.manifest["inputs"].items() if artifact else ():
            yield (stage, made_from["key"]), f"{name} points to it"
