"""What a stage will cost, as each stage estimates it: for deciding whether to start.

An estimate is plain JSON: `seconds`, `disk_bytes` at the height of it, `kept_bytes` in the end
where that is less, `memory_bytes`, and what else is worth telling. Expect a factor of two.
"""

from collections.abc import Mapping
from typing import Any

from tasks.config import Config
from tasks.engine.executors import default_workers

_WORKER_MEMORY_BYTES = 400_000_000

Estimate = dict[str, Any]
CorpusSize = Mapping[str, int]  # documents, and bytes of their text


def num_workers(config: Config) -> int:
    """Processes that units run in."""
    return config.engine.workers or default_workers()


def cost_of_text(
    size: CorpusSize,
    config: Config,
    *,
    mb_per_second: float,
    disk_share: float,
    workers: int | None = None,
) -> Estimate:
    """The cost of reading all text once.

    Args:
        size: How much there is.
        config: Says how many workers there are.
        mb_per_second: MB of text a second, on one busy core.
        disk_share: Bytes written for each byte of text.
        workers: How many share the work; all of them unless given.
    """
    seconds = size["bytes"] / 1e6 / mb_per_second / (workers or num_workers(config))
    return {
        **size,
        "disk_bytes": int(size["bytes"] * disk_share),
        "memory_bytes": num_workers(config) * _WORKER_MEMORY_BYTES,
        "seconds": round(1 + seconds, 1),
    }
