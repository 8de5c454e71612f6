"""Commands that teach a model folder a task, and use what it has learnt: finetune, predict."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from flows.cli import print_json
from flows.commands import completing
from flows.commands.options import json_option
from flows.commands.use import begins_again, device_option
from flows.terminal import printable, printable_json, say
from roberta_model.recipe import FirstAttention, TaskName
from tasks.config.downstream import ColumnsConfig, FineTuningConfig, Metric
from tasks.errors import UserError
from tasks.plain_json import json_text

F = TypeVar("F", bound=Callable[..., Any])

_FORMATS = get_args(FineTuningConfig.model_fields["format"].annotation)
_file = click.Path(path_type=Path)


def _chosen(
    name: str, words: Sequence[str], metavar: str, told: str, **more: Any
) -> Callable[[F], F]:
    """An option that takes one of some words, which its help lists."""
    told = f"{told} {', '.join(words)}."
    return click.option(name, type=click.Choice(words), metavar=metavar, help=told, **more)


@click.command()
@click.argument("model", metavar="MODEL", shell_complete=completing.folders)
@_chosen("--task", get_args(TaskName), "TASK", "What to learn.", required=True)
@click.option("--train", required=True, metavar="F", help="Labelled data to learn from.")
@click.option("--dev", required=True, metavar="F", help="Labelled data that choose the model.")
@click.option("--test", metavar="F", help="Labelled data that choose nothing, scored at the end.")
@click.option("--out", required=True, type=_file, metavar="DIR", help="A new or empty folder.")
@click.option("--text", metavar="COLUMN", help="The text; in qa the question.")
@click.option("--second", metavar="COLUMN", help="The second text; in qa the context.")
@click.option("--label", metavar="COLUMN", help="What is to be learnt; in qa the answers.")
@_chosen("--format", _FORMATS, "FORMAT", "Of the files.", default="auto")
@click.option("--separator", metavar="S", help="What parts several classes in one cell.")
@_chosen("--metric", get_args(Metric), "METRIC", "What decides; each task has its own.")
@click.option("--epochs", default=10, show_default=True, type=click.IntRange(1), help="At most.")
@click.option(
    "--patience",
    default=3,
    show_default=True,
    type=click.IntRange(1),
    help="Epochs without a better score that end a training.",
)
@click.option(
    "--learning-rate",
    "learning_rates",
    multiple=True,
    type=float,
    metavar="X",
    help="Repeat it to try several; default: by the encoder's width.",
)
@click.option("--embedding-learning-rate", type=float, metavar="X", help="Of the embeddings.")
@click.option("--head-learning-rate", type=float, metavar="X", help="Of the head.")
@_chosen(
    "--first-attention",
    get_args(FirstAttention),
    "A",
    "What <s> reads in the last layer at the start.",
)
@click.option(
    "--batch-size",
    "batch_sizes",
    multiple=True,
    type=int,
    metavar="N",
    help="Repeat it to try several; default: by the encoder's width.",
)
@click.option(
    "--dropout", type=float, metavar="X", help="As the encoder's config.json says, unless given."
)
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(1), help="Of the best.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="The first.")
@click.option("--balance", is_flag=True, help="Have all classes count alike.")
@click.option(
    "--max-tokens", default=512, show_default=True, type=click.IntRange(8), help="Of a row."
)
@json_option
def finetune(model: str, out: Path, as_json: bool, **given: Any) -> None:
    """Teach MODEL, any Hugging Face RoBERTa folder, a task; DIR becomes a folder that stock loads.

    Every learning rate is tried with every batch size; what scores best on --dev is kept. Whatever
    ends it, the same command goes on.
    """
    from pydantic import ValidationError

    from tasks.engine.progress import default_progress
    from tasks.finetuning.alone import fine_tune_folder, unfinished
    from tasks.stages.finetune_model import AloneConfig

    columns = {part: given.pop(part) for part in ("text", "second", "label")}
    values = {name: value for name, value in given.items() if value not in (None, ())}
    try:
        settings = FineTuningConfig(name=_name_of(out), columns=ColumnsConfig(**columns), **values)
    except ValidationError as problem:
        first = problem.errors()[0]
        option = "-".join(str(part) for part in first["loc"][:1]).replace("_", "-")
        told = first["msg"].removeprefix("Value error, ")
        raise UserError(f"--{option.rstrip('s')}: {told}.") from problem
    try:
        found = fine_tune_folder(
            AloneConfig(model=model, settings=settings), out, default_progress()
        )
    except KeyboardInterrupt as problem:
        hint = f"What is finished is kept in {unfinished(out)}; the same command goes on."
        raise KeyboardInterrupt(hint) from problem
    if as_json:
        print_json(found)
        return
    _tell(found, out)


def _name_of(out: Path) -> str:
    """The folder's name, as far as a task may be called so."""
    kept = "".join(c if c.isalnum() and c.isascii() or c in "._-" else "-" for c in out.name)
    return kept.strip("._-")[:60] or "finetuned"


