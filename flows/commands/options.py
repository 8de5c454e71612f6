"""Arguments and options that several commands share, and how a config is opened."""

import difflib
from collections.abc import Callable
from typing import Any, TypeVar

import click

from flows.commands import completing
from tasks.config import Config
from tasks.config.load import load_config
from tasks.config.root import DEFAULT_STORE
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.errors import UserError
from tasks.stages import KNOWN_STAGES

F = TypeVar("F", bound=Callable[..., Any])

config_argument = click.argument("config", metavar="CONFIG", shell_complete=completing.configs)
any_config_argument = click.argument(
    "config", metavar="[CONFIG]", required=False, shell_complete=completing.configs
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
store_option = click.option(
    "--store", metavar="URL", help="Where artifacts live.", shell_complete=completing.folders
)
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="K=V", help="Override a config field, a.b=value."
)


def stage_option(*names: str, help: str) -> Callable[[F], F]:
    """An option that takes a stage's name."""
    return click.option(*names, metavar="STAGE", help=help, shell_complete=completing.stages)


def config_options(function: F) -> F:
    """CONFIG, --set, --store and --json: what every command on a config takes."""
    for option in (json_option, store_option, set_option, config_argument):
        function = option(function)
    return function


def check_stages(**named: str | None) -> None:
    """Refuse stages that do not exist; each keyword is where a name came from.

    Raises:
        UserError: the message names the nearest right stage.
    """
    for where, name in named.items():
        if name is not None and name not in KNOWN_STAGES:
            close = difflib.get_close_matches(name, KNOWN_STAGES, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise UserError(
                f"{where}: there is no stage {name!r}.{hint} Stages: {', '.join(KNOWN_STAGES)}."
            )


def open_config(source: str, overrides: tuple[str, ...], store: str | None) -> tuple[Config, Store]:
    """The config with its overrides, and its store."""
    config = load_config(source, overrides)
    if store is not None:
        config = config.model_copy(update={"store": store})
    return config, open_store(config.store)


def open_default(store: str | None) -> Store:
    """The store that is named, else that of the folder the command is run in."""
    return open_store(store or DEFAULT_STORE)


def open_known(
    config: str | None, overrides: tuple[str, ...], store: str | None
) -> tuple[Config | None, Store, dict[str, str] | None]:
    """A store; of a config, where one is given, its own, with the keys that it leads to.

    Raises:
        UserError: there is no such store.
    """
    from tasks.inspection.ledger_path import known_keys

    if config is not None:
        settings, opened = open_config(config, overrides, store)
        return settings, opened, known_keys(settings, opened)
    opened = open_default(store)
    if not opened.exists(""):
        raise UserError(f"{opened.url('')}: there is no store. Give the right one by --store.")
    return None, opened, None
