"""Commands that look at a store: plan, explain, status, verify, ledger, report, schema."""

from collections.abc import Mapping
from typing import Any

import click

from flows.cli import print_json
from flows.commands import completing
from flows.commands.options import (
    any_config_argument,
    check_stages,
    config_options,
    json_option,
    open_config,
    open_default,
    open_known,
    set_option,
    stage_option,
    store_option,
)
from flows.commands.tables import minute, new_table, show_all, typed
from flows.terminal import say

_LONGEST = 140


@click.command()
@config_options
@stage_option("--until", help="Plan up to this stage only.")
def plan(
    config: str, overrides: tuple[str, ...], store: str | None, as_json: bool, until: str | None
) -> None:
    """Show what `run` would do, why, and what it will cost. Changes nothing."""
    from tasks.inspection.estimate import add_estimates, describe_estimate, remarks_on, total_of
    from tasks.inspection.plan import StagePlan, make_plan

    check_stages(until=until)
    settings, opened = open_config(config, overrides, store)
    plans = make_plan(settings, opened, until)
    add_estimates(plans, settings, opened)
    total, remarks = total_of(plans), remarks_on(plans, settings, opened)
    if as_json:
        stages = [entry.to_json() for entry in plans]
        print_json({"stages": stages, "total": total, "remarks": remarks})
        return
    table = new_table("stage", "action", "why", "estimate")
    for entry in plans:
        table.add_row(entry.name, entry.action, entry.why, describe_estimate(entry))
    if any(entry.estimate for entry in plans):
        whole = StagePlan("total", None, "", [], total)
        table.add_row(whole.name, "", "", describe_estimate(whole))
    show_all(f"{settings.name}, store {opened.url('')}", table, *remarks)


@click.command()
@config_options
@click.argument("stage", metavar="STAGE", shell_complete=completing.stages)
def explain(
    config: str, overrides: tuple[str, ...], store: str | None, as_json: bool, stage: str
) -> None:
    """Show which fields or inputs of STAGE differ from its newest artifact."""
    from tasks.inspection.plan import explain as explain_stage

    check_stages(stage=stage)
    settings, opened = open_config(config, overrides, store)
    found = explain_stage(settings, opened, stage)
    if as_json:
        print_json(found)
        return
    show_all(f"{stage}: {found['action']}")
    for why in found["why"]:
        show_all(f"  {why}")


@click.command()
@store_option
@json_option
def status(store: str | None, as_json: bool) -> None:
    """List the runs and artifacts in the store, with sizes, and what is partial."""
    from tasks.engine.progress import describe_bytes
    from tasks.inspection.status import read_status

    found = read_status(open_default(store))
    if as_json:
        print_json(found)
        return
    runs = new_table("run", "name", "state", "started (UTC)", "seconds", "what is known")
    for run in found["runs"]:
        started, seconds = minute(run["started"]), str(run["seconds"])
        runs.add_row(run["run"], run["name"], run["state"], started, seconds, _remarks(run))
    artifacts = new_table("stage", "key", "state", "units", "MB", "ended (UTC)")
    for item in found["artifacts"]:
        state = item["state"] + (", in use" if item["in_use"] else "")
        size = f"{item['bytes'] / 1e6:,.1f}"
        ended = minute(item["ended"] or "")
        artifacts.add_row(item["stage"], item["key"], state, str(item["units"]), size, ended)
    if not found["runs"] and not found["artifacts"]:
        show_all(f"store {found['store']}: nothing has run here yet")
        return
    total = describe_bytes(sum(item["bytes"] for item in found["artifacts"]))
    show_all(f"store {found['store']}, {total} in all", runs, "", artifacts)


def _remarks(run: Mapping[str, Any]) -> list[str]:
    """What else is worth knowing of a run: how far it is, what failed, what is new about it."""
    remarks = []
    if run["progress"]:
        remarks.append(f"{run['progress']['stage']}: {run['progress']['text']}")
    for entry in run["stages"]:
        if entry["problem"] and run["state"] == "failed":
            text = entry["problem"].splitlines()[0]
            remarks.append(text if len(text) <= _LONGEST else text[:_LONGEST] + "...")
    if run["changed"]:
        changed = [f"{field}={typed(value)}" for field, value in run["changed"].items()]
        more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
        remarks.append(f"changed: {', '.join(changed[:4])}{more}")
    return remarks


