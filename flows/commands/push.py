"""Commands that hand a model on: export, push."""

from pathlib import Path

import click

from flows.cli import print_json
from flows.commands import completing
from flows.commands.options import json_option
from flows.terminal import say

_model_argument = click.argument("model", metavar="MODEL", shell_complete=completing.folders)


@click.command()
@_model_argument
@click.option("--to", "target", required=True, metavar="DIR", help="A new or empty folder.")
@click.option("--onnx", is_flag=True, help="Write model.onnx too, checked against torch.")
@json_option
def export(model: str, target: str, onnx: bool, as_json: bool) -> None:
    """Copy MODEL to DIR as a Hugging Face folder, checked against stock transformers."""
    from tasks.publishing.export import export_folder

    result = export_folder(Path(model), Path(target), onnx=onnx)
    if as_json:
        print_json(result)
        return
    say(f"{target}: stock transformers agrees within {result['largest_difference']:.1e}")
    if onnx:
        say(f"{target}/model.onnx: torch agrees within {result['onnx_difference']:.1e}")


@click.command()
@_model_argument
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
