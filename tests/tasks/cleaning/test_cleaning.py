"""What cleaning is made of: characters, filters, shingles, signatures."""

import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_corpus import passages, real_texts

from tasks.cleaning.cleaned import Cleaner
from tasks.cleaning.filters import REASONS
from tasks.cleaning.minhash import (
    MinHasher,
    band_keys,
    band_shape,
)
from tasks.cleaning.near_pairs import near_edges
from tasks.cleaning.normalise import Form, normalise
from tasks.cleaning.shingles import ShingleHasher
from tasks.config.clean import FilterConfig, UnicodeConfig

# Characters that normalisation is about, mixed with pieces of mojibake and ordinary text.
AWKWARD = [
    *"aeé \n\r\t\x00\x1b\x85\x9d\xa0\u0301\u200b\u2028\u2029\u3000\ufeff\ufffe\ufffdÃ√üﬁＡ½",
    *["Ã©", "â€™", "â€‹", "ï»¿", "ÃÂ©", "\u00c3\u00a0", "\x1b[31m", "Г©", "Zam√≤", "世界", "&amp;"],
]
AWKWARD_TEXT = st.lists(st.sampled_from(AWKWARD) | st.text(max_size=3), max_size=12).map("".join)


@pytest.mark.parametrize("form", ["NFC", "NFKC", "none"])
@given(text=AWKWARD_TEXT, repair=st.booleans())
@settings(max_examples=150, deadline=None)
def test_normalising_twice_changes_nothing_more(form: Form, text: str, repair: bool) -> None:
    """Else a document cleaned again, from an export say, would be another document."""
    once = normalise(text, repair, form)
    assert normalise(once, repair, form) == once


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("uk0..0\ufffese\ufeff\u2564\u00c7\u2568\u2591", "uk0..0se\u0440\u0430"),
        ("e\u200b\u0301", "\u00e9"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("and so on\x85 he said", "and so on\u2026 he said"),
        ("a  \t\nb\u00a0\n\n\n\nc ", "a\nb\n\nc"),
        ("one\u2029two", "one\n\ntwo"),
        ("nul\x00 bell\x07 tab\there", "nul bell tab\there"),
        ("\ufeff  text\u200b ", "text"),
        ("\u201cquoted\u201d \u2018as written\u2019 &amp; \ufb01ne", None),
        ("Grüße, 世界! Привет. नमस्ते 👩\u200d👩\u200d👧", None),
        ("می\u200cخواهم", None),
    ],
)
def test_characters_are_put_right_and_words_left_alone(raw: str, text: str | None) -> None:
    """Breaks, controls and invisible characters; joiners that scripts need stay."""
    assert normalise(raw) == (raw if text is None else text)


def test_mojibake_seen_in_the_wild_is_undone(shared_data: Path) -> None:
    """Every known case, but for what is a matter of taste: quotes, ligatures, entities, width."""
    cases = json.loads((shared_data / "corpus/unicode/ftfy_in_the_wild.json").read_text())

    def plain(text: str) -> str:
        table: dict[str, str | int | None] = {
            "‘": "'",
            "’": "'",
            "‚": "'",
            "“": '"',
            "”": '"',
            "„": '"',
            "，": ",",
        }
        table |= {"ﬁ": "fi", "ŉ": "'n", "ǌ": "nj", "ǉ": "lj"}
        return text.translate(str.maketrans(table))

    wrong = [
        case["label"]
        for case in cases
        if plain(normalise(case["original"])) != plain(case["fixed"])
        # Entities stay as they are: a text about HTML must not change its meaning.
        and "&frac14;" not in case["original"]
    ]
    assert len(cases) == 70
    assert wrong == []


def test_naughty_strings_neither_break_nor_change_twice(shared_data: Path) -> None:
    """Every string is judged, and what a reader sees of ordinary ones is left alone."""
    lines = (shared_data / "corpus/unicode/blns.txt").read_text(encoding="utf-8").split("\n")
    cleaner = Cleaner(UnicodeConfig(), FilterConfig(), 64)
    for line in lines:
        judged = cleaner.judge(line)
        assert judged.reason in {None, "empty", *REASONS}
        once = normalise(line)
        assert normalise(once) == once
        if line.isascii() and line.isprintable():
            assert once == line.strip()


FILLER = "The quick brown fox number {} jumps over a lazy dog and goes home."
LONG = "\n".join(FILLER.format(n) for n in range(40))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (" \n\u200b", "empty"),
        ("Too short a text", "too_short"),
        ("x" * 501, "too_long"),
        ("| --- | --- | --- | --- | a |", "symbols"),
        ("Home\nAbout us\n" * 12, "repeated_lines"),
        ("click here to buy now and " * 30, "repeated_phrases"),
        ("A line of verse, said once.\nAnd again, another.", None),
        ("x = f(y)  # code is mostly letters", None),
        ("1,024 2,048 4,096 8,192", None),
    ],
)
def test_each_filter_says_why(text: str, reason: str | None) -> None:
    """One reason a document, the first that applies."""
    filters = FilterConfig(max_characters=None if "click" in text else 500)
    assert Cleaner(UnicodeConfig(), filters, None).judge(text).reason == reason


