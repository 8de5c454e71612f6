"""Commands that use a model folder: fill-mask, score, embed."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from flows.cli import print_json
from flows.commands import completing
from flows.commands.options import json_option
from flows.terminal import one_line, say
from tasks.errors import UserError

if TYPE_CHECKING:
    from tasks.inference.over_files import Account
    from tasks.inference.texts import TextFile

F = TypeVar("F", bound=Callable[..., Any])

model_argument = click.argument("model", metavar="MODEL", shell_complete=completing.folders)
file_argument = click.argument(
    "file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
device_option = click.option(
    "--device", metavar="NAME", help="Where to compute, as torch names it; a GPU if there is one."
)


def reading_options(function: F) -> F:
    """--column, --format and --encoding: how FILE is read."""
    for option in (
        click.option(
            "--encoding",
            metavar="NAME",
            default="utf-8",
            show_default=True,
            help="Of the file; auto guesses it.",
        ),
        click.option(
            "--format",
            "form",
            metavar="NAME",
            default="auto",
            show_default=True,
            help="Of the file; auto goes by its name's ending.",
        ),
        click.option("--column", metavar="NAME", help="The column or key that holds the text."),
    ):
        function = option(function)
    return function


def begins_again(function: F) -> F:
    """Say on Ctrl-C that nothing is kept: results are written whole or not at all."""

    @functools.wraps(function)
    def run(**given: Any) -> None:
        try:
            function(**given)
        except KeyboardInterrupt as problem:
            told = "No file was written; the same command begins anew."
            raise KeyboardInterrupt(told) from problem

    return cast(F, run)


def out_option(endings: str, *, required: bool = False) -> Callable[[F], F]:
    """--out F: where results go instead of the terminal."""
    return click.option(
        "--out",
        metavar="F",
        required=required,
        type=click.Path(path_type=Path),
        help=f"Write them to a file whose name ends in {endings}.",
    )


@click.command("fill-mask")
@model_argument
@click.argument("text", metavar="[TEXT]", required=False)
@click.option(
    "--file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Fill those of each text of a file instead.",
)
@reading_options
@out_option(".jsonl or .parquet")
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="Guesses shown.")
@device_option
@json_option
@begins_again
def fill_mask(
    model: str,
    text: str | None,
    file: Path | None,
    column: str | None,
    form: str,
    encoding: str,
    out: Path | None,
    top: int,
    device: str | None,
    as_json: bool,
) -> None:
    """Fill each <mask> (or [MASK]) in TEXT with MODEL, any Hugging Face RoBERTa folder."""
    if (text is None) == (file is None):
        raise UserError("Give a TEXT with a <mask>, or a --file of such texts; not both.")
    if text is not None:
        if out is not None or column is not None:
            raise UserError("--out and --column are for a --file; a TEXT's guesses are shown.")
        from tasks.inference.fill_mask import fill_mask as fill

        masks = fill(Path(model), text, top, device)
        if as_json:
            print_json({"text": text, "masks": masks})
        else:
            _show_guesses(masks)
        return
    assert file is not None
    if as_json:
        raise UserError("--json is for a TEXT; of a --file write --out F.jsonl.")
    from tasks.inference import over_files

    texts = _opened(file, column, form, encoding, out, (".jsonl", ".parquet"))
    account, progress = over_files.Account(), _progress()
    loaded = _loaded(model, device)
    windows = over_files.fill_windows(loaded, texts, top, account, progress)
    if out is not None:
        over_files.write_windows(windows, out, over_files.FILLED)
        _tell(account, f"{account.tokens:,} masks filled", out)
    else:
        number = 0
        for window in windows:
            for row in window:
                number += 1
                _show_filled(number, row)
    _tell_too_long(account, loaded, "are not filled")


@click.command()
@model_argument
@file_argument
@reading_options
@out_option(".jsonl, .csv, .tsv or .parquet")
@device_option
@json_option
@begins_again
def score(
    model: str,
    file: Path,
    column: str | None,
    form: str,
    encoding: str,
    out: Path | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Pseudo-log-likelihood of each line of FILE: higher is more likely."""
    from tasks.inference import over_files

    _refuse_both(as_json, out)
    texts = _opened(file, column, form, encoding, out, (".jsonl", ".csv", ".tsv", ".parquet"))
    account, progress = over_files.Account(), _progress()
    loaded = _loaded(model, device)
    windows = over_files.score_windows(loaded, texts, account, progress)
    if out is not None:
        over_files.write_windows(windows, out, over_files.SCORED)
        _tell(account, f"{account.tokens:,} tokens scored", out)
    elif as_json:
        print_json({"lines": [line for window in windows for line in window]})
    else:
        for window in windows:
            for line in window:
                shown = "-" if line["score"] is None else f"{line['score']:.4f}"
                say(f"{shown:>12}  {one_line(line['text'])}")
    _tell_too_long(account, loaded, "have no score")


