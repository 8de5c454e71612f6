"""Contamination: what of the evaluation sets the training text holds, and the scores without it.

    sets ──▶ contamination/sought ──▶ contamination/<documents file> ──▶ which items are contained

An item is contained if enough of its runs of words occur in the documents that were trained on,
by default 70 % of its runs of 8 words (as PaLM counts; Chowdhery et al. 2022). Of a minimal pair
that is the good sentence, of a fact the sentence with its answer. A set is flagged if more than a
hundredth of the items that are long enough to be looked for is contained.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tasks.config.evaluate import ContaminationConfig
from tasks.documents import read_documents
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult, UnitWork, shown_as
from tasks.evaluation.grams import Sought, grams_of
from tasks.evaluation.intervals import mean_share, wilson_of_mean
from tasks.evaluation.table import TASKS, Asked
from tasks.evaluation.task import Map, Task

LABEL = "contamination"
FLAGGED_SHARE = 0.01
_BY_KIND = {task.kind: task for task in TASKS.values()}

Scored = tuple[Asked, Mapping[str, StoredFile], Sequence[UnitResult]]


def check_contamination(
    scored: Sequence[Scored], documents: Sequence[StoredFile], how: ContaminationConfig, run: Map
) -> dict[str, Any] | None:
    """Look for the items of all sets in the documents; None where there is nothing to look for.

    Args:
        scored: Tasks with their outside files and results.
        documents: The documents files that the model was trained on.
        how: What counts as contained.
        run: Runs units of a function and returns their results in order.
    """
    scored = [each for each in scored if each[0].task.texts is not None]
    if not scored or not documents:
        return None
    sets = [
        {"kind": asked.task.kind, "settings": asked.settings, "files": dict(files)}
        for asked, files, _ in scored
    ]
    (sought,) = run(gather_runs, [Unit(f"{LABEL}/sought", {"sets": sets, "words": how.words})])
    found = find_runs(sought.files[".npz"], documents, run)
    tasks = {asked.name: _judge(asked, files, its, found, how) for asked, files, its in scored}
    return {
        **{"words": how.words, "share": how.share, "documents_files": len(documents)},
        "flagged": [name for name, told in tasks.items() if told["flagged"]],
        "tasks": tasks,
    }


def find_runs(
    sought: StoredFile, documents: Sequence[StoredFile], run: Map, label: str = LABEL
) -> dict[int, set[int]]:
    """Those of the runs that are looked for which occur in some documents files, by length.

    Args:
        sought: What `Sought.save` wrote.
        documents: The files, a unit each.
        run: Runs units of a function and returns their results in order.
        label: What the units' labels begin with.
    """
    units = [
        Unit(f"{label}/{number:05}", {"sought": sought, "documents": file})
        for number, file in enumerate(documents)
    ]
    found: dict[int, set[int]] = {}
    for result in run(look_through, units):
        with np.load(result.files[".npz"].local(), allow_pickle=False) as arrays:
            for length in arrays.files:
                found.setdefault(int(length), set()).update(arrays[length].tolist())
    return found


@shown_as("gather what is looked for")
def gather_runs(work: UnitWork, *, sets: Sequence[Mapping[str, Any]], words: int) -> UnitReport:
    """The runs of words of every item of some sets."""
    texts = (
        text for each in sets for text in _texts(each["kind"], each["settings"], each["files"])
    )
    sought = Sought.of(texts, words)
    sought.save(work.path(".npz"))
    return UnitReport(summary={"runs": sum(map(len, sought.runs.values()))})


def _texts(kind: str, settings: Any, files: Mapping[str, StoredFile]) -> Any:
    task: Task[Any] = _BY_KIND[kind]
    assert task.texts is not None
    return task.texts(settings, files)


@shown_as("look for evaluation sets in the text")
def look_through(work: UnitWork, *, sought: StoredFile, documents: StoredFile) -> UnitReport:
    """Those of the runs that occur in one documents file."""
    texts = (document.text for document in read_documents(documents.local()))
    found = Sought.load(sought.local()).found_in(texts)
    arrays: dict[str, Any] = {str(length): hashes for length, hashes in found.items()}
    with work.path(".npz").open("wb") as file:
        np.savez(file, **arrays)
    return UnitReport(summary={"runs": sum(map(len, found.values()))})


def _judge(
    asked: Asked,
    files: Mapping[str, StoredFile],
    results: Sequence[UnitResult],
    found: Mapping[int, set[int]],
    how: ContaminationConfig,
) -> dict[str, Any]:
    """One set: how much of it is contained, and its score with and without that."""
    assert asked.task.rights is not None
    rights = asked.task.rights(results)
    contained, short = [], 0
    for text in _texts(asked.task.kind, asked.settings, files):
        length, hashes = grams_of(text, how.words)
        hits = sum(run in found.get(length, ()) for run in hashes.tolist())
        short += not len(hashes)
        contained.append(len(hashes) > 0 and hits >= how.share * len(hashes))
    groups: dict[str, dict[str, list[int]]] = {"with": {}, "without": {}, "contained_only": {}}
    for (group, is_right), inside in zip(rights, contained, strict=True):
        if is_right is None:
            continue
        for part in ("with", "contained_only" if inside else "without"):
            counts = groups[part].setdefault(group, [0, 0])
            counts[0] += is_right
            counts[1] += 1
    return {
        "items": len(contained),
        "contained": sum(contained),
        "too_short": short,
        "flagged": sum(contained) > FLAGGED_SHARE * (len(contained) - short),
        **{part: _mean(counts) for part, counts in groups.items()},
    }


def _mean(groups: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
    """The unweighted mean of the groups' shares, as the tasks count it."""
    counts = [(right, asked) for right, asked in groups.values()]
    if not counts:
        return None
    return {
        "value": mean_share(counts),
        "n": sum(asked for _, asked in counts),
        "interval": wilson_of_mean(counts),
    }
