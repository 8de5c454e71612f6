"""`roberta init`: a config for the text that lies in a folder."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from flows.commands.options import json_option
from flows.terminal import one_line, say
from tasks.errors import UserError

_USUAL_MINUTES = 30.0


@click.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--minutes",
    metavar="N",
    type=click.FloatRange(0.5),
    help="Time for the whole run; asked for, or 30.",
)
@click.option("--column", metavar="NAME", help="The column or key that holds the text.")
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where the config goes; the folder's name with .yaml unless given.",
)
@click.option("--yes", is_flag=True, help="Ask nothing.")
@json_option
def init(
    paths: tuple[Path, ...],
    minutes: float | None,
    column: str | None,
    out: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Look at the text in PATH (this folder unless given) and write a config that fits it."""
    from tasks.starting.config_text import config_name
    from tasks.starting.make_config import Request, make_config, write_new

    looked_at = paths or (Path(),)
    name = config_name(looked_at)
    target = out or Path(f"{name}.yaml")
    if target.exists():
        raise UserError(f"{target}: there is one already. Name another by --out, or move it away.")
    is_asking = _is_terminal() and not yes and not as_json
    request = Request(looked_at, name, target, column, _ask_column if is_asking else _unknown)
    survey = request.look()
    if not as_json:
        for line in survey.told():
            say(one_line(line))
    if minutes is None:
        minutes = _ask_minutes() if is_asking else _USUAL_MINUTES
    made = make_config(survey, minutes)
    write_new(target, made.text)
    if as_json:
        from flows.cli import print_json

        print_json(made.to_json(target))
        return
    say(f"{target}: {made.sizes.told()}")
    say(f"next: roberta plan {target}, then roberta run {target}")


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _unknown(path: Path, fields: Sequence[str]) -> str | None:
    return None


def _ask_column(path: Path, fields: Sequence[str]) -> str | None:
    say(f"{one_line(str(path))} has the fields {one_line(', '.join(fields))}")
    answer: str = click.prompt("Which one holds the text (empty leaves the file out)", default="")
    return answer if answer in fields else None


def _ask_minutes() -> float:
    answer: float = click.prompt(
        "How many minutes may the whole run take",
        default=_USUAL_MINUTES,
        type=click.FloatRange(0.5),
    )
    return answer
