"""Whole words of real text in forty scripts and languages, told by white space and not by us.

A true word is what stands between white space (or Ethiopic word dividers) with the punctuation
around it taken off, if letters, marks and joiners are all that is left. Texts: the Universal
Declaration of Human Rights and Wikipedia paragraphs, with one BPE learnt from each collection.
"""

import gzip
import json
import re
import unicodedata
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from roberta_model.data.word_boundaries import segment_starts, word_codes
from tasks.tokenizing.bpe import train_bpe, vocabulary_of

# fmt: off
SPACED = [
    "eng", "deu", "vie", "lin_tones",  # Latin, the last with accents of their own
    "rus", "evn", "ell_polytonic", "hye", "kat", "chr", "csw", "vai", "khk_mong", "kor",
    "heb", "ydd", "arb", "urd", "pes_1", "aii", "div",
    "hin", "mar", "san", "ben", "pan", "guj", "tam", "kan", "mal",
    "amh", "tir",
]
# fmt: on
UNSPACED = {  # most tokens a unit, on average; Khmer and Burmese write a vowel in several marks
    "cmn_hans": 1.5,
    "cmn_hant": 1.5,
    "jpn": 1.5,
    "iii": 1.5,
    "tha": 1.5,
    "lao": 1.5,
    "bod": 1.5,
    "khm": 1.8,
    "mya": 2.0,
}


@dataclass(frozen=True)
class Corpus:
    """Texts by language, and a BPE learnt from all of them."""

    texts: Mapping[str, list[str]]
    encoder: Tokenizer
    codes: np.ndarray
    token_bytes: np.ndarray

    def units(self, language: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Each text, the byte at which each of its tokens begins, and where units begin."""
        for text in self.texts[language]:
            ids = self.encoder.encode(text, add_special_tokens=False).ids
            if ids:
                sizes = self.token_bytes[ids]
                starts = segment_starts(self.codes[ids][None], np.ones((1, len(ids)), bool))[0]
                yield text, np.cumsum(sizes) - sizes, starts


def corpus_of(texts: Mapping[str, list[str]], vocab_size: int) -> Corpus:
    every = [text for language in texts for text in texts[language]]
    encoder = train_bpe(every, vocab_size, 2, 32)
    encoder.encode_special_tokens = True
    vocabulary = vocabulary_of(encoder)
    codes = word_codes(vocabulary, {0, 1, 2, 3, len(vocabulary) - 1})
    return Corpus(texts, encoder, codes, np.array([len(token or "") for token in vocabulary]))


@pytest.fixture(scope="module")
def declaration(shared_data: Path) -> Corpus:
    """The declaration of human rights, some 10 KB in each language."""
    with zipfile.ZipFile(shared_data / "corpus/multilingual/udhr2.zip") as files:
        texts = {
            language: files.read(f"udhr2/{language}.txt").decode().splitlines(keepends=True)
            for language in [*SPACED, *UNSPACED]
        }
    return corpus_of(texts, 6000)


@pytest.fixture(scope="module")
def paragraphs(shared_data: Path) -> Corpus:
    """Paragraphs of Wikipedia in eleven languages."""
    texts = defaultdict(list)
    path = shared_data / "corpus/multilingual/xquad_paragraphs.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            texts[line["lang"]].append(line["text"])
    return corpus_of({language: found[::3] for language, found in texts.items()}, 6000)


def is_of_words(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM" or character in "\u200c\u200d"


def true_words(text: str) -> Iterator[tuple[int, int]]:
    """Where each word begins and ends, in bytes."""
    byte_at = np.cumsum([0, *(len(character.encode()) for character in text)])
    for chunk in re.finditer("[^\\s\u1361]+", text):
        inside = [i for i in range(*chunk.span()) if is_of_words(text[i])]
        if inside and len(inside) == inside[-1] + 1 - inside[0]:
            yield int(byte_at[inside[0]]), int(byte_at[inside[-1] + 1])


def faults(corpus: Corpus, language: str) -> tuple[float, int]:
    """The share of words with a unit's start inside, and how many share a unit with the last."""
    num_words = num_torn = num_glued = 0
    for text, begins_T, starts_T in corpus.units(language):
        is_start = np.zeros(len(text.encode()), bool)
        is_start[begins_T[starts_T]] = True
        unit_at = np.cumsum(is_start)
        unit_before = 0
        for begin, end in true_words(text):
            num_words += 1
            num_torn += unit_at[end - 1] != unit_at[begin]
            num_glued += unit_at[begin] == unit_before
            unit_before = unit_at[end - 1]
    assert num_words > 10
    return num_torn / num_words, num_glued


@pytest.mark.parametrize("language", SPACED)
def test_words_of_a_spaced_script_are_not_torn(declaration: Corpus, language: str) -> None:
    """Nor are two of them one unit; what is torn are joiners that the BPE cut in pieces."""
    share_torn, num_glued = faults(declaration, language)
    assert share_torn <= 0.004
    assert num_glued == 0


@pytest.mark.parametrize("language", ["ar", "de", "el", "es", "hi", "ro", "ru", "vi"])
def test_words_of_paragraphs_are_not_torn(paragraphs: Corpus, language: str) -> None:
    """The same with digits, brackets and names in other scripts around."""
    share_torn, num_glued = faults(paragraphs, language)
    assert share_torn <= 0.001
    assert num_glued == 0


def sizes_of_units(corpus: Corpus, language: str) -> np.ndarray:
    sizes = [
        np.diff(np.flatnonzero(starts_T), append=len(starts_T))
        for _, _, starts_T in corpus.units(language)
    ]
    return np.concatenate(sizes)


@pytest.mark.parametrize("language", UNSPACED)
def test_units_of_a_script_without_spaces_are_short(declaration: Corpus, language: str) -> None:
    """A letter with its marks, or as many as the BPE merged; all but none is beyond 8 tokens."""
    sizes = sizes_of_units(declaration, language)
    assert sizes.mean() < UNSPACED[language]
    assert sizes[sizes > 8].sum() <= 0.002 * sizes.sum()


@pytest.mark.parametrize("language", ["zh", "th"])
def test_units_of_paragraphs_without_spaces_are_short(paragraphs: Corpus, language: str) -> None:
    """The same where many characters are rare, so that the BPE cuts them."""
    sizes = sizes_of_units(paragraphs, language)
    assert sizes.mean() < 1.5
    assert sizes[sizes > 8].sum() <= 0.002 * sizes.sum()


@pytest.mark.parametrize("language", [*SPACED, *UNSPACED])
def test_no_unit_begins_with_a_mark(declaration: Corpus, language: str) -> None:
    """Whatever the script, a vowel sign is hidden with what it stands on.

    A mark after white space begins one; of the rest only some that the BPE cut may.
    """
    num_units = num_torn_off = 0
    for text, begins_T, starts_T in declaration.units(language):
        content = text.encode()
        for begin in begins_T[starts_T]:
            here = content[begin:].decode(errors="replace")[0]
            is_mark = unicodedata.category(here)[0] == "M"
            num_torn_off += is_mark and not content[:begin].decode()[-1:].isspace()
            num_units += 1
    assert num_torn_off <= 0.005 * num_units
