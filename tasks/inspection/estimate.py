"""What a plan will cost: documents, bytes, disk, memory and time, from a sampled probe.

Each stage brings its own estimate (`tasks.costs`). Where it has run before, its own seconds are
scaled to the new size. How much text there is, is known from an earlier download, or else a few
megabytes of the corpus are read to learn how it inflates and how long its documents are.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import psutil

from tasks.config import Config
from tasks.costs import CorpusSize, Estimate, num_workers
from tasks.engine.identity import canonical
from tasks.engine.progress import describe_bytes, describe_seconds
from tasks.engine.records import Artifact
from tasks.engine.store import Store
from tasks.errors import UserError
from tasks.inspection.plan import StagePlan, make_plan
from tasks.inspection.runs import newest_artifact
from tasks.stages import check_outside, get_stage
from tasks.training.costs import missing_device

_LONG_SECONDS = 30 * 86_400


def add_estimates(plans: Sequence[StagePlan], config: Config, store: Store) -> None:
    """Fill in `estimate` for every stage that has something to do."""
    if all(plan.action == "cached" for plan in plans):
        return
    size = _corpus_size(config, store)
    for plan in plans:
        if plan.action != "cached":
            plan.estimate = get_stage(plan.name).estimate(config, size)
            earlier = newest_artifact(store, plan.name, config.name)
            if earlier is not None:
                plan.estimate |= _scaled(earlier, size, config)


def describe_estimate(plan: StagePlan) -> str:
    """An estimate as one line for a person."""
    found = plan.estimate
    if not found:
        return "-"
    parts = []
    if "documents" in found:
        parts.append(f"{found['documents']:,} documents")
    if "bytes" in found:
        parts.append(f"{describe_bytes(found['bytes'])} of text")
    parts.append(describe_seconds(found["seconds"]))
    stays = found.get("kept_bytes", found["disk_bytes"])
    later = f" ({describe_bytes(stays)} in the end)" if stays != found["disk_bytes"] else ""
    parts.append(f"{describe_bytes(found['disk_bytes'])} of disk{later}")
    parts.append(f"{describe_bytes(found['memory_bytes'])} of memory")
    return ", ".join(parts)


def check_before_run(config: Config, store: Store, until: str | None = None) -> None:
    """Look for what would fail in a late stage, before the first one runs for hours.

    Raises:
        UserError: something that a stage would read is missing or begins with what cannot be read
            as configured, what is asked of one cannot be done, or there is no GPU where something
            would be trained on one.
    """
    from tasks.sources.table import try_out_corpus

    check_outside(config, until)
    try_out_corpus(config.corpus)
    if config.engine.launch.device == "gpu":
        missing = lacks_device(make_plan(config, store, until), config)
        if missing is not None:
            raise UserError(missing)


def lacks_device(plans: Sequence[StagePlan], config: Config) -> str | None:
    """Why what is planned cannot be trained here, or None."""
    trains = any(plan.name == "pretrain" and plan.action != "cached" for plan in plans)
    return missing_device(config) if trains else None


def total_of(plans: Sequence[StagePlan]) -> Estimate:
    """What all that has something to do takes together; memory is that of the largest."""
    found = [plan.estimate for plan in plans if plan.estimate]
    kept = [one.get("kept_bytes", one["disk_bytes"]) for one in found]
    return {
        "seconds": round(sum(one["seconds"] for one in found), 1),
        "disk_bytes": sum(one["disk_bytes"] for one in found),
        "kept_bytes": sum(kept),
        "memory_bytes": max((one["memory_bytes"] for one in found), default=0),
    }


def remarks_on(plans: Sequence[StagePlan], config: Config, store: Store) -> list[str]:
    """What somebody should think about before starting it."""
    total, remarks = total_of(plans), list[str]()
    if (missing := lacks_device(plans, config)) is not None:
        remarks.append(missing)
    if total["seconds"] > _LONG_SECONDS:
        remarks.append(
            f"{describe_seconds(total['seconds'])} is more than anybody waits: lower "
            "pretrain.steps, or pretrain.minutes to what you have; take a smaller model.preset; "
            "or train on GPUs"
        )
    free = free_disk_bytes(store)
    if free is not None and total["disk_bytes"] > free:
        remarks.append(
            f"the disk has {describe_bytes(free)} free and about "
            f"{describe_bytes(total['disk_bytes'])} are needed"
        )
    memory = psutil.virtual_memory().total
    if total["memory_bytes"] > memory:
        remarks.append(
            f"this machine has {describe_bytes(memory)} of memory and about "
            f"{describe_bytes(total['memory_bytes'])} are needed: lower engine.workers, or take a "
            "smaller model.preset"
        )
    return remarks


def _corpus_size(config: Config, store: Store) -> CorpusSize:
    """Documents and bytes of text: as downloaded before, else estimated from a sample."""
    from tasks.sources.table import estimate_corpus

    earlier = newest_artifact(store, "download", config.name)
    if earlier is not None and earlier.config == canonical(get_stage("download").config(config)):
        balances = earlier.ledger.balances
        return {"documents": balances["documents"].kept, "bytes": balances["bytes"].kept}
    return estimate_corpus(config.corpus)


def _scaled(earlier: Artifact, size: CorpusSize, config: Config) -> Estimate:
    """Seconds from the stage's own past, for stages that account for bytes of text."""
    seconds = earlier.manifest["provenance"].get("seconds")
    before = earlier.ledger.balances.get("bytes")
    if not seconds or before is None or not before.taken:
        return {}
    return {"seconds": round(seconds / num_workers(config) * size["bytes"] / before.taken, 1)}


def free_disk_bytes(store: Store) -> int | None:
    """Free space where the store lies; None for a store that is no local disk."""
    if not store.is_local:
        return None
    folder = Path(store.root)
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
