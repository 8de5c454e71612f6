"""How well a task was done: the metric that each benchmark uses, each with an interval.

    counts and values of each item ──▶ metric ──▶ 95 % interval, by drawing items anew

The intervals are percentiles of 1,000 bootstrap samples, drawn by a seed of their own: of a
set of items like this one so much may be chance.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from roberta_model.data.randomness import random_bits
from tasks.scripts import UNSPACED, script_of

NUM_SAMPLES = 1000

Int64s = NDArray[np.int64]
Floats = NDArray[np.float64]
Measure = Callable[[Int64s], float]
"""A metric of the items of these numbers."""


class Measured(NamedTuple):
    """A metric, and the interval that holds it in 95 of 100 sets like this one."""

    value: float
    low: float
    high: float


def with_intervals(measures: Mapping[str, Measure], num_items: int) -> dict[str, Measured]:
    """Each metric over all items, with its interval."""
    every = np.arange(num_items)
    found = {}
    for name, measure in measures.items():
        drawn = [measure(_sample(number, num_items)) for number in range(NUM_SAMPLES)]
        low, high = np.percentile(drawn, [2.5, 97.5])
        found[name] = Measured(measure(every), float(low), float(high))
    return found


def _sample(number: int, num_items: int) -> Int64s:
    bits = random_bits(0, "bootstrap", number, np.arange(num_items))
    drawn: Int64s = (bits % np.uint64(num_items)).astype(np.int64)
    return drawn


class ClassCounts(NamedTuple):
    """Of some items: all that metrics of classes need, which are many fewer numbers than pairs.

    right_C were given their class; real_C are of each class, given_C were given each.
    """

    right_C: Floats
    real_C: Floats
    given_C: Floats

    @classmethod
    def of(cls, real: Int64s, given: Int64s, num_classes: int) -> "ClassCounts":
        """Counted from each item's class and the one that it was given."""
        sets = real[real == given], real, given
        return cls(*(np.bincount(each, minlength=num_classes).astype(float) for each in sets))


def class_measures(
    gold: Sequence[int], found: Sequence[int], num_classes: int
) -> dict[str, Measure]:
    """Metrics of one class a text; f1 is that of the second of two classes."""
    real, given = np.asarray(gold, dtype=np.int64), np.asarray(found, dtype=np.int64)

    def tally(numbers: Int64s) -> ClassCounts:
        return ClassCounts.of(real[numbers], given[numbers], num_classes)

    whole = tally(np.arange(len(real)))
    measures: dict[str, Measure] = {
        "accuracy": lambda n: accuracy_of(tally(n)),
        "macro_f1": lambda n: macro_f1_of(tally(n), whole),
        "mcc": lambda n: mcc_of(tally(n)),
    }
    if num_classes == 2:
        measures["f1"] = lambda n: float(f1s_of(tally(n))[1])
    return measures


def confusion_of(gold: Sequence[int], found: Sequence[int], num_classes: int) -> list[list[int]]:
    """How often each class (a row) was taken for each (a column)."""
    cells = np.asarray(gold, dtype=np.int64) * num_classes + np.asarray(found, dtype=np.int64)
    counts: list[list[int]] = (
        np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes).tolist()
    )
    return counts


def accuracy_of(counts: ClassCounts) -> float:
    """Share of items that were given their class."""
    return float(counts.right_C.sum() / max(1.0, counts.real_C.sum()))


def f1s_of(counts: ClassCounts) -> Floats:
    """F1 of each class; 0 where it neither occurs nor was given."""
    both_C = counts.given_C + counts.real_C
    f1s_C: Floats = 2 * counts.right_C / np.where(both_C == 0, 1, both_C)
    return f1s_C


def macro_f1_of(counts: ClassCounts, whole: ClassCounts) -> float:
    """Mean F1 of the classes that occur or were given in the whole, as scikit-learn takes it.

    A class that a draw of it happens to lack has what it has in the whole: left out, or as 0, it
    would move the mean, and with many rare classes the interval would not hold its own value.
    """
    seen_C, known_C = ((each.given_C + each.real_C) > 0 for each in (whole, counts))
    f1s_C = np.where(known_C, f1s_of(counts), f1s_of(whole))
    return float(f1s_C[seen_C].mean()) if seen_C.any() else 0.0


def mcc_of(counts: ClassCounts) -> float:
    """Matthews's correlation for any number of classes (Gorodkin 2004); 0 for a constant."""
    given_C, real_C = counts.given_C, counts.real_C
    total = real_C.sum()
    covariance = counts.right_C.sum() * total - given_C @ real_C
    spread = np.sqrt((total**2 - given_C @ given_C) * (total**2 - real_C @ real_C))
    return float(covariance / spread) if spread > 0 else 0.0


