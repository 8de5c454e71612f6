"""Commands that put models beside one another: diff, leaderboard."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from flows.cli import print_json
from flows.commands.options import json_option, open_default, store_option
from flows.commands.tables import minute, new_table, show_all, typed

_LOSSES = {"a": "a", "b": "b", "a_held_out": "a, held out", "b_held_out": "b, held out"}


def _number(value: float | None, is_share: bool) -> str:
    if value is None:
        return "-"
    return f"{value:.1%}" if is_share else f"{value:,.3f}"


def _with_interval(value: float | None, interval: list[float] | None, is_share: bool) -> str:
    text = _number(value, is_share)
    if interval is None:
        return text
    low, high = (_number(end, is_share) for end in interval)
    return f"{text} ({low.removesuffix('%')} to {high})"


@click.command()
@click.argument("run_a", metavar="RUN_A")
@click.argument("run_b", metavar="RUN_B")
@store_option
@json_option
def diff(run_a: str, run_b: str, store: str | None, as_json: bool) -> None:
    """Put two runs side by side: config, ledger, losses at equal steps, scores.

    RUN is a run's id or its beginning, a pipeline's name (its newest finished run), latest, or
    either of these with ~1 for the one before.
    """
    from tasks.inspection.run_diff import diff_runs

    found = diff_runs(open_default(store), run_a, run_b)
    if as_json:
        print_json(found)
        return
    for side in ("a", "b"):
        run = found[side]
        started = minute(run["started"])
        show_all(f"{side}  {run['run']}  {run['name']}, {run['state']}, {started} UTC")
    same = ", ".join(stage["name"] for stage in found["stages"] if stage["same"])
    show_all("", f"the same artifacts: {same or 'none'}")
    for stage, told in _files(found):
        show_all(f"other files, {stage}: {told}")
    for title, rows in (("config", _config(found)), ("ledger", _ledger(found))):
        _show(title, ("field" if title == "config" else "stage, measure", "a", "b"), rows)
    losses = [(f"{n['step']:,}", *(_number(n[f], False) for f in _LOSSES)) for n in found["losses"]]
    _show("loss, mean of the steps before", ("step", *_LOSSES.values()), losses)
    _show("scores (95 % interval)", ("score", "a", "b", "change"), _scores(found))


def _show(title: str, columns: tuple[str, ...], rows: Any) -> None:
    table = new_table(*columns)
    for row in rows:
        table.add_row(*row)
    show_all("", title, table) if table.row_count else show_all("", f"{title}: nothing to show")


def _config(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for change in found["config"]:
        yield change["field"], typed(change["before"]), typed(change["after"])


def _files(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Of each stage that has read others, which."""
    from tasks.inspection.drift import told_files

    for stage in found["stages"]:
        if stage["files"]:
            yield stage["name"], told_files(stage["files"])


def _ledger(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The rows that differ."""
    for entry in found["ledger"]:
        if entry["a"] != entry["b"]:
            yield f"{entry['stage']}, {entry['measure']}", _way(entry["a"]), _way(entry["b"])


def _way(balance: Mapping[str, Any] | None) -> str:
    from tasks.engine.ledger import amount_dropped

    if balance is None:
        return "-"
    dropped = ", ".join(f"{why} {amount_dropped(n)}" for why, n in balance["dropped"].items())
    return f"{balance['kept']:,} of {balance['in']:,}" + (f" ({dropped})" if dropped else "")


def _scores(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for score in found["scores"]:
        is_share, change = score["is_share"], score["change"]
        sides = (_with_interval(score[s], score[f"{s}_interval"], is_share) for s in ("a", "b"))
        told = "-"
        if change is not None:
            told = f"{100 * change:+.1f} points" if is_share else f"{change:+,.3f}"
            if score["intervals_apart"] is False:
                told += ", intervals overlap"
        yield (score["name"], *sides, told)


@click.command()
@store_option
@json_option
@click.option("--html", "page", metavar="FILE", help="Write a page of it as well.")
def leaderboard(store: str | None, as_json: bool, page: str | None) -> None:
    """List the published models of a store by score, known models' published scores beside."""
    from tasks.inspection.leaderboard import leaderboard as read_leaderboard

    found = read_leaderboard(open_default(store))
    if page is not None:
        _write_page(Path(page), found)
    if as_json:
        print_json(found)
        return
    for number, board in enumerate(found["boards"]):
        table = new_table(board["score"], "value", "made of", "what it is")
        for row in board["rows"]:
            table.add_row(*_place(row, board["is_share"]))
        show_all(*([""] if number else []), table)
    if any(row.get("is_latest") for board in found["boards"] for row in board["rows"]):
        show_all("", "* what models/NAME points to")
    if page is not None:
        show_all("", f"page     {page}")


def _place(row: Mapping[str, Any], is_share: bool) -> tuple[str, str, str, str]:
    """A row as text; what its name points to has a star."""
    if row["kind"] == "published":
        return row["name"], _number(row["value"], is_share), "", f"published: {row['set']}"
    name = f"{row['name']} *" if row["is_latest"] else row["name"]
    value = _with_interval(row["value"], row["interval"], is_share)
    made_of = f"{row['items']:,} {row['unit']}" if row["items"] else ""
    return name, value, made_of, f"{row['key']}, {row['finished']}"


def _write_page(path: Path, found: Mapping[str, Any]) -> None:
    from tasks.engine.files import write_asked_for
    from tasks.publishing.templates import template

    write_asked_for(path, template("leaderboard.html.j2").render(found).encode())
