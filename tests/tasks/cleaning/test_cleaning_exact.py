"""Cleaning takes short cuts; each gives to the byte what the long way gives, written out here."""

import gzip
import itertools
import json
import re
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import regex
from ftfy import badness, fix_text
from hypothesis import given, settings
from hypothesis import strategies as st
from small_corpus import real_texts

from tasks.cleaning import normalise as module
from tasks.cleaning.filters import symbol_share
from tasks.cleaning.minhash import MinHasher
from tasks.cleaning.normalise import Form, normalise
from tasks.cleaning.shingles import ShingleHasher, distinct

# What ftfy's fixers and rules are about, cut small, so that lines of all kinds come together.
PIECES = [
    *"a B é.œŒÃÂÎ÷°¡“”’—–\x00\x0b\x0c\x1b\x7f\x85\x9d\xa0\u200b\u2028\u2029\ufeff\ufffc\u206a",
    *["\n", "\n", "\r\n", "\r", " \n", "\t\n", "\xa0\n", "\n\n\n", "plain words ", "\x1b[31m"],
    *[
        "Ã©",
        "â€™",
        "Ã ",
        "Â ",
        "ÃÂ©",
        "ГўВЂВ™",
        "вЂ",
        "Привет",
        "世界",
        "‚Äì",
        "√©",
        "\ud83d",
        "\ude00",
    ],
]
TEXT = st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=25).map("".join)


def plainly(text: str, form: Form = "NFC") -> str:
    """`normalise` the long way: ftfy sees everything but ASCII, every pattern is tried."""
    text = text.replace("\u2029", "\n\n")
    while True:
        better = text
        while not text.isascii():
            better = fix_text(text, module._REPAIR)
            if form != "none":
                better = unicodedata.normalize(form, better)
            if better == text:
                break
            text = better
        tidy = module._CONTROLS.sub("", module._LINE_BREAKS.sub("\n", text))
        tidy = module._BLANK_LINES.sub("\n\n", module._TRAILING.sub("", tidy)).strip()
        if tidy == text or tidy.isascii():
            return tidy
        text = tidy


@given(text=TEXT, form=st.sampled_from(["NFC", "NFKC", "none"]))
@settings(max_examples=600, deadline=None)
def test_any_text_is_put_right_as_ftfy_alone_would(text: str, form: Form) -> None:
    """Else mojibake stays, or good text is rewritten, because of where a line was cut."""
    assert normalise(text, True, form) == plainly(text, form)


@given(line=TEXT)
@settings(max_examples=600, deadline=None)
def test_bad_text_is_what_ftfy_calls_bad(line: str) -> None:
    """Looking only around characters beyond ASCII misses nothing."""
    assert module.is_bad(line) == badness.is_bad(line)


def test_what_ftfy_calls_bad_is_short_and_beyond_ascii() -> None:
    """Another version of ftfy with longer rules would need wider windows."""
    pattern = re._parser.parse(  # type: ignore[attr-defined]
        badness.BADNESS_RE.pattern, badness.BADNESS_RE.flags
    )
    assert pattern.getwidth()[1] <= module.LONGEST_BAD_CHARACTERS
    letters = [chr(code) for code in range(128)]
    everything = "".join(itertools.chain.from_iterable(itertools.product(letters, repeat=2)))
    assert not badness.is_bad(everything)


def test_a_line_longer_than_ftfy_takes_at_once_is_cut_where_it_cuts() -> None:
    """A million characters are judged at a time."""
    text = "short Ã©\n" + "x" * 1_000_010 + "Ã© sÃ³\n" + "naïve “quoted” words"
    assert normalise(text) == plainly(text)
    assert "é só" in normalise(text)


def real_material(shared_data: Path) -> Iterator[tuple[str, str]]:
    """Real texts: prose, wrapped and on one line, web, HTML, many languages, wrong decodings."""
    corpus = shared_data / "corpus"
    for path, count in (
        ("babylm_2024/simple_wiki.jsonl.gz", 30),
        ("babylm_2024/open_subtitles.jsonl.gz", 20),
        ("web/cc_main_2019_sample.jsonl.gz", 400),
        ("multilingual/xquad_paragraphs.jsonl.gz", 800),
        ("multilingual/zh_wiki_cmrc_trial.jsonl.gz", 100),
    ):
        yield from ((path, text) for text in itertools.islice(real_texts(shared_data, path), count))
    with gzip.open(corpus / "web/article_html.jsonl.gz", "rt", encoding="utf-8") as lines:
        yield from (("HTML", json.loads(line)["html"]) for line in itertools.islice(lines, 4))
    with gzip.open(corpus / "novels/Dickens_Bleak_1853.txt.gz", "rt", newline="") as novel:
        yield "novel", novel.read()
    with zipfile.ZipFile(corpus / "multilingual/udhr.zip") as udhr:
        for number, name in enumerate(udhr.namelist()):
            if number % 4 == 0:
                yield name, udhr.read(name).decode("latin-1")
                yield name, udhr.read(name).decode("utf-8", "replace")
    yield "odd", (corpus / "unicode/blns.txt").read_text(encoding="utf-8")
    for case in json.loads((corpus / "unicode/ftfy_in_the_wild.json").read_text()):
        yield case["label"], case["original"]


def test_real_text_is_put_right_as_ftfy_alone_would(shared_data: Path) -> None:
    """And the measures that filters and duplicates use are the same numbers."""
    hasher, signer, size = ShingleHasher(), MinHasher(64), 0
    for name, raw in real_material(shared_data):
        text = normalise(raw)
        assert text == plainly(raw), name
        assert symbol_share(text) == plain_symbol_share(text), name
        shingles = hasher.shingles(text)
        assert np.array_equal(distinct(shingles), np.unique(shingles)), name
        assert np.array_equal(signer.sign(shingles), plain_signature(signer, shingles)), name
        size += len(raw.encode())
    assert size > 6e6


def plain_symbol_share(text: str) -> float:
    """Characters that are no letters, marks, digits or spaces beside those that are no spaces."""
    spaces = sum(map(len, regex.findall(r"\s+", text)))
    return sum(map(len, regex.findall(r"[^\p{L}\p{M}\p{N}\s]+", text))) / max(1, len(text) - spaces)


def plain_signature(signer: MinHasher, shingles: np.ndarray) -> np.ndarray:
    """The least hash of all shingles for each function, its upper half."""
    pairs = zip(signer._multipliers, signer._offsets, strict=True)
    least = [(shingles * factor + offset).min() for factor, offset in pairs]
    return (np.array(least) >> np.uint64(32)).astype(np.uint32)


@pytest.mark.parametrize("count", [0, 1, 5, 5000])
def test_distinct_hashes_are_those_numpy_finds(count: int) -> None:
    """A repeated shingle counts once, wherever it stands."""
    hashes = np.random.default_rng(count).integers(0, 2000, count, dtype=np.uint64)
    assert np.array_equal(distinct(hashes), np.unique(hashes))
