"""What a plan will cost: documents, bytes, disk, memory and time, from a sampled probe.

Where the stage has run before, its own figures are scaled to the new size. Otherwise a few
megabytes of the corpus are read to learn how it inflates and how long its documents are, and
the speed of this machine's matrix products says how long training takes. Estimates are for
deciding whether to start, not for billing: expect them to be within a factor of two.
"""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.config import Config
from tasks.engine.executors import default_workers
from tasks.engine.identity import canonical
from tasks.engine.records import Artifact
from tasks.engine.store import Store
from tasks.errors import UserError
from tasks.inspection.plan import StagePlan
from tasks.inspection.runs import newest_artifact

if TYPE_CHECKING:
    from roberta_model.config import ModelConfig

# Per core, MB of text a second, measured on two busy cores (see `make bench`).
_MB_PER_SECOND = {"download": 8.0, "clean": 3.0, "tokenizer": 3.0, "pack": 3.0}
# Bytes on disk for each byte of text: zstd-compressed documents, and uint16 tokens twice.
_DISK_SHARE = {"download": 0.45, "clean": 1.0, "tokenizer": 0.0, "pack": 1.0}
_BYTES_PER_TOKEN = 4.2
_WORKER_MEMORY_BYTES = 400_000_000
_TRAINING_SHARE = 0.5  # of the measured matmul speed that a training step reaches


def add_estimates(plans: Sequence[StagePlan], config: Config, store: Store) -> None:
    """Fill in `estimate` for every stage that has something to do."""
    if all(plan.action == "cached" for plan in plans):
        return
    size = _corpus_size(config, store)
    for plan in plans:
        if plan.action != "cached":
            plan.estimate = _ESTIMATORS[plan.name](plan.name, size, config)
            earlier = newest_artifact(store, plan.name, config.name)
            if earlier is not None:
                plan.estimate |= _scaled(plan.name, earlier, size, config)
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
    parts.append(f"{found['seconds']:,.0f} s")
    stays = found.get("kept_bytes", found["disk_bytes"])
    later = f" ({stays / 1e6:,.0f} MB in the end)" if stays != found["disk_bytes"] else ""
    parts.append(f"{found['disk_bytes'] / 1e6:,.0f} MB of disk{later}")
    parts.append(f"{found['memory_bytes'] / 1e9:.1f} GB of memory")
    return ", ".join(parts)


def _corpus_size(config: Config, store: Store) -> dict[str, int]:
    """Documents and bytes of text: as downloaded before, else estimated from a sample."""
    from tasks.sources.table import estimate_corpus

    earlier = newest_artifact(store, "download", config.name)
    if earlier is not None and earlier.config == _download_identity(config):
        balances = earlier.ledger.balances
        return {"documents": balances["documents"].kept, "bytes": balances["bytes"].kept}
    return estimate_corpus(config.corpus)


def _download_identity(config: Config) -> Any:
    from tasks.stages import get_stage

    return canonical(get_stage("download").config(config))


def _text_stage(name: str, size: Mapping[str, int], config: Config) -> dict[str, Any]:
    workers = config.engine.workers or default_workers()
    seconds = size["bytes"] / 1e6 / _MB_PER_SECOND[name] / (1 if name == "tokenizer" else workers)
    return {
        **size,
        "disk_bytes": int(size["bytes"] * _DISK_SHARE[name]),
        "memory_bytes": workers * _WORKER_MEMORY_BYTES,
        "seconds": round(1 + seconds, 1),
    }


def planned_model(config: Config) -> "ModelConfig":
    """The shape of the configured encoder, or of the model to continue from.

    Raises:
        UserError: `model.from` holds no model that can be read, or the sizes do not fit.
    """
    from roberta_model.config import ModelConfig

    section = config.model
    try:
        if section.source_folder is not None:
            from roberta_model.huggingface import load_config

            return load_config(Path(section.source_folder).expanduser())
        return ModelConfig(
            vocab_size=config.tokenizer.vocab_size,
            max_row_tokens=section.max_row_tokens or config.pack.row_tokens,
            **vars(section.shape),
        )
    except ValueError as problem:
        raise UserError(f"model: {problem}") from problem


