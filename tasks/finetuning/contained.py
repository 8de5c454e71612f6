"""Which items of labelled data the pretraining text holds, and the scores without them.

    dev, test ──▶ _contained/sought ──▶ _contained/<documents file> ──▶ numbers of items
    numbers, answers ──▶ each metric with and without those items

What counts as contained is as for all evaluation, see `tasks.evaluation.contamination`: of a text
with a class that is the text, of a pair both texts, of a question its context.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from roberta_model.recipe import TaskName
from tasks.config.downstream import FineTuningConfig
from tasks.config.evaluate import ContaminationConfig
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitWork, shown_as
from tasks.evaluation.contamination import FLAGGED_SHARE, find_runs
from tasks.evaluation.grams import Hashes, Sought, grams_of
from tasks.evaluation.task import Map
from tasks.finetuning.items import Item
from tasks.finetuning.labels import Labels
from tasks.finetuning.plan import Contained, DataFiles, Job
from tasks.finetuning.preparing import columns_of
from tasks.finetuning.scoring import score_answers

SCORED = ("dev", "test")
LABEL = "_contained"  # no task is called so


def find_contained(
    run: Map, jobs: Mapping[str, Job], documents: Sequence[StoredFile], how: ContaminationConfig
) -> dict[str, dict[str, Contained]]:
    """Look for the items of dev and test of all jobs in the documents; by job and part.

    Args:
        run: Runs units of a function and returns their results in order.
        jobs: By their names.
        documents: The documents files that the encoder was trained on.
        how: What counts as contained.

    Raises:
        UserError: a row of the data cannot be read.
    """
    sets = [{"settings": job.settings, "files": _read(job)} for job in jobs.values()]
    (sought,) = run(gather_items, [Unit(f"{LABEL}/sought", {"sets": sets, "words": how.words})])
    found = find_runs(sought.files[".npz"], documents, run, LABEL)
    return {
        name: {part: _contained(job, part, found, how) for part in SCORED if part in job.files}
        for name, job in jobs.items()
    }


def _read(job: Job) -> DataFiles:
    """The files of a job that are read for it: what it learns from says where the parts stand."""
    return {part: job.files[part] for part in ("train", *SCORED) if part in job.files}


@shown_as("gather what is looked for")
def gather_items(work: UnitWork, *, sets: Sequence[Mapping[str, Any]], words: int) -> UnitReport:
    """The runs of words of every item of dev and test of some jobs."""
    texts = (
        text
        for each in sets
        for part in SCORED
        if part in each["files"]
        for item in _items(each["settings"], each["files"], part)
        for text in texts_of(each["settings"].task, item)
    )
    sought = Sought.of(dict.fromkeys(texts), words)
    sought.save(work.path(".npz"))
    return UnitReport(summary={"runs": sum(map(len, sought.runs.values()))})


def _items(settings: FineTuningConfig, files: DataFiles, part: str) -> Iterator[Item]:
    return files[part].items(settings, columns_of(settings, files["train"]))


def texts_of(task: TaskName, item: Item) -> list[str]:
    """What of an item could be known from reading it elsewhere.

    >>> texts_of("tag", Item("", ["Words", "to", "tag"], None, None))
    ['Words to tag']
    >>> texts_of("qa", Item("", "A question?", "Its context.", "context"))
    ['Its context.']
    >>> texts_of("pair", Item("", "One text.", "Another.", "same"))
    ['One text.', 'Another.']
    """
    if task == "tag":
        return [" ".join(item.text)]
    texts = [item.second] if task == "qa" else [item.text, item.second]
    return [text for text in texts if text is not None]


def _contained(
    job: Job, part: str, found: Mapping[int, set[int]], how: ContaminationConfig
) -> Contained:
    """Which items of a file are contained, from the runs that were found."""
    known: dict[str, tuple[int, Hashes]] = {}  # many questions share a context
    numbers, too_short = [], 0
    for number, item in enumerate(_items(job.settings, job.files, part)):
        hits = total = 0
        for text in texts_of(job.settings.task, item):
            if text not in known:
                known[text] = grams_of(text, how.words)
            length, hashes = known[text]
            hits += sum(run in found.get(length, ()) for run in hashes.tolist())
            total += len(hashes)
        too_short += not total
        if total and hits >= how.share * total:
            numbers.append(number)
    return Contained(numbers, too_short)


def scores_without(
    settings: FineTuningConfig,
    labels: Labels,
    items: Sequence[Item],
    answers: Sequence[dict[str, Any]],
    contained: Contained,
) -> dict[str, Any]:
    """How many of some items are contained, and the metrics without them and of them alone.

    Plain JSON: `items`, `contained`, `too_short`, `flagged`, and `without` and `contained_only`,
    each `n` and `metrics` or None over no items.
    """
    inside = set(contained.numbers)

    def score_of(numbers: Sequence[int]) -> dict[str, Any] | None:
        if not numbers:
            return None
        chosen = [items[n] for n in numbers], [answers[n] for n in numbers]
        scored = score_answers(settings, labels, *chosen)
        return {"n": scored["n"], "metrics": scored["metrics"]}

    return {
        "items": len(items),
        "contained": len(inside),
        "too_short": contained.too_short,
        "flagged": len(inside) > FLAGGED_SHARE * (len(items) - contained.too_short),
        "without": score_of([n for n in range(len(items)) if n not in inside]),
        "contained_only": score_of(contained.numbers),
    }
