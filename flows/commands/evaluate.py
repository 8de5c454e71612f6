"""`roberta evaluate`: a suite of tasks asked of any model folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from flows.cli import print_json
from flows.commands.options import json_option, open_default, set_option, store_option
from flows.commands.tables import new_table, show_all
from tasks.config import EngineConfig
from tasks.engine.files import write_asked_for


@click.command()
@click.argument("model", metavar="MODEL")
@click.option("--suite", required=True, metavar="FILE", help="A suite's file or its name.")
@set_option
@store_option
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), metavar="F", help="Write JSON there."
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="Worker processes; as many as there are cores unless given.",
)
@json_option
def evaluate(
    model: str,
    suite: str,
    overrides: tuple[str, ...],
    store: str | None,
    out: Path | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Ask MODEL, any Hugging Face RoBERTa folder, the tasks of a suite.

    What is scored is kept, so the same command goes on after Ctrl-C or a crash.
    """
    from tasks.config.suite import load_suite
    from tasks.engine.progress import default_progress
    from tasks.evaluation.running import costs
    from tasks.inference.model_folder import check_folder
    from tasks.stages.evaluate_suite import evaluate_folder

    asked = load_suite(suite, overrides)
    check_folder(Path(model))  # before a folder is made for the store
    opened = open_default(store)
    opened.check_writable()
    engine = EngineConfig(workers=workers)
    outcome = evaluate_folder(
        Path(model), asked, opened, engine=engine, progress=default_progress()
    )
    artifact = outcome.artifact
    found = {
        "model": model,
        **artifact.summary,
        "costs": costs(artifact.manifest["units"]),
        "path": opened.url(artifact.folder),
    }
    if out is not None:
        write_asked_for(out, (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode())
    if as_json:
        print_json(found)
    else:
        doubts = [f"caution: {sentence}" for sentence in _told_doubts(found)]
        show_all(_table(found), *doubts, _told_contained(found), f"Every item: {found['path']}")


def _told_contained(found: Mapping[str, Any]) -> str:
    """What of the sets the text holds that the model was trained on."""
    parts = dict((found["contamination"] or {}).get("tasks", {}))
    for name, task in found["tasks"].items():
        for part, scored in ((task or {}).get("scores") or {}).items():
            if "contamination" in scored:
                parts[f"{name} ({part})"] = scored["contamination"]
    if not parts:
        return "Whether the model was trained on any of this is not known."
    told = []
    for name, part in parts.items():
        short = part["too_short"]
        text = f"{name} {part['contained']:,} of {part['items'] - short:,}"
        told.append(f"{text} ({short:,} more too short to be looked for)" if short else text)
    return f"In the text that it was trained on: {', '.join(told)}."


def _told_doubts(found: Mapping[str, Any]) -> list[str]:
    """Which scores say little: no better than what needs no model, or not by more than chance."""
    from tasks.publishing.taught import told_unbeaten

    told, near = [], []
    for score in found["scores"]:
        task = found["tasks"].get(score["task"]) or {}
        if (beside := _beside(score, task)) is None:
            continue
        if "baselines_on" in task and (unbeaten := told_unbeaten(task)):
            told += [f"{score['task']}: {sentence}" for sentence in unbeaten]
        elif _may_be_chance(score, beside[1]):
            near.append(beside[0])
    if near:
        told.append(
            "What needs no model lies within the interval, so it may be chance: " + "; ".join(near)
        )
    return told


def _may_be_chance(score: Mapping[str, Any], guessed: float) -> bool:
    """Whether the worse end of a score's interval is no better than what needs no model."""
    if score["better"] == "lower":
        return bool(score["interval"]["high"] >= guessed)
    return bool(score["interval"]["low"] <= guessed)


def _beside(score: Mapping[str, Any], task: Mapping[str, Any]) -> tuple[str, float] | None:
    """A score in words, and what is got without a model; None where there is nothing to compare.

    Of a task that was taught only what decides is compared, with the best that needs no encoder.
    """
    from tasks.evaluation.told import shown
    from tasks.finetuning.downstream import told_part
    from tasks.publishing.taught import best_baseline

    named, value = "guessing", score["chance"]
    if "baselines_on" in task:
        is_main = score["measure"] == task["metric"]
        best = best_baseline(task, told_part(task)) if is_main else None
        named, value = best or (named, None)
    if value is None or score["interval"] is None:
        return None
    words = f"{score['task']}, {score['measure']} ({named} {shown({**score, 'value': value})})"
    return words, value


def _table(found: Mapping[str, Any]) -> Any:
    """The scores, each with what is needed to judge it, and what its task cost."""
    from tasks.evaluation.told import shown

    table = new_table("task", "measure", "score", "95 % interval", "items", "guessing", "seconds")
    told: set[str] = set()
    for score in found["scores"]:
        interval, chance = score["interval"], score["chance"]
        bounds = "-"
        if interval is not None:
            low, high = (shown({**score, "value": interval[end]}) for end in ("low", "high"))
            bounds = f"{low} to {high}"
        guessing = "-" if chance is None else shown({**score, "value": chance})
        name = score["task"]
        cost = "" if name in told else f"{found['costs'][name]['seconds']:,.1f}"
        told.add(name)
        cells = (name, score["measure"], shown(score), bounds, f"{score['n']:,}", guessing, cost)
        table.add_row(*cells)
    return table
