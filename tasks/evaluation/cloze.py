"""Cloze facts (LAMA, Petroni et al. 2019), such as "Dante died in [MASK]": what comes first.

Two rankings of each fact, of which the first is for all and the second as LAMA counts:

    candidates   the fact's answer among all answers of its relation, of one token or of several.
                 A candidate of k tokens is put where k masks stand; its score is the mean of its
                 tokens' log-probabilities there (as Kassner et al. 2021 ask multilingual models).
    vocabulary   an answer of one token among all tokens; others have no rank there

A fact counts at k if at most k candidates score as high as its answer, itself among them: a tie
is wrong, so a constant model scores nothing. Not asked, and counted apart, are sentences without
exactly one mask, sentences that are too long, and answers of more tokens than the settings allow;
among the candidates also facts whose relation has no other answer.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roberta_model.inference.special_tokens import MASK
from roberta_model.threads import one_thread
from tasks.config.evaluate import ClozeConfig
from tasks.engine.outside import outside_file
from tasks.engine.units import StoredFile, UnitReport, UnitResult, UnitWork, shown_as
from tasks.evaluation.cloze_files import FORMATS, Fact, each_fact, read_facts
from tasks.evaluation.device import Device
from tasks.evaluation.intervals import mean_with_interval
from tasks.evaluation.opened import open_model
from tasks.evaluation.records import read_record, write_record
from tasks.evaluation.task import ModelFiles, ScoreRow, SpecialTokens, Task, file_units
from tasks.evaluation.text_files import find_files
from tasks.sources.hub_files import on_this_machine

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor

DEPTHS = (1, 5, 10)
Tokens = tuple[int, ...]


def fact_files(settings: ClozeConfig, where: str) -> dict[str, StoredFile]:
    """The files by name: they are part of the identity of what is scored."""
    return {name: outside_file(path) for name, path in _paths(settings, where).items()}


def check_facts(settings: ClozeConfig, where: str) -> None:
    """Refuse files that hold no facts, by their first one."""
    for path in _paths(settings, where).values():
        next(each_fact(path, settings, f"{where}.data: {path.name}", path.name), None)


def _paths(settings: ClozeConfig, where: str) -> dict[str, Path]:
    told = f"{where}.data"
    return find_files(on_this_machine(settings.data, told), "auto", told, FORMATS)


@shown_as("cloze facts")
def score_facts(
    work: UnitWork,
    *,
    model: ModelFiles,
    special_tokens: SpecialTokens,
    device: Device,
    data: StoredFile,
    name: str,
    read: ClozeConfig,
) -> UnitReport:
    """One file: counts by relation, and of every fact its two ranks (null: not asked)."""
    told = f"evaluate.tasks.{work.label.partition('/')[0]}.data: {name}"
    facts, unusable = read_facts(data.local(), read, told, name)
    network, tokenizer = open_model(work, model, special_tokens, device)
    with one_thread():
        ranks = rank_facts(network, tokenizer, facts, read.max_answer_tokens)
    record = [
        {"relation": fact.relation, "answer": fact.answer, **rank}
        for fact, rank in zip(facts, ranks, strict=True)
    ]
    write_record(work, record)
    summary = {"name": name, "unusable": unusable, "relations": count_relations(record)}
    return UnitReport(rows={".json": len(record)}, summary=summary)


def rank_facts(
    network: Any, tokenizer: "Tokenizer", facts: Sequence[Fact], max_answer_tokens: int
) -> list[dict[str, int | None]]:
    """The ranks of each fact's answer, 1 is the first, and how many candidates there were.

    `candidates` and `vocabulary` are None where the fact was not asked.
    """
    from roberta_model.cloze_scoring import log_probabilities_at_masks

    answers = [_answer_tokens(tokenizer, fact) for fact in facts]
    pools: dict[str, set[Tokens]] = {}
    for fact, tokens in zip(facts, answers, strict=True):
        if len(tokens) <= max_answer_tokens:
            pools.setdefault(fact.relation, set()).add(tokens)
    prompts: list[tuple[int, int]] = []  # number of the fact, masks
    rows: list[list[int]] = []
    limit = network.config.max_row_tokens
    for number, (fact, tokens) in enumerate(zip(facts, answers, strict=True)):
        pool = pools.get(fact.relation, set())
        lengths = sorted(set(map(len, pool)))
        texts = [f"{fact.before}{MASK * length}{fact.after}" for length in lengths]
        encoded = [tokenizer.encode(text).ids for text in texts]
        if tokens in pool and max(map(len, encoded)) <= limit:
            prompts += [(number, length) for length in lengths]
            rows += encoded
    scores: list[dict[Tokens, float]] = [{} for _ in facts]
    found: list[dict[str, int | None]] = [
        {"tokens": len(tokens), "candidates": None, "pool": None, "vocabulary": None}
        for tokens in answers
    ]
    mask_id = tokenizer.get_vocab()[MASK]
    for place, values_KV in log_probabilities_at_masks(network, rows, mask_id):
        number, length = prompts[place]
        pool_of_length = [t for t in pools[facts[number].relation] if len(t) == length]
        scores[number].update(_mean_scores(values_KV, sorted(pool_of_length)))
        if length == len(answers[number]) == 1:
            its_value = values_KV[0, answers[number][0]]
            # What is no number comes last: a broken model is not to be always right.
            found[number]["vocabulary"] = int((~(values_KV[0] < its_value)).sum())
    for number in {number for number, _ in prompts}:
        if len(scores[number]) > 1:  # else nothing could come before it; NaN comes last
            own = scores[number][answers[number]]
            found[number]["candidates"] = sum(not score < own for score in scores[number].values())
            found[number]["pool"] = len(scores[number])
    return found


def _answer_tokens(tokenizer: "Tokenizer", fact: Fact) -> Tokens:
    """The answer as it is spelt where the mask stands: a word begins after white space."""
    begins = fact.before[-1:].isspace()
    text = f" {fact.answer}" if begins else fact.answer
    return tuple(tokenizer.encode(text, add_special_tokens=False).ids)


def _mean_scores(values_KV: "Tensor", candidates: Sequence[Tokens]) -> dict[Tokens, float]:
    """The mean log-probability of each candidate's tokens, each at its own mask."""
    import torch

    if not candidates:
        return {}
    ids_CK = torch.tensor(candidates)
    means_C = values_KV[torch.arange(len(values_KV)), ids_CK].double().mean(dim=1)
    return dict(zip(candidates, means_C.tolist(), strict=True))


