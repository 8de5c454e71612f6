"""Shingles of a text as hashes: what filters count and MinHash signs.

A shingle is five words in a row, case aside. Text in scripts without spaces has no words to
count; there a shingle is five characters. Hashes are 64-bit and the same on every machine.
"""

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

SHINGLE_WORDS = 5
_LONGEST_MEAN_WORD = 16
_MOST_WORDS_KNOWN = 1 << 20
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)

Hashes = NDArray[np.uint64]


class ShingleHasher:
    """Hashes shingles; remembers the hashes of words it has seen, which are most words."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def shingles(self, text: str) -> Hashes:
        """One hash for each shingle of the text, in order; one for a text shorter than that."""
        lowered = text.lower()
        words: list[str] = lowered.split()
        if words and len(lowered) > _LONGEST_MEAN_WORD * len(words):
            units = np.frombuffer("".join(words).encode("utf-32-le"), dtype=np.uint32)
            return _combine(units.astype(np.uint64) + np.uint64(1))
        return _combine(self._word_hashes(words))

    def _word_hashes(self, words: list[str]) -> Hashes:
        known = self._known
        if len(known) > _MOST_WORDS_KNOWN:
            known.clear()
        for word in set(words).difference(known):
            digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            known[word] = int.from_bytes(digest, "little")
        return np.fromiter((known[word] for word in words), dtype=np.uint64, count=len(words))


def distinct(hashes: Hashes) -> Hashes:
    """The different ones in ascending order; sorting is many times faster than np.unique."""
    ordered = np.sort(hashes)
    is_first = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    return ordered[is_first]


def _combine(units: Hashes) -> Hashes:
    size = max(1, len(units) - SHINGLE_WORDS + 1)
    result = np.zeros(size, dtype=np.uint64)
    for offset in range(min(SHINGLE_WORDS, len(units))):
        result = _mix(result + units[offset : offset + size])
    return result


def _mix(values: Hashes) -> Hashes:
    values = values * _MULTIPLIER
    return values ^ (values >> _SHIFT)
