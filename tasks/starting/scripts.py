"""Which scripts a text is written in, and which of a few languages it looks like."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from tasks.scripts import UNSPACED, script_of

_MOST_CHARACTERS = 400_000
_MOST_OF_ONE = 20_000
# Words that are frequent in one language and rare in the others.
_FREQUENT = {
    "en": "the and of that with was this from have they",
    "de": "und der die das nicht ist ein mit sich auch",
    "fr": "les des est dans une pour pas que sur avec",
    "es": "los las una por con para del como pero más",
    "it": "che della non per una sono gli anche con nel",
    "pt": "não uma com para dos mais como pelo são ao",
    "nl": "het een van niet dat met zijn voor ook maar",
    "pl": "nie się jest na że do jak ale był przez",
}
_WORD = re.compile(r"[^\W\d_]+")
_LEAST_SHARE = 0.05  # of all words; the ten make up more than that in any running text


def scripts_of(texts: Iterable[str]) -> dict[str, float]:
    """The share of each script among the letters, the largest first; below 1 % is left out.

    >>> scripts_of(["Rome, Москва"])
    {'Cyrillic': 0.6, 'Latin': 0.4}
    """
    counts: Counter[str] = Counter()
    for character, count in Counter(_beginnings(texts)).items():
        if character.isalpha():
            counts[script_of(character)] += count
    total = sum(counts.values())
    return {
        name: round(count / total, 2)
        for name, count in counts.most_common()
        if count >= 0.01 * total
    }


def language_of(texts: Iterable[str]) -> str | None:
    """The tag of the language that a text in Latin letters looks like; None where it is unclear.

    >>> language_of(["It was the best of times, and that was the worst of it."])
    'en'
    >>> language_of(["Lorem ipsum dolor sit amet."]) is None
    True
    """
    words = Counter(_WORD.findall(_beginnings(texts).lower()))
    total = max(1, sum(words.values()))
    shares = {
        tag: sum(words[word] for word in frequent.split()) / total
        for tag, frequent in _FREQUENT.items()
    }
    best, second, *_ = sorted(shares, key=lambda tag: -shares[tag])
    is_clear = shares[best] >= _LEAST_SHARE and shares[best] > 1.5 * shares[second]
    return best if is_clear else None


def is_unspaced(scripts: Mapping[str, float]) -> bool:
    """Whether much of it is in scripts that put no spaces between words."""
    return sum(scripts.get(name, 0.0) for name in UNSPACED) > 0.3


def _beginnings(texts: Iterable[str]) -> str:
    found, size = [], 0
    for text in texts:
        found.append(text[: min(_MOST_OF_ONE, _MOST_CHARACTERS - size)])
        size += len(found[-1])
        if size >= _MOST_CHARACTERS:
            break
    return "\n".join(found)
