"""Encoding words by looking them up gives the tokenizer's own ids, on any text."""

import gzip
import itertools
import json
import random
import sys
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_corpus import real_texts
from tokenizers import Tokenizer

from tasks.documents import DocumentWriter, document_id
from tasks.packing import words
from tasks.packing.encoded import PARTS, Encoded, encode_documents
from tasks.packing.words import WordEncoder
from tasks.tokenizing.bpe import load_encoder, save_tokenizer, train_bpe

# Where GPT-2's pattern does something: white space of all kinds, contractions, digits, marks,
# letters outside ASCII, special tokens spelt out, characters of two to four bytes.
AWKWARD = [
    *" \t\n\r\x0b\x0c\x1c\x1f\x85\xa0\u1680\u180e\u2000\u200a\u200b\u2028\u202f\u205f\u3000\ufeff",
    *"aZß3٣²'’“.-—_@é\u0301世の नि👩\u200d\x00",
    *["  ", "\n\n", "\r\n", " \n ", "'s", "'ll", "'S", "''t", " 'd", "<mask>", "</s>", " <pad>"],
    *["word", " word", "don't", "1,024", "ab", "x1", "привет", " Việt", "ありがとう", "<s>"],
]
TEXT = st.lists(st.sampled_from(AWKWARD) | st.text(max_size=3), max_size=16).map("".join)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """Merges for whatever may be one piece, white space too: a wrong cut changes the ids."""
    draws = random.Random(7)
    texts = ["".join(draws.choices(AWKWARD, k=40)) for _ in range(3000)]
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(train_bpe(texts, 6000, 2, 32), folder)
    return load_encoder(folder / "tokenizer.json")


def assert_same_ids(encoder: WordEncoder, tokenizer: Tokenizer, texts: Sequence[str]) -> None:
    """Both encoders agree on every text, and on where each begins."""
    tokens, lengths = encoder.encode(texts)
    expected = [
        encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)
    ]
    assert lengths.tolist() == [len(ids) for ids in expected]
    if tokens.tolist() != list(itertools.chain.from_iterable(expected)):
        found = np.split(tokens, np.cumsum(lengths)[:-1])
        wrong = zip(texts, found, expected, strict=True)
        raise AssertionError([text for text, ids, right in wrong if ids.tolist() != right][:3])


@given(texts=st.lists(TEXT, max_size=5))
@settings(max_examples=400, deadline=None)
def test_any_text_gets_the_ids_of_the_tokenizer(tokenizer: Tokenizer, texts: list[str]) -> None:
    """Else a model trained on our rows meets other tokens when stock code encodes a text."""
    encoder = WordEncoder(tokenizer)
    assert_same_ids(encoder, tokenizer, texts)
    assert_same_ids(encoder, tokenizer, texts[::-1])  # words known by now


def test_every_character_is_cut_as_the_tokenizer_cuts_it(tokenizer: Tokenizer) -> None:
    """Each code point between letters, digits, marks, spaces and beside itself."""
    encoder = WordEncoder(tokenizer)
    wide = [code for code in range(0x3100) if not 0xD800 <= code < 0xE000]
    sample = random.Random(0).sample(range(0xE000, sys.maxunicode + 1), 3000)
    for codes in (wide, sample):
        texts = [f"a {c}b{c} {c} \n{c}'s1{c}\t{c}{c} {c}" for c in map(chr, codes)]
        assert_same_ids(encoder, tokenizer, texts)


