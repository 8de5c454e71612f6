"""What keeps a store in order, as flows: evaluate again, verify every byte, prune what is old."""

import logging
from typing import Any

from prefect import flow
from prefect.states import Completed

from flows.coalescing import is_superseded
from flows.running import check_allowed, recorded
from tasks.config import Config
from tasks.engine.progress import default_progress
from tasks.engine.stores import open_store
from tasks.errors import StageError
from tasks.inspection.prune import prune as prune_store
from tasks.inspection.verify import find_damage, repair
from tasks.stages import stage_names

log = logging.getLogger(__name__)

_MOST_SHOWN = 5


@flow(name="evaluate", flow_run_name="{config.name}: evaluate", log_prints=False)
def evaluate(config: Config) -> dict[str, Any]:
    """Score the config's model, making what it takes; publishes nothing.

    Args:
        config: What is scored, and on what.
    """
    with recorded(config, "evaluate") as run:
        run.stages(stage_names(config, "evaluate"))
    return run.record


@flow(name="verify", flow_run_name="{config.name}: verify", log_prints=False)
def verify(config: Config, mend: bool = False) -> Any:
    """Read every byte in the store again, and name what is damaged.

    Args:
        config: Whose store is read; all of it is.
        mend: Make damaged units again.

    Raises:
        StageError: there is damage, and it was not mended.
    """
    if is_superseded():
        return Completed(name="Skipped", message="a later run of this is due")
    check_allowed(config)
    store = open_store(config.store)
    damage = find_damage(store)
    if not damage:
        return Completed(message=f"every byte of {store.url('')} is as it was recorded")
    named = ", ".join(entry["path"] for entry in damage[:_MOST_SHOWN])
    more = f" and {len(damage) - _MOST_SHOWN:,} more" if len(damage) > _MOST_SHOWN else ""
    if not mend:
        raise StageError(
            f"{store.url('')}: {len(damage):,} files are not as they were recorded: {named}{more}. "
            "`roberta verify --repair` makes just those again."
        )
    repaired = repair(store, damage, config, default_progress())
    return Completed(message=f"mended {len(repaired):,} artifacts: {named}{more}")


@flow(name="prune", flow_run_name="{config.name}: prune", log_prints=False)
def prune(config: Config) -> Any:
    """Remove artifacts that nothing refers to, as `operations.prune` says.

    Args:
        config: Whose store is pruned; all of it is.
    """
    if is_superseded():
        return Completed(name="Skipped", message="a later run of this is due")
    check_allowed(config)
    wanted = config.operations.prune
    store = open_store(config.store)
    found = prune_store(store, wanted.keep, partial_days=wanted.partial_days)
    for item in found.removed:
        log.info("removed %s %s: %s", item.stage, item.key, item.why)
    return Completed(
        message=f"freed {found.freed_bytes / 1e6:,.1f} MB: {len(found.removed):,} artifacts removed"
    )
