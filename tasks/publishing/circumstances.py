"""When, where and how fast the stages were computed, as their manifests' provenance tells.

None of it takes part in a key, so the same result can have other circumstances. The report
states those that were known when it was made; of the model folder only the card states any.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.engine.sealing import unseal
from tasks.errors import StageError
from tasks.publishing.spent import intervals_of, spent_on, stage_seconds, stored_bytes
from tasks.stages import stage_folder


def read_manifests(paths: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """The manifests of the stages before, by stage name.

    Raises:
        StageError: one of them is damaged.
    """
    manifests = {}
    for name, path in paths.items():
        manifest = unseal(path.read_bytes())
        if manifest is None:
            raise StageError(f"{path}: this manifest is damaged. Run `roberta verify --repair`.")
        manifests[name] = manifest
    return manifests


def collect_circumstances(
    manifests: Mapping[str, Mapping[str, Any]], states: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What the report says of times, machines and versions, by the names its template uses.

    `states` says, as far as that is known, which stages the run made (`done`) and which it found
    finished in the store (`cached`).
    """
    training = manifests["pretrain"]["provenance"]
    last = manifests["evaluate"]["provenance"] or training
    found = {name for name, state in (states or {}).items() if state == "cached"}
    return {
        "finished": f"{last['ended'][:16].replace('T', ' ')} UTC",
        "environment": training,
        "stages": [_stage(name, part, name in found) for name, part in manifests.items()],
        "knows_run": bool(states),
        "throughput": read_throughput(manifests["pretrain"]),
        "spent": spent_on(manifests),
    }


def _stage(name: str, manifest: Mapping[str, Any], is_found: bool) -> dict[str, Any]:
    provenance = manifest["provenance"]
    return {
        "name": name,
        "key": manifest["key"],
        "link": f"../../{stage_folder(name)}/{manifest['key']}/manifest.json",
        "headline": manifest.get("headline", ""),
        "is_found": is_found,
        "units": len(manifest["units"]),
        "bytes": stored_bytes(manifest),
        "seconds": stage_seconds(manifest),
        "peak_memory_bytes": provenance.get("peak_memory_bytes", 0),
        "ended": provenance.get("ended", "")[:19].replace("T", " "),
        "hosts": ", ".join(provenance.get("hosts", [])),
    }


def read_throughput(training: Mapping[str, Any]) -> list[tuple[float, float]]:
    """(step, tokens a second) of the checkpoint intervals that were measured."""
    intervals = intervals_of(training)
    return [(float(i["step"]), i["tokens_per_second"]) for i in intervals if len(i) > 1]
