"""`roberta prune`: free the space of artifacts that nothing refers to."""

import click

from flows.cli import print_json
from flows.commands.options import (
    any_config_argument,
    json_option,
    open_known,
    set_option,
    store_option,
)
from flows.commands.tables import new_table, show_all


@click.command()
@any_config_argument
@set_option
@store_option
@json_option
@click.option(
    "--keep",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    metavar="N",
    help="Runs kept of each config name.",
)
@click.option(
    "--partial-days",
    type=click.FloatRange(0),
    default=7,
    show_default=True,
    metavar="D",
    help="Keep unfinished artifacts touched in the last D days.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def prune(
    config: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    as_json: bool,
    keep: int,
    partial_days: float,
    dry_run: bool,
) -> None:
    """Remove artifacts that nothing refers to, and say why each goes or stays.

    Kept are what `latest` points to; what runs under way use; of each config name the newest N
    runs that published a model (that finished, where none did) and the newest run however it
    ended; and what CONFIG leads to, when it is given.
    """
    from tasks.inspection.prune import prune as prune_store

    _, opened, leads_to = open_known(config, overrides, store)
    found = prune_store(opened, keep, partial_days=partial_days, leads_to=leads_to, dry_run=dry_run)
    if as_json:
        print_json(found.to_json())
        return
    rows = new_table("stage", "key", "what", "MB", "MB freed", "why")
    for item in found.removed:
        sizes = (f"{item.bytes / 1e6:,.1f}", f"{item.freed_bytes / 1e6:,.1f}")
        rows.add_row(item.stage, item.key, "would go" if dry_run else "removed", *sizes, item.why)
    for item in found.kept:
        rows.add_row(item.stage, item.key, "kept", "", "", item.why)
    if found.removed or found.kept:
        show_all(rows)
    num_files = found.temporary["files"]
    left = f", with {num_files:,} files that cut-off writes left" if num_files else ""
    how = "would be freed" if dry_run else "freed"
    show_all(f"{found.freed_bytes / 1e6:,.1f} MB {how} in {found.store}{left}")
