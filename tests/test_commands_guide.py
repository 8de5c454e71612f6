"""`docs/commands.md` is complete: every command, argument and option, and none that is not."""

import copy
import re
import shlex
from pathlib import Path

import click
import pytest
from commands_guide import sections

from flows.cli import COMMANDS, roberta

README = Path(__file__).resolve().parents[1] / "README.md"
CONTEXT = click.Context(roberta)


def command(name: str) -> click.Command:
    found = roberta.get_command(CONTEXT, name)
    assert found is not None
    return found


def parameters(of: click.Command) -> set[str]:
    """How each argument and option of a command is written, such as `--until STAGE`."""
    written = set()
    for parameter in of.params:
        if isinstance(parameter, click.Option):
            name = max(parameter.opts, key=len)
            value = parameter.metavar or "N"  # what has no word for its value takes a number
            written.add(name if parameter.is_flag else f"{name} {value}")
        else:
            written.add(parameter.make_metavar(CONTEXT))
    return written


def test_every_command_has_a_section_in_the_order_of_the_help() -> None:
    """And no section is about a command that is gone; the README lists them as well."""
    assert list(sections()) == list(COMMANDS)
    readme = README.read_text(encoding="utf-8")
    assert [n for n in COMMANDS if not re.search(rf"^roberta {n}\b|`{n}`", readme, re.M)] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_and_option_is_told(name: str) -> None:
    """With the value it takes; nothing else is; and purpose, JSON, exit codes and an example."""
    rows = sections()[name]
    told = {row.strip("`") for row in rows if row.startswith("`")}
    assert told == parameters(command(name))
    plain = [row for row in rows if not row.startswith("`")]
    assert plain == ["purpose", "JSON", "exit codes", "example"]
    assert all(rows.values())
    assert rows["example"].startswith(f"`roberta {name}")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_is_one_that_the_command_takes(name: str) -> None:
    """Its words are parsed as a shell would hand them over; nothing is run."""
    words = shlex.split(sections()[name]["example"].strip("`").partition(" > ")[0])
    parsed = copy.deepcopy(command(name))
    for parameter in parsed.params:
        if isinstance(parameter.type, click.Path):
            parameter.type = click.STRING  # the example's files are not there
    context = parsed.make_context(name, words[2:])
    assert bool(context.params) == bool(parsed.params)


def test_the_options_before_a_command_are_told() -> None:
    """Those of `roberta` itself, above all sections."""
    head = (README.parent / "docs/commands.md").read_text(encoding="utf-8").split("\n## ")[0]
    for parameter in roberta.params:
        assert all(f"`{option}`" in head for option in parameter.opts), parameter.opts
