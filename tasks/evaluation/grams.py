"""Runs of words that an evaluation set and a corpus have in common, in bounded memory.

    items ──words──▶ runs of n words ──hash──▶ sorted uint64        as many as the sets are long
    documents ──words──▶ every run of n words ──looked up──▶ which of them occur

Words are what is left of a text in Unicode's compatibility form, without case, punctuation, white
space and what nobody sees; of scripts without spaces each letter is one. An item shorter than n
words is one run of its own length, down to n / 2; what is shorter still stands in many texts by
chance and is not looked for.

Two runs with the same 64-bit hash would be taken for one another: of a billion runs looked up in
a million, once in 20,000 corpora.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Letters of scripts without spaces: Thai, Lao, Myanmar, Khmer, kana and Han.
_ALONE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
    "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
# Vowel signs, viramas and accents that have no letter with them: to `re` they part words.
_MARKS = "".join(
    mark
    for mark in map(chr, range(0x300, 0x1F000))
    if unicodedata.category(mark) in ("Mn", "Mc") and not re.match(f"[{_ALONE}]", mark)
)
_WORD = re.compile(rf"[{_ALONE}]|[^\W_{_ALONE}]+(?:[{_MARKS}]+[^\W_{_ALONE}]*)*")
_ASCII_WORD = re.compile("[a-z0-9]+")  # the same of ASCII, several times as fast
# Soft hyphens, joiners, marks of direction and of variants: within a word they part nothing.
_UNSEEN = re.compile(
    "[\u00ad\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff"
    "\U000e0100-\U000e01ef]"
)
_MOST_CHARACTERS = 64  # of a word
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no power of it is lost
_WORDS_AT_ONCE = 1 << 20

Hashes = NDArray[np.uint64]


def words_of(text: str) -> list[str]:
    r"""The words of a text, to be compared.

    >>> words_of("The cats' CAT-naps: _ﬁne_!")
    ['the', 'cats', 'cat', 'naps', 'fine']
    >>> words_of("ta\u00adble, 猫 cat हिन्दी")
    ['table', '猫', 'cat', 'हिन्दी']
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    if not plain.isascii():
        plain = _UNSEEN.sub("", plain)
    word_of = _ASCII_WORD if plain.isascii() else _WORD
    return [word[:_MOST_CHARACTERS] for word in word_of.findall(plain)]


def word_hash(word: str) -> int:
    """64 bits of a word, none of them all zero."""
    return int.from_bytes(blake2b(word.encode("utf-8", "replace"), digest_size=8).digest()) or 1


def run_hashes(hashes: Hashes, length: int) -> Hashes:
    """The hash of each run of so many words, from the words' hashes, in order."""
    count = max(0, len(hashes) - length + 1)
    found = np.zeros(count, dtype=np.uint64)
    for place in range(length):
        found *= _FACTOR
        found += hashes[place : place + count]
    return found


def grams_of(text: str, num_words: int) -> tuple[int, Hashes]:
    """An item's runs: how long they are, and their hashes; none if it is too short."""
    hashes = np.array([word_hash(word) for word in words_of(text)], dtype=np.uint64)
    length = min(num_words, len(hashes))
    if length < max(1, num_words // 2):
        return length, np.zeros(0, dtype=np.uint64)
    return length, run_hashes(hashes, length)


@dataclass(frozen=True)
class Sought:
    """What is looked for in a corpus.

    Attributes:
        words: The words that occur in it, sorted; a run with any other word is none of these.
        runs: By length, the hashes of runs, sorted, each once.
    """

    words: tuple[str, ...]
    runs: dict[int, Hashes]

    @classmethod
    def of(cls, texts: Iterable[str], num_words: int) -> "Sought":
        """The runs of all items."""
        words: set[str] = set()
        runs: dict[int, list[Hashes]] = {}
        for text in texts:
            length, hashes = grams_of(text, num_words)
            if len(hashes):
                words.update(words_of(text))
                runs.setdefault(length, []).append(hashes)
        unique = {length: np.unique(np.concatenate(runs[length])) for length in sorted(runs)}
        return cls(tuple(sorted(words)), unique)

    def save(self, path: Path) -> None:
        """Write it to an .npz file."""
        arrays: dict[str, Any] = {f"runs_{length}": hashes for length, hashes in self.runs.items()}
        with path.open("wb") as file:
            np.savez(file, words=np.array(self.words, dtype=np.str_), **arrays)

    @classmethod
    def load(cls, path: Path) -> "Sought":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            runs = {int(n.removeprefix("runs_")): arrays[n] for n in arrays.files if n != "words"}
            return cls(tuple(arrays["words"].tolist()), runs)

    def found_in(self, texts: Iterable[str]) -> dict[int, Hashes]:
        """Those of the runs that occur in some documents, by length, sorted."""
        known = {word: word_hash(word) for word in self.words}
        found = {length: np.zeros(len(hashes), dtype=bool) for length, hashes in self.runs.items()}
        for hashes in _in_pieces(texts, known):
            for length, sought in self.runs.items():
                runs = run_hashes(hashes, length)[_all_known(hashes, length)]
                places = np.searchsorted(sought, runs)
                places[places == len(sought)] = 0
                found[length][places[sought[places] == runs]] = True
        return {length: self.runs[length][is_found] for length, is_found in found.items()}


def _in_pieces(texts: Iterable[str], known: dict[str, int]) -> Iterator[Hashes]:
    """The words' hashes of documents, 0 for words not known and between documents."""
    piece: list[int] = []
    for text in texts:
        piece.extend(known.get(word, 0) for word in words_of(text))
        piece.append(0)
        if len(piece) >= _WORDS_AT_ONCE:
            yield np.array(piece, dtype=np.uint64)
            piece = []
    if piece:
        yield np.array(piece, dtype=np.uint64)


def _all_known(hashes: Hashes, length: int) -> NDArray[np.bool_]:
    """Which runs of so many words hold known words alone."""
    if len(hashes) < length:
        return np.zeros(0, dtype=bool)
    unknown = np.concatenate(([0], np.cumsum(hashes == 0)))
    is_known: NDArray[np.bool_] = unknown[length:] == unknown[: len(unknown) - length]
    return is_known
