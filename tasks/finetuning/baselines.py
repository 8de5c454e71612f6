"""What needs no encoder: the commonest class, bags of words, and the like, scored as the model is.

A fine-tuned model that does not beat these is not worth its encoder.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tasks.config.downstream import FineTuningConfig
from tasks.finetuning.encoding import ItemEncoder
from tasks.finetuning.items import Item, chunks
from tasks.finetuning.labels import Labels, class_names, number_of, tag_names
from tasks.finetuning.metrics import answer_words
from tasks.finetuning.scoring import quick_score

_MOST_CELLS = 20_000_000  # of a table of classes by tokens
_SENTENCE_ENDS = ".!?。！？؟।"


def baselines(
    settings: FineTuningConfig,
    labels: Labels,
    encoder: ItemEncoder,
    train: Iterable[Item],
    parts: Mapping[str, Sequence[Item]],
) -> dict[str, dict[str, dict[str, float]]]:
    """For each part of the data the metrics on it of each baseline that a task has."""
    every = [item for items in parts.values() for item in items]
    answers = _answers(settings, labels, encoder, train, every)
    found, start = {}, 0
    for part, items in parts.items():
        end = start + len(items)
        found[part] = {
            name: quick_score(settings, labels, items, its[start:end])
            for name, its in answers.items()
        }
        start = end
    return found


def _answers(
    settings: FineTuningConfig,
    labels: Labels,
    encoder: ItemEncoder,
    train: Iterable[Item],
    asked: Sequence[Item],
) -> dict[str, list[dict[str, Any]]]:
    """What each baseline answers; the first is the simplest."""
    if settings.task == "qa":
        return {"likeliest sentence": [_likeliest_sentence(item) for item in asked]}
    if settings.task == "tag":
        return {"commonest tag of each word": _commonest_tags(train, asked)}
    if labels.problem == "regression":
        mean = float(np.mean([number_of(item) for item in train]))
        return {"mean": [{"value": mean}] * len(asked)}
    if labels.problem == "multi_label_classification":
        return {"commonest": [{"labels": _commonest(train, labels)}] * len(asked)}
    most = labels.names[int(np.argmax(labels.counts))]
    found = {"commonest": [{"label": most}] * len(asked)}
    if len(labels.names) * 2 * encoder.tokenizer.get_vocab_size() <= _MOST_CELLS:
        found["bag of words"] = _bag_of_words(labels, encoder, train, asked)
    return found


def _commonest(train: Iterable[Item], labels: Labels) -> list[str]:
    """Of all sets of classes the one that is there most often."""
    sets = Counter(tuple(sorted(class_names(i.label, labels.separator))) for i in train)
    return list(max(sets.items(), key=lambda pair: (pair[1], pair[0]))[0])


def _commonest_tags(train: Iterable[Item], asked: Sequence[Item]) -> list[dict[str, Any]]:
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    every: Counter[str] = Counter()
    for item in train:
        for word, tag in zip(item.text, tag_names(item), strict=True):
            counts[word][tag] += 1
            every[tag] += 1
    usual = _most(every)
    best = {word: _most(found) for word, found in counts.items()}
    return [{"tags": [best.get(word, usual) for word in item.text]} for item in asked]


def _most(counts: Counter[str]) -> str:
    return max(counts.items(), key=lambda pair: (pair[1], pair[0]))[0]


def _bag_of_words(
    labels: Labels, encoder: ItemEncoder, train: Iterable[Item], asked: Sequence[Item]
) -> list[dict[str, Any]]:
    """Naive Bayes on which tokens a text has; those of a second text count as others."""
    vocabulary = encoder.tokenizer.get_vocab_size()
    counts = np.ones((len(labels.names), 2 * vocabulary))
    for items in chunks(train):
        for item, tokens in zip(items, _token_sets(encoder, items, vocabulary), strict=True):
            counts[labels.numbers(item)[0], tokens] += 1
    shares = np.log(counts / counts.sum(axis=1, keepdims=True))
    prior = np.log(np.maximum(np.asarray(labels.counts, dtype=np.float64), 1e-9))
    sets = _token_sets(encoder, asked, vocabulary)
    return [
        {"label": labels.names[int((prior + shares[:, tokens].sum(axis=1)).argmax())]}
        for tokens in sets
    ]


def _token_sets(
    encoder: ItemEncoder, items: Sequence[Item], vocabulary: int
) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
    tokenizer = encoder.tokenizer
    tokenizer.no_truncation()
    first = tokenizer.encode_batch([item.text for item in items], add_special_tokens=False)
    second = tokenizer.encode_batch([i.second or "" for i in items], add_special_tokens=False)
    return [
        np.unique(np.array([*a.ids, *(vocabulary + id for id in b.ids)], dtype=np.int64))
        for a, b in zip(first, second, strict=True)
    ]


def _likeliest_sentence(item: Item) -> dict[str, Any]:
    """The sentence with most of the question's words; the first of those alike."""
    context = item.second or ""
    asked = set(answer_words(item.text))
    sentences, start = [], 0
    for at, character in enumerate(context):
        if character in _SENTENCE_ENDS and context[at + 1 : at + 2] in ("", " ", "\n"):
            sentences.append(context[start : at + 1])
            start = at + 1
    sentences.append(context[start:])
    best = max(sentences, key=lambda sentence: len(asked & set(answer_words(sentence))))
    return {"answer": best.strip()}