def _tell(found: dict[str, Any], out: Path) -> None:
    """How well it does, beside what; and what to do with it."""
    from flows.console import command_name
    from tasks.finetuning.encoding import told_cut
    from tasks.publishing.taught import told_repeated, told_unbeaten

    metric = found["metric"]
    say(f"\nread: {found['columns']}, {found['rows']['train']:,} examples to learn from")
    if found["cut"]:
        told = told_cut(found["cut"], found.get("max_tokens"), found["task"])
        say(f"of them {told}")
    for sentence in told_repeated(found):
        say(sentence)
    best = found["tried"][found["chosen"]]
    say(
        f"best of {len(found['tried'])}: learning rate {best['learning_rate']:g} (embeddings "
        f"{best['embedding_learning_rate']:g}, head {best['head_learning_rate']:g}), dropout "
        f"{best['dropout']:g}, batch {best['batch_size']}, seed {best['seed']}, "
        f"epoch {best['epoch']}"
    )
    for part, scored in found["scores"].items():
        for name, score in scored["metrics"].items():
            mark = "*" if name == metric else " "
            low, high = score["low"], score["high"]
            say(
                f"{mark} {part:<5} {name:<12} {score['value']:8.4f}   {low:.4f} to {high:.4f} "
                f"(95 % of {scored['n']:,})"
            )
    for part in found["scores"]:
        for name, baseline in found["baselines_on"][part].items():
            say(f"  {part:<5} {metric:<12} {baseline[metric]:8.4f}   baseline: {name}")
    for sentence in told_unbeaten(found):
        say(f"caution: {sentence}")
    say(f"\nmodel   {out}\nnext    {command_name()} predict {out} FILE")


@click.command()
@click.argument("model", metavar="DIR", shell_complete=completing.folders)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=_file, metavar="F", help="jsonl, csv, tsv or parquet, by its ending.")
@click.option("--text", metavar="COLUMN", help="The text; in qa the question.")
@click.option("--second", metavar="COLUMN", help="The second text; in qa the context.")
@_chosen("--format", _FORMATS, "FORMAT", "Of FILE.", default="auto")
@device_option
@json_option
@begins_again
def predict(
    model: str,
    file: Path,
    out: Path | None,
    text: str | None,
    second: str | None,
    format: str,
    device: str | None,
    as_json: bool,
) -> None:
    """Answer each row of FILE with DIR, a fine-tuned folder; without --out as JSON lines.

    A row keeps its columns; those that the answer brings begin with `predicted_`.
    """
    from tasks.engine.outside import check_at_rest, stamp_before
    from tasks.finetuning.predictor import Predictor
    from tasks.finetuning.writing import ENDINGS, predictions, write_predictions
    from tasks.inference.results import check_target

    if out is not None:
        check_target(out, ENDINGS, file)
    predictor = Predictor(Path(model), device)
    columns = ColumnsConfig(text=text, second=second)
    form: Any = format
    if out is None:
        stamp = stamp_before(file)
        rows = predictions(predictor, file, columns, form)
        if as_json:
            answered = list(rows)
            check_at_rest(file, stamp)
            print_json({"rows": answered, "cut": predictor.encoder.num_cut})
            return
        for row in rows:
            click.echo(printable_json(json_text(row)))
        check_at_rest(file, stamp)
        _tell_cut(predictor)
        return
    count = write_predictions(predictor, file, columns, form, out)
    if as_json:
        print_json({"path": str(out), "rows": count, "cut": predictor.encoder.num_cut})
    else:
        print(f"{count:,} rows: {printable(str(out))}", file=sys.stderr)
        _tell_cut(predictor)


def _tell_cut(predictor: Any) -> None:
    if told := predictor.told_cut():
        say(told, err=True)
