"""What an operator asks: runs, retry, cancel, lineage, doctor."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from flows.cli import print_json
from flows.commands import completing
from flows.commands.options import json_option, open_default, store_option
from flows.commands.tables import minute, new_table, show_all


def _client(stack: ExitStack) -> Any:
    """A client of the configured or the served API, or None where there is neither."""
    from flows.commands.serve import server_client
    from flows.serving.address import use_served_api

    api = use_served_api()
    return None if api is None else stack.enter_context(server_client(api))


@click.command()
@store_option
@json_option
def runs(store: str | None, as_json: bool) -> None:
    """List the runs of the server and of the store, newest first, with their states."""
    from flows.serving.operator import known_runs

    with ExitStack() as stack:
        found = known_runs(_client(stack), open_default(store))
    if as_json:
        print_json({"runs": [run.to_json() for run in found]})
        return
    if not found:
        show_all("no run is known here yet")
        return
    rows = new_table("run", "name", "state", "started (UTC)", "seconds", "what is known")
    for run in found:
        started = minute(run.started or "")
        took = "" if run.seconds is None else f"{run.seconds:,.0f}"
        rows.add_row(run.run, run.name, run.state, started, took, _shortened(run.message))
    show_all(rows)


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:99]}…"


@click.command()
@click.argument("run", metavar="[RUN]", required=False, shell_complete=completing.runs)
@store_option
@json_option
def retry(run: str | None, store: str | None, as_json: bool) -> None:
    """Try RUN again (default: the newest that failed); everything finished is reused.

    A run that the server started goes back into its queue. One that was started by `roberta run`
    goes on in this terminal.
    """
    from flows.serving.operator import can_be_retried, choose, known_runs, retry_at_server

    opened = open_default(store)
    with ExitStack() as stack:
        client = _client(stack)
        chosen = choose(known_runs(client, opened), run, can_be_retried, "try again")
        is_queued = client is not None and retry_at_server(client, chosen)
    if is_queued:
        if as_json:
            print_json({"run": chosen.run, "queued": True})
        else:
            show_all(f"{chosen.run} ({chosen.name}) waits to be tried again")
        return
    _retry_here(chosen, opened, as_json)


def _retry_here(chosen: Any, opened: Any, as_json: bool) -> None:
    from flows.commands.run import run_here
    from flows.serving.operator import check_may_go_on
    from tasks.inspection.runs import config_of

    check_may_go_on(chosen)
    config = config_of(chosen.record)
    if chosen.flow_run is None:  # its store may have been named from another folder
        config = config.model_copy(update={"store": opened.url("")})
    hint = f"To go on: roberta retry {chosen.run}"
    run_here(config, as_json=as_json, hint=hint, until=chosen.record.get("until"))


@click.command()
@click.argument("run", metavar="[RUN]", required=False, shell_complete=completing.runs)
@store_option
@json_option
def cancel(run: str | None, store: str | None, as_json: bool) -> None:
    """End RUN (default: the newest that runs); a training writes a checkpoint first."""
    from flows.serving.operator import cancel as end
    from flows.serving.operator import choose, is_under_way, known_runs

    with ExitStack() as stack:
        client = _client(stack)
        chosen = choose(known_runs(client, open_default(store)), run, is_under_way, "end")
        how = end(client, chosen)
    if as_json:
        print_json({"run": chosen.run, "how": how})
    else:
        show_all(f"{chosen.run} ({chosen.name}): {how}")


@click.command()
@click.argument("model", metavar="MODEL", shell_complete=completing.models)
@store_option
@json_option
def lineage(model: str, store: str | None, as_json: bool) -> None:
    """Show what MODEL was made from; or, of a text file, which models have read it.

    MODEL is a published model folder, a pipeline's name, or a file that a source has read.
    """
    from tasks.inspection.lineage import find_model, lineage_of, models_with

    opened = open_default(store)
    if Path(model).is_file():
        found = models_with(opened, Path(model))
        if as_json:
            print_json({"file": model, "models": found})
            return
        for entry in found:
            names = f" ({', '.join(entry['names'])})" if entry["names"] else ""
            show_all(f"{entry['model']}, published {entry['published'][:16]}{names}")
        if not found:
            show_all(f"no published model of {opened.url('')} has read {model}")
        return
    told = lineage_of(find_model(model, opened))
    if as_json:
        print_json(told)
        return
    stages = new_table("stage", "key", "ended (UTC)")
    for stage in told["stages"]:
        stages.add_row(stage["name"], stage["key"], minute(stage["ended"]))
    sources = new_table("source", "type", "documents", "bytes")
    for each in told["sources"]:
        row = (each["name"], each["type"], f"{each['documents']:,}", f"{each['bytes']:,}")
        sources.add_row(*row)
    files = new_table("file", "sha256")
    for file in told["files"]:
        files.add_row(str(file["name"]), file["sha256"][:16])
    began = told["continued_from"]
    weights = "" if began is None else f"\ncontinued from weights {began[:16]}"
    show_all(f"{told['model']}{weights}", "", stages, "", sources, "", files)


@click.command()
@store_option
@json_option
def doctor(store: str | None, as_json: bool) -> None:
    """Look at the health of store and server: last good runs, leases, disk, queue.

    Exit code 1 when something needs a person.
    """
    from flows.serving.diagnosis import diagnose

    with ExitStack() as stack:
        problem, client = None, None
        try:
            client = _client(stack)
        except Exception as found:
            problem = str(found)
        told = diagnose(client, open_default(store), problem)
    if as_json:
        print_json(told)
    else:
        for line in told["lines"]:
            show_all(line)
        for concern in told["concerns"]:
            show_all(f"! {concern}")
        if not told["concerns"]:
            show_all("nothing needs you")
    if told["concerns"]:
        raise click.exceptions.Exit(1)