@click.command()
@any_config_argument
@set_option
@store_option
@json_option
@click.option("--repair", "mend", is_flag=True, help="Make damaged or missing units again.")
def verify(
    config: str | None, overrides: tuple[str, ...], store: str | None, as_json: bool, mend: bool
) -> None:
    """Read every stored byte again and name what is damaged; --repair redoes just that.

    Exit code 1 when damage is found and not repaired, 2 when it cannot be: what it was made
    from has changed. What a run works on just now is told apart and left alone.
    """
    from tasks.engine.progress import default_progress
    from tasks.inspection.verify import find_damage, find_in_work, repair

    settings, opened, keys = open_known(config, overrides, store)
    damage = find_damage(opened, keys)
    in_work = find_in_work(opened, keys)
    repaired = repair(opened, damage, settings, default_progress()) if mend and damage else []
    if as_json:
        found = {"damaged": damage, "repaired": repaired, "in_work": in_work}
        print_json({**found, "sound": not damage})
    else:
        for entry in damage:
            show_all(f"damaged: {opened.url(entry['path'])} (unit {entry['unit']})")
        for entry in repaired:
            units = ", ".join(entry["units"])
            show_all(f"{entry['state']}: {entry['stage']} {entry['key']}: {units}")
        for entry in in_work:
            show_all(f"in work: {entry['stage']} {entry['key']} (process {entry['pid']})")
        if not damage:
            show_all(f"every stored byte of {opened.url('')} is as it was recorded")
    if damage and not mend:
        raise click.exceptions.Exit(1)


@click.command()
@config_options
def ledger(config: str, overrides: tuple[str, ...], store: str | None, as_json: bool) -> None:
    """Show the documents', bytes' and tokens' way through every stage, adding up."""
    from tasks.engine.ledger import amount_dropped
    from tasks.inspection.ledger_path import read_ledger

    found = read_ledger(*open_config(config, overrides, store))
    if as_json:
        print_json(found)
        return
    table = new_table("stage", "measure", "in", "kept", "dropped")
    for stage in found["stages"]:
        for measure in ("documents", "bytes", "tokens"):
            if measure in stage:
                entry = stage[measure]
                dropped = (
                    ", ".join(f"{why} {amount_dropped(n)}" for why, n in entry["dropped"].items())
                    or "-"
                )
                row = (stage["name"], measure, f"{entry['in']:,}", f"{entry['kept']:,}", dropped)
                table.add_row(*row)
    show_all(table, "adds up" if found["balanced"] else "DOES NOT ADD UP")


@click.command()
@config_options
@click.option("--open", "show", is_flag=True, help="Open them in the browser.")
def report(
    config: str, overrides: tuple[str, ...], store: str | None, as_json: bool, show: bool
) -> None:
    """Print where the run's HTML report is, or open it.

    Where it has fine-tuned what it trained, the page on that is named and opened as well.
    """
    from tasks.errors import UserError
    from tasks.inspection.ledger_path import finished_artifacts
    from tasks.stages import FINE_TUNING

    settings, opened = open_config(config, overrides, store)
    made = finished_artifacts(settings, opened)
    if "publish" not in made:
        raise UserError(f"{config}: nothing is published yet. Use `roberta run {config}` first.")
    pages = {
        name: opened.url(f"{made[stage].folder}/report.html") if stage in made else None
        for name, stage in (("report", "publish"), ("taught", FINE_TUNING))
    }
    if as_json:
        print_json(pages)
    for path in filter(None, pages.values()):
        if not as_json:
            say(path)
        if show:
            click.launch(path)


@click.command()
def schema() -> None:
    """Print the JSON schema of the config, for editors."""
    from tasks.config import Config

    print_json(Config.model_json_schema())