REFUSED = {
    "min_characters": "short",
    "max_characters": LONG,
    "max_symbol_share": "!?" * 20,
    "max_repeated_line_share": "the same\n" * 20,
    "max_repeated_phrase_share": "buy it now or never ever " * 40,
}


@pytest.mark.parametrize(("field", "text"), REFUSED.items())
def test_a_filter_set_to_null_is_off(field: str, text: str) -> None:
    """With its filter off, a document passes that only this one refuses."""
    on = FilterConfig(max_characters=1500)
    off = on.model_copy(update={field: None})
    assert Cleaner(UnicodeConfig(), on, None).judge(text).reason is not None
    assert Cleaner(UnicodeConfig(), off, None).judge(text).reason is None


def test_good_real_text_passes_the_defaults(shared_data: Path) -> None:
    """Speech, wire reports, books, encyclopedia, eleven languages: hardly any is dropped."""
    speech = ("babylm_2024/bnc_spoken.jsonl.gz", "babylm_2024/childes.jsonl.gz")
    wiki = "".join(real_texts(shared_data, "wikitext2/valid.txt.gz"))
    corpora = {
        "babylm": list(itertools.islice(passages(real_texts(shared_data, *speech), 400), 300)),
        "reuters": list(itertools.islice(real_texts(shared_data, "reuters/reuters.jsonl.gz"), 800)),
        "xquad": list(real_texts(shared_data, "multilingual/xquad_paragraphs.jsonl.gz"))[::8],
        "zh": list(real_texts(shared_data, "multilingual/zh_wiki_cmrc_trial.jsonl.gz"))[:80],
        "wikitext": [part for part in wiki.split(" \n \n") if len(part) > 80][:300],
        "one line": list(real_texts(shared_data, "oddities/one_line_gutenberg_100k_words.txt.gz")),
    }
    cleaner = Cleaner(UnicodeConfig(), FilterConfig(), None)
    for name, texts in corpora.items():
        dropped = [text for text in texts if cleaner.judge(text).reason is not None]
        assert texts, name
        assert len(dropped) <= 0.02 * len(texts), (name, len(dropped), dropped[:1])


def test_scripts_without_spaces_have_phrases_too() -> None:
    """Two different Chinese texts share next to none, and a text shares all with itself."""
    hasher = ShingleHasher()
    one = set(
        hasher.shingles("北京是中华人民共和国的首都，也是中国的政治和文化中心。" * 2).tolist()
    )
    two = set(
        hasher.shingles("上海位于中国东部，是世界上人口最多的城市之一，港口繁忙。" * 2).tolist()
    )
    assert len(one) > 20
    assert len(one & two) < 3
    assert len(hasher.shingles("three words only")) == 1


def edited(text: str, share: float, seed: int) -> str:
    """A text with a share of its words replaced, as reposts and revisions have it."""
    words = text.split()
    draws = random.Random(seed)
    for place in draws.sample(range(len(words)), round(share * len(words))):
        words[place] = f"changed{draws.randrange(10**6)}"
    return " ".join(words)


def found_pairs(texts: list[str], threshold: float = 0.8) -> set[tuple[int, int]]:
    """Pairs that all bands together find, as the stage does it."""
    shingles, hasher = ShingleHasher(), MinHasher(128)
    signatures = np.stack([hasher.sign(shingles.shingles(text)) for text in texts])
    num_bands, width = band_shape(threshold, 128)
    parts = [signatures[: len(texts) // 3], signatures[len(texts) // 3 :]]
    edges = [
        near_edges(band_keys(signatures, band, width), parts, threshold)
        for band in range(num_bands)
    ]
    return {(int(a), int(b)) for a, b in np.concatenate(edges)}


def test_planted_near_copies_are_found_and_nothing_else(shared_data: Path) -> None:
    """One word in a hundred changed: found. One in ten, or another passage: not."""
    spoken = real_texts(shared_data, "babylm_2024/gutenberg.jsonl.gz")
    originals = list(itertools.islice(passages(spoken, 300), 150))
    close = [edited(text, 0.01, seed) for seed, text in enumerate(originals)]
    loose = [edited(text, 0.10, seed) for seed, text in enumerate(originals)]
    n = len(originals)

    pairs = found_pairs([*originals, *close, *loose])

    planted = {(i, n + i) for i in range(n)}
    assert len(planted - pairs) <= 1
    assert pairs <= planted


@given(threshold=st.floats(min_value=0.3, max_value=0.95), num_hashes=st.integers(16, 256))
@settings(max_examples=60, deadline=None)
def test_bands_rarely_miss_a_pair_at_the_threshold(threshold: float, num_hashes: int) -> None:
    """19 in 20 by the formula, and no band reaches past the signature."""
    bands, width = band_shape(threshold, num_hashes)
    assert bands * width <= num_hashes
    assert 1 - (1 - threshold**width) ** bands >= 0.95 or width == 1
