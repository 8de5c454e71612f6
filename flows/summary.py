"""What `roberta run` prints at its end: the stages, the scores, filled masks, what next."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from tasks.engine.records import read_manifest
from tasks.engine.store import Store
from tasks.inference.shown import shown_token
from tasks.stages import get_stage


def print_summary(record: Mapping[str, Any], store: Store) -> None:
    """A table of the stages, then scores, examples, paths and commands to go on with."""
    console = Console(highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("stage", "state", "seconds", "result"):
        table.add_column(column, justify="right" if column == "seconds" else "left")
    summaries = {}
    for entry in record["stages"]:
        artifact = read_manifest(store, f"{get_stage(entry['name']).folder}/{entry['key']}")
        assert artifact is not None, "a stage that has just ended has a manifest"
        summaries[entry["name"]] = artifact.summary
        headline = _headline(entry["name"], artifact.summary)
        table.add_row(entry["name"], entry["state"], f"{entry['seconds']:.1f}", headline)
    console.print()
    console.print(table)
    for example in summaries.get("evaluate", {}).get("examples", []):
        console.print(f"  {_filled(example)}", markup=False)
    if record["model"]:
        console.print(f"\nmodel   {record['model']}\nreport  {record['report']}\n", markup=False)
        model = shlex.quote(record["model"])
        console.print(f"  roberta fill-mask {model} 'The function returns a <mask>.'", markup=False)
        console.print(f"  roberta status --store {shlex.quote(store.url(''))}", markup=False)


def _filled(example: Mapping[str, Any]) -> str:
    guesses = ", ".join(
        f"{shown_token(guess['token'])} {guess['score']:.2f}" for guess in example["top"][:3]
    )
    return f"{example['text']}  ->  {guesses}"


def _headline(stage: str, summary: Mapping[str, Any]) -> str:
    """The one line of a stage that a person wants to see."""
    if stage == "evaluate":
        return _scores(summary)
    if stage == "download":
        sources = summary["sources"]
        summary = {name: sum(each[name] for each in sources) for name in ("documents", "bytes")}
    parts = []
    for name, text in _HEADLINES.get(stage, {}).items():
        value: Any = summary
        for key in name.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None:
            shown = f"{value:,}" if isinstance(value, int) else value
            parts.append(text.format(shown))
    return ", ".join(parts)


def _scores(summary: Mapping[str, Any]) -> str:
    """The headline of the evaluation: what tells one model from another."""
    parts = []
    if held_out := summary["held_out"]:
        hidden, unigram = held_out["by_kind"]["mask"], held_out["unigram"]["mask"]
        parts.append(f"held-out perplexity {held_out['perplexity']:.1f}")
        text = f"accuracy {held_out['accuracy']:.1%}"
        if hidden["tokens"]:
            beside = f"{hidden['accuracy']:.1%} at <mask>, unigram {unigram['accuracy']:.1%}"
            text = f"{text} ({beside})"
        parts.append(text)
    if blimp := summary["blimp"]:
        parts.append(f"BLiMP {blimp['accuracy']:.1%}")
        if too_long := blimp["too_long"]:
            parts.append(f"{too_long:,} {'pair' if too_long == 1 else 'pairs'} too long")
    return ", ".join(parts)


_HEADLINES = {
    "download": {"documents": "{} documents", "bytes": "{} bytes"},
    "clean": {"train.documents": "{} to train on", "held_out.documents": "{} held out"},
    "tokenizer": {"vocab_size": "{} tokens", "tokens_per_word": "{:.2f} tokens a word"},
    "pack": {"train.rows": "{} rows", "train.tokens": "{} tokens"},
    "pretrain": {"steps": "{} steps", "final_loss": "loss {:.3f}"},
    "publish": {"largest_difference": "stock transformers agrees within {:.0e}"},
}


def resume_hint(
    config: str, overrides: Sequence[str], store: str | None, until: str | None = None
) -> str:
    """The command that goes on from where a run stopped."""
    parts = ["roberta", "run", config]
    for override in overrides:
        parts += ["--set", override]
    if store is not None:
        parts += ["--store", store]
    if until is not None:
        parts += ["--until", until]
    return f"What is finished is kept. To go on: {shlex.join(parts)}"