def training_disk_bytes(config: Config, model: "ModelConfig", steps: int | None) -> dict[str, int]:
    """Bytes on the disk of a training: at its height, and of what stays in the end.

    A checkpoint holds the fp32 weights and the optimiser's moments: two for each weight, one
    where Muon is. While the next one is written, the newest `keep_checkpoints` are there; in
    the end the last two, and a copy of the weights for the stages that follow.
    """
    recipe = config.pretrain
    weights = 4 * model.num_parameters
    moments = 2 * weights
    if recipe.optimizer.kind == "muon":
        moments -= 4 * model.num_matrix_parameters
    every, checkpoint = recipe.checkpoint_steps, weights + moments
    # `minutes` are not measured yet: assume that there are as many as are kept.
    num_written = recipe.keep_checkpoints + 1 if steps is None else -(-steps // every)
    at_once = min(recipe.keep_checkpoints + 1, num_written) * checkpoint
    stays = min(2, num_written) * checkpoint + weights
    counted = config.model.source_folder is None and config.model.first_weights.embeddings == "svd"
    vectors = 4 * model.vocab_size * model.width if counted else 0
    return {"disk_bytes": max(at_once, stays) + vectors, "kept_bytes": stays + vectors}


def _pretrain(name: str, size: Mapping[str, int], config: Config) -> dict[str, Any]:
    model = planned_model(config)
    parameters = model.num_parameters
    row_tokens = config.pack.row_tokens
    rows = max(1, int(size["bytes"] / _BYTES_PER_TOKEN / row_tokens))
    recipe = config.pretrain
    steps = recipe.num_steps(rows)
    tokens = (steps or 0) * recipe.batch_rows * row_tokens
    seconds = 6 * parameters * tokens / (_matmul_flops(recipe.precision) * _TRAINING_SHARE)
    if recipe.minutes is not None:
        seconds = recipe.minutes * 60
    return {
        "steps": steps,
        "tokens": tokens,
        "parameters": parameters,
        **training_disk_bytes(config, model, steps),
        "memory_bytes": 18 * parameters + 1_000_000_000,
        "seconds": round(5 + seconds, 1),
    }


def _matmul_flops(precision: str) -> float:
    """Floating-point operations a second of this machine's matrix products, in half a second."""
    import torch

    from roberta_model.training.loop import compute_type

    size, runs = 1024, 0
    # In the type that training will use: where bf16 is emulated it is 200 times slower.
    left, right = torch.randn(2, size, size).to(compute_type(precision, torch.device("cpu")))
    left @ right
    start = time.perf_counter()
    while time.perf_counter() - start < 0.3:
        left @ right
        runs += 1
    return 2 * size**3 * runs / (time.perf_counter() - start)


def _evaluate(name: str, size: Mapping[str, int], config: Config) -> dict[str, Any]:
    workers = config.engine.workers or default_workers()
    parameters = planned_model(config).num_parameters
    return {
        "disk_bytes": 1_000_000,
        "memory_bytes": workers * (600_000_000 + 4 * parameters),
        "seconds": round(10 + parameters / 1e6 * (8 if config.evaluate.blimp else 1), 1),
    }


def _publish(name: str, size: Mapping[str, int], config: Config) -> dict[str, Any]:
    parameters = planned_model(config).num_parameters
    return {
        "disk_bytes": 4 * parameters + 5_000_000,
        "memory_bytes": 1_200_000_000 + 8 * parameters,
        "seconds": 12.0,
    }


def _scaled(
    name: str, earlier: Artifact, size: Mapping[str, int], config: Config
) -> dict[str, Any]:
    """Seconds from the stage's own past, for stages whose work grows with the text."""
    seconds = earlier.manifest["provenance"].get("seconds")
    before = earlier.ledger.balances.get("bytes")
    if name not in _MB_PER_SECOND or not seconds or before is None or not before.taken:
        return {}
    workers = config.engine.workers or default_workers()
    return {"seconds": round(seconds / workers * size["bytes"] / before.taken, 1)}


def free_disk_bytes(store: Store) -> int | None:
    """Free space where the store lies; None for a store that is no local disk."""
    if not store.is_local:
        return None
    folder = Path(store.root)
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


_ESTIMATORS: dict[str, Callable[[str, Mapping[str, int], Config], dict[str, Any]]] = {
    "download": _text_stage,
    "clean": _text_stage,
    "tokenizer": _text_stage,
    "pack": _text_stage,
    "pretrain": _pretrain,
    "evaluate": _evaluate,
    "publish": _publish,
}