def multi_label_measures(gold_NC: NDArray[Any], found_NC: NDArray[Any]) -> dict[str, Measure]:
    """Metrics of any number of classes a text: micro F1, macro F1, and all right at once."""
    gold, found = np.asarray(gold_NC, dtype=bool), np.asarray(found_NC, dtype=bool)

    def counts(numbers: Int64s) -> tuple[Floats, Floats]:
        right = (gold[numbers] & found[numbers]).sum(axis=0).astype(np.float64)
        both = gold[numbers].sum(axis=0) + found[numbers].sum(axis=0)
        return right, both.astype(np.float64)

    def micro(numbers: Int64s) -> float:
        right, both = counts(numbers)
        return float(2 * right.sum() / max(1.0, both.sum()))

    def f1s(numbers: Int64s) -> tuple[Floats, NDArray[np.bool_]]:
        right, both = counts(numbers)
        return 2 * right / np.where(both == 0, 1, both), both > 0

    whole_C, _ = f1s(np.arange(len(gold)))

    def macro(numbers: Int64s) -> float:
        f1s_C, known_C = f1s(numbers)
        return float(np.where(known_C, f1s_C, whole_C).mean())  # as `macro_f1_of`

    same_N = (gold == found).all(axis=1).astype(np.float64)
    return {"f1": micro, "macro_f1": macro, "accuracy": lambda n: float(same_N[n].mean())}


def number_measures(gold: Sequence[float], found: Sequence[float]) -> dict[str, Measure]:
    """Metrics of numbers: both correlations, and the mean squared error."""
    wanted, given = np.asarray(gold, dtype=np.float64), np.asarray(found, dtype=np.float64)
    return {
        "spearman": lambda n: correlation(ranks(wanted[n]), ranks(given[n])),
        "pearson": lambda n: correlation(wanted[n], given[n]),
        "mse": lambda n: float(((wanted[n] - given[n]) ** 2).mean()),
    }


def correlation(first: Floats, second: Floats) -> float:
    """Pearson's; 0 where one of the two is constant."""
    if not (np.ptp(first) and np.ptp(second)):  # whose mean, rounded, may be another number
        return 0.0
    first, second = first - first.mean(), second - second.mean()
    spread = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / spread) if spread > 0 else 0.0


def ranks(values: Floats) -> Floats:
    """The rank of each value; those alike share the mean of theirs."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: Floats = (last - (counts - 1) / 2)[which]
    return shared


def tag_measures(
    gold: Sequence[Sequence[str]], found: Sequence[Sequence[str]], names: Sequence[str]
) -> dict[str, Measure]:
    """Metrics of tags: accuracy by word, and F1 by entity where the tags are of the BIO kind.

    That all `names` say, which are learnt: some items may hold nothing but O.
    """
    words = np.array([len(tags) for tags in gold], dtype=np.float64)
    pairs = list(zip(gold, found, strict=True))
    right = np.array([sum(a == b for a, b in zip(*pair, strict=True)) for pair in pairs], float)
    measures: dict[str, Measure] = {
        "accuracy": lambda n: float(right[n].sum() / max(1.0, words[n].sum()))
    }
    if is_bio(set(names)):
        spans = [(entities(a), entities(b)) for a, b in pairs]
        same = np.array([len(a & b) for a, b in spans], dtype=np.float64)
        both = np.array([len(a) + len(b) for a, b in spans], dtype=np.float64)
        measures["f1"] = lambda n: float(2 * same[n].sum() / max(1.0, both[n].sum()))
    return measures


def is_bio(tags: set[str]) -> bool:
    """Whether tags tell where entities begin and go on: O, B-x and I-x."""
    return bool(tags - {"O"}) and all(tag == "O" or tag[:2] in ("B-", "I-") for tag in tags)


def entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """(kind, first word, word behind the last) of each entity, as conlleval reads BIO tags."""
    found, kind, start = set(), "", 0
    for number, tag in enumerate([*tags, "O"]):
        goes_on = tag.startswith("I-") and tag[2:] == kind
        if kind and not goes_on:
            found.add((kind, start, number))
            kind = ""
        if tag != "O" and not goes_on:
            kind, start = tag[2:], number
    return found


_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = set(string.punctuation)


def normalised_answer(text: str) -> str:
    """An answer as SQuAD 1.1's script compares it: small letters, no articles, no punctuation."""
    small = "".join(c for c in text.lower() if c not in _PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", small).split())


def answer_words(text: str) -> list[str]:
    """The words that an answer's F1 counts; letters of scripts without spaces count as words.

    The official script has only the first part: for such scripts it would compare whole answers.
    """
    words: list[str] = []
    for word in normalised_answer(text).split():
        if any(script_of(character) in UNSPACED for character in word):
            words += word
        else:
            words.append(word)
    return words


def exact_match(found: str, answers: Sequence[str]) -> float:
    """1 where an answer is one of the right ones; without any, only no answer is right."""
    return float(any(normalised_answer(found) == normalised_answer(a) for a in answers or [""]))


def answer_f1(found: str, answers: Sequence[str]) -> float:
    """The best F1 of an answer's words with one of the right ones."""
    return max(_words_f1(answer_words(found), answer_words(a)) for a in answers or [""])


def _words_f1(found: list[str], wanted: list[str]) -> float:
    if not found or not wanted:
        return float(found == wanted)
    same = (Counter(found) & Counter(wanted)).total()
    return 2 * same / (len(found) + len(wanted))


def answer_measures(found: Sequence[str], answers: Sequence[Sequence[str]]) -> dict[str, Measure]:
    """Metrics of answers: their F1 by words, and exact match."""
    pairs = list(zip(found, answers, strict=True))
    f1s = np.array([answer_f1(*pair) for pair in pairs])
    exact = np.array([exact_match(*pair) for pair in pairs])
    return {"f1": lambda n: float(f1s[n].mean()), "exact_match": lambda n: float(exact[n].mean())}