@click.command()
@model_argument
@file_argument
@out_option(".parquet or .npy", required=True)
@reading_options
@device_option
@json_option
@begins_again
def embed(
    model: str,
    file: Path,
    out: Path,
    column: str | None,
    form: str,
    encoding: str,
    device: str | None,
    as_json: bool,
) -> None:
    """Write a vector for each text of FILE: the mean of MODEL's last states, as stock pools."""
    from tasks.inference import over_files

    texts = _opened(file, column, form, encoding, out, (".parquet", ".npy"))
    loaded = _loaded(model, device, head=False)
    account = over_files.embed_file(loaded, texts, out, _progress())
    if as_json:
        print_json(
            {
                "path": str(out),
                "column": texts.column,
                "texts": account.texts,
                "tokens": account.tokens,
                "cut": account.cut,
                "width": loaded.width,
                "seconds": round(account.seconds, 3),
            }
        )
        return
    _tell(account, f"vectors of {loaded.width} numbers", out)
    if account.cut:
        say(
            f"{account.cut:,} of them are longer than the {loaded.max_tokens} tokens that the "
            "model reads: their ends were left out"
        )


def _opened(
    file: Path,
    column: str | None,
    form: str,
    encoding: str,
    out: Path | None,
    endings: tuple[str, ...],
) -> "TextFile":
    """The file, looked at, and the place of the results, before a model is loaded."""
    from tasks.inference.results import check_target
    from tasks.inference.texts import open_texts

    if out is not None:
        check_target(out, endings, file)
    texts = open_texts(file, column, form, encoding)
    if texts.is_guessed:
        say(f"{file}: the text is taken from the column {texts.column!r} (--column)", err=True)
    return texts


def _loaded(model: str, device: str | None, *, head: bool = True) -> Any:
    """The model of a folder; with `head` one that fills masks, as is then asked of it."""
    from tasks.inference.model_folder import check_fills_masks, load_for_use

    loaded = load_for_use(Path(model), device=device, head=head)
    if head:
        check_fills_masks(Path(model))  # else the first text would be blamed
    return loaded


def _progress() -> Any:
    from tasks.engine.progress import default_progress

    return default_progress()


def _refuse_both(as_json: bool, out: Path | None) -> None:
    if as_json and out is not None:
        raise UserError("--json prints the results, --out writes them to a file: take one of them.")


def _tell(account: "Account", what: str, out: Path) -> None:
    empty = f" ({account.empty:,} of them empty)" if account.empty else ""
    speed = account.texts / max(account.seconds, 1e-9)
    say(f"{out}: {account.texts:,} texts{empty}, {what}, {speed:,.0f} texts/s")


def _show_guesses(masks: Any) -> None:
    from tasks.inference.shown import shown_token

    for number, guesses in enumerate(masks, start=1):
        if len(masks) > 1:
            say(f"mask {number}")
        for guess in guesses:
            say(f"{guess['score']:8.4f}  {shown_token(guess['token'])}")


def _tell_too_long(account: Any, loaded: Any, so: str) -> None:
    if account.too_long:
        say(
            f"{account.too_long:,} of {account.texts:,} texts are longer than the "
            f"{loaded.max_tokens} tokens that the model reads, and {so}: a window would not see "
            "all of what a token depends on",
            err=True,
        )


def _show_filled(number: int, row: Any) -> None:
    """One text of a file in a line for each of its masks."""
    from tasks.inference.shown import shown_token

    for guesses in row["masks"]:
        told = ", ".join(f"{shown_token(g['token'])} {g['score']:.2f}" for g in guesses)
        say(f"{number:>6}  {one_line(row['text'])}  ->  {told}")
