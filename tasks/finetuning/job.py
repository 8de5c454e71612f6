"""One fine-tuning, whole: the data checked, the choices tried, the best one published.

    prepare ──▶ a training for each choice ──▶ scores on dev after each epoch ──▶ the best epoch
                        │ the best choice, with further seeds
                        ▼
                   model/ checked against stock, predictions, scores with intervals

Every part is a unit of the stage at work, so whatever ends a run, the next one goes on. A choice
of less worth keeps its scores and lets its weights go.
"""

from pathlib import Path
from typing import Any, NamedTuple

from tasks.engine.stage import StageContext
from tasks.engine.units import StoredFile, Unit, UnitResult
from tasks.evaluation.device import Device
from tasks.finetuning.choices import adapted_to, choices_of
from tasks.finetuning.folders import is_of_encoder
from tasks.finetuning.plan import Choice, Files, Found, Job, Tried
from tasks.finetuning.preparing import prepare
from tasks.finetuning.publishing import predict_file, publish
from tasks.finetuning.scoring import is_better
from tasks.finetuning.trying import try_choice


class Taught(NamedTuple):
    """What came of a job.

    Attributes:
        summary: What was found, tried, chosen and scored.
        model: Its weights, head and shape.
    """

    summary: dict[str, Any]
    model: Files


def fine_tune(context: StageContext[Any], job: Job) -> Taught:
    """Do all of a job.

    Raises:
        UserError: the data are not what the task needs.
        StageError: a training failed; its last checkpoint is kept.
    """
    found = _prepare(context, job)
    best = _best_of(context, job, found)
    place = {"device": Device.of(context)}
    unit = Unit(f"{job.prefix}model", _to_publish(job, found, best) | place)
    (made,) = context.map(publish, [unit], workers=1)
    labels = [name for name in job.files if name.startswith("predict/")]
    units = [
        Unit(f"{job.prefix}{label}", _to_predict(job, made, label) | place) for label in labels
    ]
    context.map(predict_file, units, workers=1)
    return Taught(
        dict(made.summary),
        {name: file for name, file in _folder(made).items() if is_of_encoder(name)},
    )


def _prepare(context: StageContext[Any], job: Job) -> Found:
    """Look through the data, and encode what is learnt from."""
    parts = {name: job.files[name] for name in ("train", "dev", "test") if name in job.files}
    payload = {
        "settings": job.settings,
        "files": parts,
        "model": {**job.tokenizer, "config.json": job.encoder["config.json"]},
    }
    unit = Unit(f"{job.prefix}examples", payload)
    (prepared,) = context.map(prepare, [unit], outputs=False, workers=1)
    return Found.of(prepared, job.settings)


class _Best(NamedTuple):
    """The best choice of all that were tried, and its weights."""

    tried: list[Tried]
    chosen: Tried
    weights: UnitResult


def _best_of(context: StageContext[Any], job: Job, found: Found) -> _Best:
    """Try every choice, then the best with further seeds; the first among equals is the best."""
    choices = choices_of(job.settings, int(job.config["hidden_size"]))
    total = len(choices) + job.settings.seeds - 1
    tried: list[Tried] = []
    best: tuple[Tried, UnitResult] | None = None

    def look_at(choice: Choice) -> None:
        nonlocal best
        before = None if best is None else best[0].value
        place = f" ({len(tried) + 1} of {total})" if total > 1 else ""
        one, weights = try_choice(context, job, found, choice, before, place)
        tried.append(one)
        if weights is None:
            return
        if is_better(found.metric, one.value, before):
            if best is not None:
                context.discard(best[1])
            best = one, weights
        else:
            context.discard(weights)

    for choice in choices:
        look_at(choice)
    assert best is not None
    chosen = best[0].choice
    for number in range(1, job.settings.seeds):
        look_at(chosen._replace(seed=job.settings.seed + number))
    return _Best(tried, *best)


def _to_publish(job: Job, found: Found, best: _Best) -> dict[str, Any]:
    names = ("config.json", "model.safetensors")
    encoder, rows = job.config, int(found.examples.rows or 0)
    return {
        "settings": job.settings,
        "found": found.to_json(),
        "examples": found.examples,
        "tuned": {name: best.weights.files[f"/{name}"] for name in names},
        "model": {**job.tokenizer, **job.encoder},
        "files": {name: job.files[name] for name in ("dev", "test") if name in job.files},
        "names": {
            name: Path(job.files[name].name).name
            for name in ("train", "dev", "test")
            if name in job.files
        },
        "tried": [
            {**each.to_json(), **adapted_to(encoder, rows, job.settings, each.choice)._asdict()}
            for each in best.tried
        ],
        "chosen": best.tried.index(best.chosen),
        "contained": job.contained,
    }


def _to_predict(job: Job, made: UnitResult, label: str) -> dict[str, Any]:
    return {"model": _folder(made), "file": job.files[label], "settings": job.settings}


def _folder(made: UnitResult) -> dict[str, StoredFile]:
    """The files of the published folder, by name."""
    return {
        suffix.removeprefix("/"): file
        for suffix, file in made.files.items()
        if suffix.startswith("/") and "/" not in suffix[1:]
    }