def count_relations(facts: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """By relation: facts asked, right at each depth in both rankings, what guessing would give."""
    found: dict[str, dict[str, Any]] = {}
    for fact in facts:
        counts = found.setdefault(fact["relation"], _nothing())
        counts["not_asked"] += fact["candidates"] is None
        for ranking in ("candidates", "vocabulary"):
            if fact[ranking] is not None:
                counts[ranking]["facts"] += 1
                for depth in DEPTHS:
                    counts[ranking][f"at_{depth}"] += fact[ranking] <= depth
        for depth in DEPTHS if fact["pool"] else ():
            counts["guessing"][f"at_{depth}"] += min(1.0, depth / fact["pool"])
    return found


def _nothing() -> dict[str, Any]:
    zeros = {f"at_{depth}": 0 for depth in DEPTHS}
    rankings = {name: {"facts": 0, **zeros} for name in ("candidates", "vocabulary")}
    return {"not_asked": 0, **rankings, "guessing": {name: 0.0 for name in zeros}}


def summarise_facts(results: Sequence[UnitResult]) -> dict[str, Any]:
    """Precision at 1, 5 and 10, the unweighted mean over relations, and by relation."""
    counted: dict[str, dict[str, Any]] = {}
    for result in results:
        for relation, counts in result.summary["relations"].items():
            known = counted.setdefault(relation, _nothing())
            known["not_asked"] += counts["not_asked"]
            for part in ("candidates", "vocabulary", "guessing"):
                for name, value in counts[part].items():
                    known[part][name] += value
    relations = list(counted.values())
    return {
        "facts": sum(each["candidates"]["facts"] for each in relations),
        "not_asked": sum(each["not_asked"] for each in relations),
        "unusable": sum(result.summary["unusable"] for result in results),
        **{name: _precisions(relations, name) for name in ("candidates", "vocabulary")},
        "relations": {
            name: {
                "not_asked": each["not_asked"],
                **{part: _precisions([each], part) for part in ("candidates", "vocabulary")},
            }
            for name, each in counted.items()
        },
    }


def _precisions(relations: Sequence[Mapping[str, Any]], ranking: str) -> dict[str, Any]:
    """Facts, and the precision at each depth with interval and, among candidates, guessing's."""
    asked = [each for each in relations if each[ranking]["facts"]]
    found: dict[str, Any] = {"facts": sum(each[ranking]["facts"] for each in asked)}
    for name in (f"at_{depth}" for depth in DEPTHS) if asked else ():
        counts = [(each[ranking][name], each[ranking]["facts"]) for each in asked]
        value, interval = mean_with_interval(counts)
        guesses = [each["guessing"][name] / each[ranking]["facts"] for each in asked]
        chance = math.fsum(guesses) / len(guesses) if ranking == "candidates" else None
        found[name] = {"precision": value, "interval": interval, "chance": chance}
    return found


def fact_scores(name: str, summary: Mapping[str, Any]) -> list[ScoreRow]:
    """Precision at each depth among the candidates, then in the whole vocabulary."""
    return [
        ScoreRow(
            task=name,
            measure=f"precision at {depth}, {words}",
            value=part[f"at_{depth}"]["precision"],
            n=part["facts"],
            interval=part[f"at_{depth}"]["interval"],
            chance=part[f"at_{depth}"]["chance"],
            better="higher",
        )
        for ranking, words in (("candidates", "relation's answers"), ("vocabulary", "all tokens"))
        if (part := summary[ranking])["facts"]
        for depth in DEPTHS
    ]


def fact_texts(settings: ClozeConfig, files: Mapping[str, StoredFile]) -> Iterator[str]:
    """The sentences with their answers."""
    for name, file in sorted(files.items()):
        for fact in read_facts(file.local(), settings, name, name)[0]:
            yield fact.spoken


def fact_rights(results: Sequence[UnitResult]) -> list[tuple[str, bool | None]]:
    """The relation of each fact and whether its answer is the first of the candidates."""
    return [
        (fact["relation"], None if fact["candidates"] is None else fact["candidates"] == 1)
        for result in results
        for fact in read_record(result)
    ]


CLOZE = Task(
    kind="cloze",
    settings=ClozeConfig,
    score=score_facts,
    units=file_units,
    summarise=summarise_facts,
    scores=fact_scores,
    files=fact_files,
    check=check_facts,
    texts=fact_texts,
    rights=fact_rights,
)
