"""The `roberta` command: its names, flags, exit codes and nothing else.

Commands live in `flows/commands/` and are imported only when called, so `--help` answers at
once. Exit codes: 0 done, 1 a stage failed, 2 the user's mistake, 130 Ctrl-C, 143 SIGTERM.
"""

import importlib
import os
import signal
import sys
from typing import Any

import click

from flows.console import configure_logging
from flows.terminal import printable, printable_json, say
from tasks.errors import StageError, UserError
from tasks.plain_json import json_text

# Command, where it lives, and its line in `roberta --help`.
COMMANDS = {
    "init": ("init", "Write a config for the text in a folder."),
    "run": ("run", "Run the whole pipeline, or go on where it stopped."),
    "plan": ("inspect", "Show what would run, why, and what it will cost."),
    "explain": ("inspect", "Show what differs from a stage's newest artifact."),
    "status": ("inspect", "List runs and artifacts in the store."),
    "verify": ("inspect", "Read every stored byte again; --repair redoes what is damaged."),
    "prune": ("prune", "Remove artifacts that nothing refers to."),
    "ledger": ("inspect", "Show the text's way through every stage, adding up."),
    "fill-mask": ("use", "Fill <mask> in a text with a model folder."),
    "score": ("use", "Pseudo-log-likelihood of each line of a file."),
    "embed": ("use", "Write a vector for each text of a file."),
    "finetune": ("finetune", "Teach a model folder a task from labelled data."),
    "predict": ("finetune", "Answer each row of a file with a fine-tuned folder."),
    "evaluate": ("evaluate", "Score a model folder on a suite of tasks."),
    "export": ("push", "Copy a model folder, checked against stock transformers."),
    "push": ("push", "Copy a model folder to a folder, a store or the hub, whole."),
    "report": ("inspect", "Show or open a run's report."),
    "diff": ("compare", "Put two runs side by side: config, ledger, losses, scores."),
    "leaderboard": ("compare", "List the published models of a store by score."),
    "serve": ("serve", "Serve the UI, schedules and a worker."),
    "deploy": ("serve", "Register a config with the server, by hand or by the clock."),
    "runs": ("operate", "List the runs of server and store."),
    "retry": ("operate", "Try a run again; everything finished is reused."),
    "cancel": ("operate", "End a run; a training writes a checkpoint first."),
    "lineage": ("operate", "Show what a model was made from, or where a text went."),
    "doctor": ("operate", "Look at the health of store and server."),
    "schema": ("inspect", "Print the JSON schema of the config."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, context: click.Context) -> list[str]:
        """The commands in the order of the data's way."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import one command's module."""
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"flows.commands.{COMMANDS[name][0]}")
        command = getattr(module, name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def resolve_command(self, context: click.Context, arguments: list[str]) -> Any:
        """As click's, with the nearest command named when there is none of that name."""
        import difflib

        name = arguments[0]
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        if name not in COMMANDS and close:
            context.fail(f"there is no command {name!r}; did you mean {close[0]!r}?")
        return super().resolve_command(context, arguments)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _show_version(context: click.Context, parameter: click.Parameter, asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        click.echo(f"roberta {version('roberta-pipeline')}")
        context.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log what happens inside.")
def roberta(verbose: bool) -> None:
    """Turn a team's own text into a RoBERTa: CONFIG in; model, scores and report out."""
    configure_logging(verbose)


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    click.echo(printable_json(json_text(document, indent=1)))


class Terminated(KeyboardInterrupt):
    """SIGTERM: everything that cleans up after Ctrl-C does so after it as well."""


def _terminate(number: int, frame: object) -> None:
    raise Terminated


def main() -> None:
    """The console script: runs a command and turns its end into an exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    # A line of text may hold characters that an ASCII locale cannot print.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = roberta.main(standalone_mode=False)
    except click.ClickException as problem:
        # It repeats arguments, such as file names.
        problem.message = printable(problem.message)  # type: ignore[misc]
        problem.show()
        code = 2
    except UserError as problem:
        say(f"roberta: {problem}", err=True)
        code = 2
    except StageError as problem:
        say(f"roberta: {problem}", err=True)
        code = 1
    except BrokenPipeError:
        # The reader of our output has gone, as with `roberta status | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as problem:
        # Of the disk or the network, outside a stage; a stage's are told with its name.
        say(f"roberta: {problem}", err=True)
        code = 1
    except (KeyboardInterrupt, click.Abort) as problem:
        if isinstance(problem.__cause__, EOFError):  # click takes that for Ctrl-D at a prompt
            raise problem.__cause__ from None
        # click has made its own Abort of a KeyboardInterrupt, which may hold a hint.
        told = str(problem.__cause__ or problem)
        reason = told or "What is finished is kept; the same command goes on."
        say(f"roberta: stopped. {reason}", err=True)
        code = 128 + (signal.SIGTERM if _was_terminated(problem) else signal.SIGINT)
    sys.exit(code if isinstance(code, int) else 0)


def _was_terminated(problem: BaseException | None) -> bool:
    """Whether SIGTERM, and not Ctrl-C, is behind an interruption."""
    while problem is not None:
        if isinstance(problem, Terminated):
            return True
        problem = problem.__cause__ or problem.__context__
    return False


if __name__ == "__main__":
    main()
