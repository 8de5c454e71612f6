"""Commands that use a model folder: fill-mask, score, export."""

from pathlib import Path

import click

from flows.cli import print_json
from flows.commands.options import json_option
from flows.terminal import say


@click.command("fill-mask")
@click.argument("model", metavar="MODEL")
@click.argument("text")
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="Guesses shown.")
@json_option
def fill_mask(model: str, text: str, top: int, as_json: bool) -> None:
    """Fill each <mask> (or [MASK]) in TEXT with MODEL, any Hugging Face RoBERTa folder."""
    from tasks.inference.fill_mask import fill_mask as fill
    from tasks.inference.shown import shown_token

    masks = fill(Path(model), text, top)
    if as_json:
        print_json({"text": text, "masks": masks})
        return
    for number, guesses in enumerate(masks, start=1):
        if len(masks) > 1:
            say(f"mask {number}")
        for guess in guesses:
            say(f"{guess['score']:8.4f}  {shown_token(guess['token'])}")


@click.command()
@click.argument("model", metavar="MODEL")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def score(model: str, file: Path, as_json: bool) -> None:
    """Pseudo-log-likelihood of each line of FILE: higher is more likely."""
    from tasks.inference.score_lines import score_file

    lines = score_file(Path(model), file)
    if as_json:
        print_json({"lines": lines})
        return
    for line in lines:
        shown = "-" if line["score"] is None else f"{line['score']:.4f}"
        say(f"{shown:>12}  {line['text']}")


@click.command()
@click.argument("model", metavar="MODEL")
@click.option("--to", "target", required=True, metavar="DIR", help="A new or empty folder.")
@json_option
def export(model: str, target: str, as_json: bool) -> None:
    """Copy MODEL to DIR as a Hugging Face folder, checked against stock transformers."""
    from tasks.publishing.export import export_folder

    result = export_folder(Path(model), Path(target))
    if as_json:
        print_json(result)
    else:
        say(f"{target}: stock transformers agrees within {result['largest_difference']:.1e}")
