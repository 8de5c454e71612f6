"""What `roberta run` prints at its end: the stages, the scores, filled masks, what next."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from flows.commands.tables import new_table
from flows.console import command_name
from flows.terminal import printable
from tasks.engine.records import read_manifest
from tasks.engine.store import Store
from tasks.inference.shown import shown_token
from tasks.inspection.models import published_models
from tasks.publishing.scores import lie_apart
from tasks.publishing.taught import told_unbeaten
from tasks.stages import FINE_TUNING, get_stage


def print_summary(record: Mapping[str, Any], store: Store) -> None:
    """A table of the stages, then scores, examples, paths and commands to go on with."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    table = new_table("stage", "state", "seconds", "result")
    table.columns[2].justify = "right"
    summaries = {}
    for entry in record["stages"]:
        artifact = read_manifest(store, f"{get_stage(entry['name']).folder}/{entry['key']}")
        assert artifact is not None, "a stage that has just ended has a manifest"
        summaries[entry["name"]] = artifact.summary
        headline = artifact.manifest["headline"]
        table.add_row(entry["name"], entry["state"], f"{entry['seconds']:.1f}", headline)
    console.print()
    console.print(table)
    for sentence in _told_unbeaten(summaries.get(FINE_TUNING, {})):
        console.print(printable(f"caution: {sentence}"))
    examples = summaries.get("evaluate", {}).get("examples", [])
    if examples:
        console.print()
    for example in examples:
        console.print(f"  {printable(_filled(example))}")
    if record["model"]:
        console.print(printable(f"\nmodel   {record['model']}\nreport  {record['report']}"))
        taught: list[str] = []
        for entry in record["stages"]:
            if entry["name"] == FINE_TUNING:
                console.print(printable(f"taught  {entry['path']}/report.html"))
                names = summaries[FINE_TUNING].get("tasks", ())
                taught += [f"{entry['path']}/{name}/model" for name in names]
        if (told := _worse_than_before(record, store)) is not None:
            console.print(printable(f"\n{told}"))
        console.print()
        text = examples[0]["text"] if examples else "Some text with a <mask> in it."
        for words in (
            ["fill-mask", record["model"], text],
            *(["predict", folder, "FILE"] for folder in taught),
            ["status", "--store", store.url("")],
        ):
            console.print(printable(f"  {shlex.join([command_name(), *words])}"))


def _worse_than_before(record: Mapping[str, Any], store: Store) -> str | None:
    """A sentence where the model whose place this one takes had a clearly better first score.

    Who tries something out for a moment has a good model replaced, and `prune` lets it go.
    """
    if record.get("replaces") is None:
        return None
    models = {model.published.folder: model for model in published_models(store, record["name"])}
    before = models.get(record["replaces"])
    now = next((each for each in models.values() if each.folder == record["model"]), None)
    if before is None or now is None or not now.scores:
        return None
    score = now.scores[0]
    old = next((each for each in before.scores if each.name == score.name), None)
    if old is None or lie_apart(old, score) is False:
        return None
    if not (old.value > score.value if score.higher_is_better else old.value < score.value):
        return None
    return (
        f"{score.name}: {score.shown()}, and {old.shown()} of the model whose place it takes. That "
        f"one is {before.folder} until it is pruned."
    )


def _told_unbeaten(summary: Mapping[str, Any]) -> list[str]:
    """Which tasks an encoder was taught in vain, as `roberta finetune` says it."""
    return [
        f"{name}: {sentence}"
        for name, found in summary.get("tasks", {}).items()
        for sentence in told_unbeaten(found)
    ]


def _filled(example: Mapping[str, Any]) -> str:
    guesses = ", ".join(
        f"{shown_token(guess['token'])} {guess['score']:.2f}" for guess in example["top"][:3]
    )
    return f"{example['text']}  ->  {guesses}"


def resume_hint(
    config: str, overrides: Sequence[str], store: str | None, until: str | None = None
) -> str:
    """The command that goes on from where a run stopped."""
    parts = [command_name(), "run", config]
    for override in overrides:
        parts += ["--set", override]
    if store is not None:
        parts += ["--store", store]
    if until is not None:
        parts += ["--until", until]
    return f"What is finished is kept. To go on: {shlex.join(parts)}"
