"""The command that hands a model on: push."""

from pathlib import Path

import click

from flows.cli import print_json
from flows.commands.options import json_option
from flows.terminal import say


@click.command()
@click.argument("model", metavar="MODEL")
@click.option("--to", "url", required=True, metavar="URL", help="A folder, fsspec URL or hf://.")
@click.option("--replace", is_flag=True, help="Put it in the place of a model that is there.")
@json_option
def push(model: str, url: str, replace: bool, as_json: bool) -> None:
    """Copy MODEL to URL, checked against stock transformers: whole, or not to be loaded at all.

    Credentials come from the environment alone: those of the store's own driver, HF_TOKEN for
    the hub.
    """
    from tasks.engine.progress import describe_bytes
    from tasks.publishing.push import push_model

    found = push_model(Path(model), url, replace=replace)
    if as_json:
        print_json(found)
        return
    size = f"{len(found['files'])} files, {describe_bytes(found['bytes'])}"
    if found["state"] == "there":
        say(f"{found['url']}: this very model is there already ({size})")
        return
    within = f"{found['largest_difference']:.1e}"
    say(f"{found['url']}: {size}; stock transformers agrees within {within}")
