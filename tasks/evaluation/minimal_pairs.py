"""Minimal pairs (BLiMP, Warstadt et al. 2020), scored by pseudo-log-likelihood.

A pair is right when the good sentence scores strictly higher. A tie is wrong: a model that gives
every sentence the same score knows nothing, and must not get full marks for it. A pair that is
longer than the model can read is not scored, and is counted apart: a window would score a
sentence without what decides it.

The accuracy is the unweighted mean over the paradigms, as BabyLM counts it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from roberta_model.inference.special_tokens import MASK, special_ids
from roberta_model.threads import one_thread
from tasks.config.evaluate import MinimalPairsConfig
from tasks.engine.outside import outside_file
from tasks.engine.units import StoredFile, UnitReport, UnitResult, UnitWork, shown_as
from tasks.errors import UserError
from tasks.evaluation.device import Device
from tasks.evaluation.intervals import mean_with_interval
from tasks.evaluation.opened import open_model
from tasks.evaluation.pair_files import FORMATS, MinimalPair, read_pairs
from tasks.evaluation.records import read_record, write_record
from tasks.evaluation.task import ModelFiles, ScoreRow, SpecialTokens, Task, file_units
from tasks.evaluation.text_files import find_files
from tasks.sources.hub_files import on_this_machine

_COUNTS = ("pairs", "right", "ties", "too_long")


def pair_files(settings: MinimalPairsConfig, where: str) -> dict[str, StoredFile]:
    """The files by name: they are part of the identity of what is scored."""
    paths = _paths(settings, f"{where}.data")
    return {name: outside_file(path) for name, path in paths.items()}


def check_pairs(settings: MinimalPairsConfig, where: str) -> None:
    """Refuse files that hold no pairs, by their first one."""
    told = f"{where}.data"
    for path in _paths(settings, told).values():
        read_pairs(path, settings, f"{told}: {path.name}", max_pairs=1)


def _paths(settings: MinimalPairsConfig, told: str) -> dict[str, Path]:
    return find_files(on_this_machine(settings.data, told), settings.format, told, FORMATS)


@shown_as("minimal pairs")
def score_pairs(
    work: UnitWork,
    *,
    model: ModelFiles,
    special_tokens: SpecialTokens,
    device: Device,
    data: StoredFile,
    name: str,
    read: MinimalPairsConfig,
) -> UnitReport:
    """One file: what each paradigm came to, and every pair's two scores beside it.

    The scores are null where a sentence is too long for the model.
    """
    from roberta_model.scoring import pseudo_log_likelihood

    told = f"{_field(work.label)}.data: {name}"
    pairs = read_pairs(data.local(), read, told, read.max_pairs)
    network, tokenizer = open_model(work, model, special_tokens, device)
    sentences = [sentence for pair in pairs for sentence in (pair.good, pair.bad)]
    rows = [row.ids for row in tokenizer.encode_batch(sentences)]
    lengths = [(len(good), len(bad)) for good, bad in zip(rows[::2], rows[1::2], strict=True)]
    fits = fitting_pairs(lengths, network.config.max_row_tokens, told)
    rows = [ids for number, ids in enumerate(rows) if fits[number // 2]]
    known = tokenizer.get_vocab()
    with one_thread():
        scores = pseudo_log_likelihood(
            network, rows, mask_id=known[MASK], special_ids=special_ids(known)
        )
    scored = iter(zip(scores[::2], scores[1::2], strict=True))
    every = [next(scored) if fit else None for fit in fits]
    summary = {"name": name, "paradigms": count_paradigms(pairs, every, name)}
    named = paradigms_of(pairs, name)
    write_record(work, {**summary, "pair_paradigms": named, "scores": every})
    return UnitReport(rows={".json": len(pairs)}, summary=summary)


def _field(label: str) -> str:
    """The field of the config that a unit's task stands in, from the unit's label."""
    task = label.partition("/")[0]
    return "evaluate.blimp" if task == "blimp" else f"evaluate.tasks.{task}"


def fitting_pairs(lengths: Sequence[tuple[int, int]], limit: int, told: str) -> list[bool]:
    """Which pairs the model can read, from the tokens of their two sentences.

    Raises:
        UserError: none of them.
    """
    longer = [max(pair) for pair in lengths]
    if min(longer) > limit:
        raise UserError(
            f"{told}: no pair can be scored. The longest has {max(longer)} tokens in a sentence, "
            f"the shortest {min(longer)}, and the model reads at most {limit}. Raise "
            "model.max_row_tokens or pack.row_tokens, or leave this file out."
        )
    return [length <= limit for length in longer]


def count_right(scores: Iterable[tuple[float, float]]) -> tuple[int, int]:
    """How many pairs are right, and how many are ties, from (good, bad) scores."""
    scores = list(scores)
    right = sum(good > bad for good, bad in scores)
    ties = sum(good == bad for good, bad in scores)
    return right, ties


def count_paradigms(
    pairs: Sequence[MinimalPair], scores: Sequence[tuple[float, float] | None], name: str
) -> list[dict[str, Any]]:
    """Counts of each paradigm of a file, which is one where it does not name several."""
    named = paradigms_of(pairs, name)
    found = []
    for paradigm in dict.fromkeys(named):
        its = [number for number, each in enumerate(named) if each == paradigm]
        both = [score for number in its if (score := scores[number]) is not None]
        right, ties = count_right(both)
        counts = {"pairs": len(both), "right": right, "ties": ties}
        groups = dict(pairs[its[0]].groups)
        found.append(
            {"paradigm": paradigm, "groups": groups, **counts, "too_long": len(its) - len(both)}
        )
    return found


def paradigms_of(pairs: Sequence[MinimalPair], name: str) -> list[str]:
    """The paradigm of each pair: the file's name, unless the pairs name more than one."""
    several = len({pair.paradigm for pair in pairs}) > 1
    return [pair.paradigm or name if several else name for pair in pairs]


