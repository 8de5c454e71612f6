"""What a plan will cost: documents, bytes, disk, memory and time, from a sampled probe.

Each stage brings its own estimate (`tasks.costs`). Where it has run before, its own seconds are
scaled to the new size. How much text there is, is known from an earlier download, or else a few
megabytes of the corpus are read to learn how it inflates and how long its documents are.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.config import Config
from tasks.costs import CorpusSize, Estimate, num_workers
from tasks.engine.identity import canonical
from tasks.engine.progress import describe_seconds
from tasks.engine.records import Artifact
from tasks.engine.store import Store
from tasks.inspection.plan import StagePlan
from tasks.inspection.runs import newest_artifact
from tasks.stages import get_stage


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
    free = free_disk_bytes(store)
    needed = sum(plan.estimate.get("disk_bytes", 0) for plan in plans)
    if free is not None and needed > free:
        plans[0].why.append(
            f"the disk has {free / 1e9:.1f} GB free and about {needed / 1e9:.1f} GB are needed"
        )


def describe_estimate(plan: StagePlan) -> str:
    """An estimate as one line for a person."""
    found = plan.estimate
    if not found:
        return "-"
    parts = []
    if "documents" in found:
        parts.append(f"{found['documents']:,} documents")
    if "bytes" in found:
        parts.append(f"{found['bytes'] / 1e6:,.1f} MB of text")
    parts.append(describe_seconds(found["seconds"]))
    stays = found.get("kept_bytes", found["disk_bytes"])
    later = f" ({stays / 1e6:,.0f} MB in the end)" if stays != found["disk_bytes"] else ""
    parts.append(f"{found['disk_bytes'] / 1e6:,.0f} MB of disk{later}")
    parts.append(f"{found['memory_bytes'] / 1e9:.1f} GB of memory")
    return ", ".join(parts)


def _corpus_size(config: Config, store: Store) -> CorpusSize:
    """Documents and bytes of text: as downloaded before, else estimated from a sample."""
    from tasks.sources.table import estimate_corpus

    earlier = newest_artifact(store, "download", config.name)
    if earlier is not None and earlier.config == _download_identity(config):
        balances = earlier.ledger.balances
        return {"documents": balances["documents"].kept, "bytes": balances["bytes"].kept}
    return estimate_corpus(config.corpus)


def _download_identity(config: Config) -> Any:
    return canonical(get_stage("download").config(config))


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
