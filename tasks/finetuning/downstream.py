"""The tasks of a list, such as a config's `downstream`: their files, checked, and then done.

Stages that teach a model share this: the pipeline's own, a suite's, and that of one task alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tasks.config.downstream import FineTuningConfig
from tasks.config.evaluate import ContaminationConfig, check_names
from tasks.engine.outside import outside_file
from tasks.engine.stage import StageContext
from tasks.engine.units import StoredFile
from tasks.errors import UserError
from tasks.evaluation.intervals import Interval
from tasks.evaluation.task import ScoreRow
from tasks.finetuning.answer_columns import answer_columns, answer_would_replace
from tasks.finetuning.contained import find_contained
from tasks.finetuning.items import find_columns, first_row
from tasks.finetuning.job import Taught, fine_tune
from tasks.finetuning.plan import DataFile, Job
from tasks.sources.hub_files import on_this_machine


def data_files(settings: FineTuningConfig, field: str) -> dict[str, Path]:
    """The files that a fine-tuning reads, by what they are for.

    Raises:
        UserError: one is not there.
    """
    named = {"train": settings.train, "dev": settings.dev, "test": settings.test}
    named |= {f"predict/{number}": path for number, path in enumerate(settings.predict)}
    found = {}
    for part, name in named.items():
        if name is None:
            continue
        key = f"{field}{part.split('/')[0]}"
        path = on_this_machine(name, key)
        if not path.is_file():
            raise UserError(f"{key}: there is no file {path}. Correct the path.")
        found[part] = path
    return found


def downstream_files(tasks: Sequence[FineTuningConfig]) -> dict[str, StoredFile]:
    """The labelled data by task and part, such as `mood/train`."""
    return {
        f"{settings.name}/{part}": outside_file(path)
        for number, settings in enumerate(tasks)
        for part, path in data_files(settings, f"downstream.{number}.").items()
    }


def check_downstream(tasks: Sequence[FineTuningConfig]) -> None:
    """Refuse what could not be learnt, as far as the first rows tell.

    Raises:
        UserError: a file or a column is not there, two tasks have one name or one has a name
            that is taken, or one is to begin with another that does not stand before it.
    """
    names = [settings.name for settings in tasks]
    try:
        check_names(names)
    except ValueError as problem:
        raise UserError(f"downstream: {problem}.") from problem
    for number, settings in enumerate(tasks):
        if settings.after is not None and settings.after not in names[:number]:
            before = ", ".join(names[:number]) or "none"
            raise UserError(
                f"downstream.{number}.after: no task called {settings.after!r} stands before "
                f"{settings.name!r} (but: {before}). Name one that does, or put it there."
            )
        check_columns(settings, f"downstream.{number}.")


def check_columns(settings: FineTuningConfig, field: str = "") -> None:
    """Refuse files whose first rows lack what the task needs.

    Raises:
        UserError: names the file and the columns it has.
    """
    for part, path in data_files(settings, field).items():
        where, row = first_row(path, settings.format)
        labelled = not part.startswith("predict")
        if not labelled and (taken := answer_columns(settings.task) & row.keys()):
            raise UserError(answer_would_replace(where, min(taken)))
        find_columns(settings.task, row, settings.columns, where, labelled=labelled)


def teach(
    context: StageContext[Any],
    tasks: Sequence[FineTuningConfig],
    model: Mapping[str, StoredFile],
    documents: Sequence[StoredFile],
    how: ContaminationConfig | None,
) -> dict[str, dict[str, Any]]:
    """Do the tasks of a stage whose outside files are labelled as `downstream_files` does.

    Args:
        context: The stage at work.
        tasks: What is to be learnt.
        model: The files of the pretrained folder.
        documents: What the encoder was trained on; empty where nobody knows.
        how: What of dev and test counts as contained in it; None looks for nothing.

    Returns:
        The summary of each task by its name.

    Raises:
        UserError: data are not what a task needs.
        StageError: a training failed; its last checkpoint is kept.
    """
    jobs = {each.name: _job(context, each, model) for each in tasks}
    if documents and how is not None and jobs:
        run = partial(context.map, outputs=False)
        contained = find_contained(run, jobs, documents, how)
        jobs = {name: replace(job, contained=contained[name]) for name, job in jobs.items()}
    taught: dict[str, Taught] = {}
    for name, job in jobs.items():
        if (before := job.settings.after) is not None:
            job = replace(job, model={**job.tokenizer, **taught[before].model})
        taught[name] = fine_tune(context, job)
    return {name: each.summary for name, each in taught.items()}


def _job(
    context: StageContext[Any], settings: FineTuningConfig, model: Mapping[str, StoredFile]
) -> Job:
    prefix = f"{settings.name}/"
    files = {
        label.removeprefix(prefix): file
        for label, file in context.externals.items()
        if label.startswith(prefix)
    }
    return job_of(settings, files, model, prefix)


def job_of(
    settings: FineTuningConfig,
    files: Mapping[str, StoredFile],
    model: Mapping[str, StoredFile],
    prefix: str = "",
) -> Job:
    """A job whose files are called by their paths."""
    named = {part: DataFile(file.url, file) for part, file in files.items()}
    return Job(settings, named, model, prefix)


def told_score(found: Mapping[str, Any]) -> str:
    """The deciding metric with its interval; on test where there is one."""
    part = told_part(found)
    score = found["scores"][part]["metrics"][found["metric"]]
    return f"{score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f} on {part})"


def told_part(found: Mapping[str, Any]) -> str:
    """The data whose scores are to be believed most."""
    return "test" if "test" in found["scores"] else "dev"


def score_rows(name: str, found: Mapping[str, Any]) -> list[ScoreRow]:
    """The rows of the common table of scores: the deciding metric first.

    `chance` is what the first baseline has on the same rows: the commonest class, set or tag, the
    mean, or of a question the likeliest sentence.
    """
    part = told_part(found)
    scored = found["scores"][part]
    first: Mapping[str, float] = next(iter(found["baselines_on"][part].values()), {})
    metrics = sorted(scored["metrics"], key=lambda metric: metric != found["metric"])
    return [
        ScoreRow(
            task=name,
            measure=metric,
            value=scored["metrics"][metric]["value"],
            n=scored["n"],
            interval=Interval(
                low=scored["metrics"][metric]["low"],
                high=scored["metrics"][metric]["high"],
                method="bootstrap",
            ),
            chance=first.get(metric),
            better="lower" if metric == "mse" else "higher",
        )
        for metric in metrics
    ]