def test_a_special_token_in_a_text_is_text(tokenizer: Tokenizer) -> None:
    """A page that says <mask> must not put that token into the training data."""
    encoder = WordEncoder(tokenizer)
    texts = ["a <mask> b</s>", "<s>", " <pad><unk>", "<mask>\n<mask>"]
    assert_same_ids(encoder, tokenizer, texts)
    specials = {tokenizer.token_to_id(t) for t in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")}
    assert specials.isdisjoint(encoder.encode(texts)[0].tolist())


def test_a_large_vocabulary_gets_wider_ids(tokenizer: Tokenizer) -> None:
    """Else ids above 65,535 would wrap round to other tokens."""
    wide = Tokenizer.from_str(tokenizer.to_str())
    wide.encode_special_tokens = True
    wide.add_special_tokens([f"<extra {number}>" for number in range(1 << 16)])
    assert WordEncoder(tokenizer).dtype == np.uint16
    assert WordEncoder(wide).dtype == np.int32
    assert_same_ids(WordEncoder(wide), wide, AWKWARD)


def test_forgetting_words_changes_no_id(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory stays bounded on a corpus with endless different words, and the ids right."""
    monkeypatch.setattr(words, "_MOST_WORDS_KNOWN", 50)
    encoder = WordEncoder(tokenizer)
    for start in range(0, 1000, 30):
        assert_same_ids(encoder, tokenizer, [f"word{n} и{n}" for n in range(start, start + 40)])
        assert len(encoder._known) <= 50 + 81  # the words of one call more
    assert_same_ids(encoder, tokenizer, ["x" * 200, "x" * 200])
    assert max(map(len, encoder._known), default=0) <= 48


def in_many_scripts(shared_data: Path) -> dict[str, list[str]]:
    """20 MB of real text: prose, speech, wire reports, HTML, 12 + 300 languages, odd strings."""
    corpus = shared_data / "corpus"
    with gzip.open(corpus / "web/article_html.jsonl.gz", "rt", encoding="utf-8") as lines:
        html = [json.loads(line)["html"] for line in itertools.islice(lines, 15)]
    with zipfile.ZipFile(corpus / "multilingual/udhr2.zip") as udhr:
        names = [name for name in udhr.namelist() if name.endswith(".txt")]
        languages = [udhr.read(name).decode("utf-8", "replace") for name in names]
    with gzip.open(corpus / "novels/Dickens_Bleak_1853.txt.gz", "rt", newline="") as novel:
        wrapped = novel.read()

    def first(count: int, path: str) -> list[str]:
        return list(itertools.islice(real_texts(shared_data, path), count))

    return {
        "encyclopedia": first(60, "babylm_2024/simple_wiki.jsonl.gz"),
        "speech": first(60, "babylm_2024/open_subtitles.jsonl.gz"),
        "wire": first(2000, "reuters/reuters.jsonl.gz"),
        "web": first(700, "web/cc_main_2019_sample.jsonl.gz"),
        "eleven languages": first(2000, "multilingual/xquad_paragraphs.jsonl.gz"),
        "Chinese": first(300, "multilingual/zh_wiki_cmrc_trial.jsonl.gz"),
        "one line": first(1, "oddities/one_line_gutenberg_100k_words.txt.gz"),
        "odd": (corpus / "unicode/blns.txt").read_text(encoding="utf-8").split("\n"),
        "HTML": html,
        "languages": languages,
        "novel": [wrapped],
    }


@pytest.mark.slow
def test_real_text_in_many_scripts_gets_the_ids_of_the_tokenizer(
    shared_data: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """With merges learnt from the same texts, and with others; one encoder for all of them."""
    corpora = in_many_scripts(shared_data)
    assert sum(len(t.encode()) for texts in corpora.values() for t in texts) > 20e6
    learnt = (text[:20_000] for texts in corpora.values() for text in texts[::3])
    save_tokenizer(train_bpe(learnt, 8000, 2, 32), tmp_path)
    own = load_encoder(tmp_path / "tokenizer.json")
    encoder = WordEncoder(own)
    for texts in corpora.values():
        assert_same_ids(encoder, own, texts)
    other = WordEncoder(tokenizer)
    for name in ("web", "eleven languages", "odd"):
        assert_same_ids(other, tokenizer, corpora[name])


def encoded_file(folder: Path, texts: Iterable[str], tokenizer: Tokenizer) -> Encoded:
    """The arrays of a documents file with these texts, saved and mapped again."""
    with DocumentWriter(folder / "texts.arrow") as writer:
        for number, text in enumerate(texts):
            writer.add(2 * number, text)
    paths = {part: folder / f"{part}.npy" for part in PARTS}
    encode_documents(folder / "texts.arrow", WordEncoder(tokenizer)).save(paths)
    return Encoded.open(paths)


@pytest.mark.parametrize("texts", [[], [""], ["", "a b", "", " ", "x  ", "y"], ["a"] * 5])
def test_a_documents_file_keeps_its_documents_apart(
    tokenizer: Tokenizer, tmp_path: Path, texts: list[str]
) -> None:
    """Empty ones and ones that end in spaces too; ids and record numbers go with them."""
    found = encoded_file(tmp_path, texts, tokenizer)
    assert found.num_documents == len(texts)
    assert found.records.tolist() == [2 * number for number in range(len(texts))]
    assert [row.tobytes() for row in found.ids] == [document_id(text) for text in texts]
    for number, text in enumerate(texts):
        tokens = found.tokens[found.offsets[number] : found.offsets[number + 1]]
        assert tokens.tolist() == tokenizer.encode(text, add_special_tokens=False).ids