def summarise_pairs(results: Sequence[UnitResult]) -> dict[str, Any]:
    """The mean over the paradigms, and by paradigm and by what the files group them by."""
    counted: dict[str, dict[str, Any]] = {}
    for each in (part for result in results for part in result.summary["paradigms"]):
        known = counted.setdefault(each["paradigm"], {"groups": each["groups"]})
        for count in _COUNTS:
            known[count] = known.get(count, 0) + each[count]
    paradigms = {name: {**each, **_share([each])} for name, each in counted.items()}
    keys = dict.fromkeys(key for each in counted.values() for key in each["groups"])
    return {
        **_share(list(counted.values())),
        **{name: sum(each[name] for each in counted.values()) for name in _COUNTS},
        "files": {name: each["accuracy"] for name, each in paradigms.items() if each["pairs"]},
        "paradigms": paradigms,
        "groups": {key: _by_value(counted, key) for key in keys},
    }


def _by_value(counted: Mapping[str, Mapping[str, Any]], key: str) -> dict[str, Any]:
    """The paradigms summed up by what they have under one key."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for each in counted.values():
        if key in each["groups"]:
            found.setdefault(each["groups"][key], []).append(each)
    return {
        value: {
            "paradigms": len(its),
            **{name: sum(each[name] for each in its) for name in _COUNTS},
            **_share(its),
        }
        for value, its in sorted(found.items())
    }


def _share(counted: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of the paradigms' shares of right pairs, with its interval."""
    counts = [(each["right"], each["pairs"]) for each in counted if each["pairs"]]
    if not counts:
        return {"accuracy": None, "interval": None}
    accuracy, interval = mean_with_interval(counts)
    return {"accuracy": accuracy, "interval": interval}


def pair_scores(name: str, summary: Mapping[str, Any]) -> list[ScoreRow]:
    """The accuracy; guessing gives half."""
    return [
        ScoreRow(
            task=name,
            measure="accuracy",
            value=summary["accuracy"],
            n=summary["pairs"],
            interval=summary["interval"],
            chance=0.5,
            better="higher",
        )
    ]


def pair_texts(settings: MinimalPairsConfig, files: Mapping[str, StoredFile]) -> Iterator[str]:
    """The good sentences: a corpus that holds them has seen the answers."""
    for name, file in sorted(files.items()):
        for pair in read_pairs(file.local(), settings, name, settings.max_pairs):
            yield pair.good


def pair_rights(results: Sequence[UnitResult]) -> list[tuple[str, bool | None]]:
    """The paradigm of each pair and whether it is right."""
    found: list[tuple[str, bool | None]] = []
    for result in results:
        record = read_record(result)
        for paradigm, score in zip(record["pair_paradigms"], record["scores"], strict=True):
            found.append((paradigm, None if score is None else count_right([score])[0] == 1))
    return found


MINIMAL_PAIRS = Task(
    kind="minimal_pairs",
    settings=MinimalPairsConfig,
    score=score_pairs,
    units=file_units,
    summarise=summarise_pairs,
    scores=pair_scores,
    files=pair_files,
    check=check_pairs,
    texts=pair_texts,
    rights=pair_rights,
)
