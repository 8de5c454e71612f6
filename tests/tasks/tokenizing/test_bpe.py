"""Byte-level BPE on a handful of words: sizes, ids, files and settings, each by itself."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from roberta_model.inference.special_tokens import MASK, SPECIAL_TOKENS
from tasks.tokenizing.bpe import (
    build_tokenizer,
    load_encoder,
    save_tokenizer,
    train_bpe,
    vocabulary_of,
)

WORDS = ["low lower lowest slow slower", "größe größer am größten"] * 5
SMALLEST = 4 + 256 + 1  # special tokens, bytes, the mask


def tokens(tokenizer: Tokenizer) -> list[str]:
    found: list[str] = [token or "" for token in vocabulary_of(tokenizer)]
    return found


def test_the_vocabulary_is_as_large_as_asked_for() -> None:
    """The mask is one of them; of a vocabulary without merges it is the last."""
    for size in (SMALLEST, SMALLEST + 3):
        tokenizer = train_bpe(WORDS, size, 2, 32)
        assert tokenizer.get_vocab_size() == size
        assert tokens(tokenizer)[:4] == list(SPECIAL_TOKENS)
        assert tokens(tokenizer)[-1] == MASK
        assert tokenizer.token_to_id(MASK) == size - 1


def test_every_byte_has_a_token_though_no_text_holds_it() -> None:
    tokenizer = train_bpe(["a"], 300, 2, 32)
    assert tokenizer.get_vocab_size() == SMALLEST
    text = "".join(map(chr, range(0x250))) + "\U0010ffff"
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.token_to_id("<unk>") not in ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_a_pair_is_learnt_from_its_least_frequency_on() -> None:
    for times, learnt in ((2, False), (3, True), (4, True)):
        assert ("qz" in tokens(train_bpe(["qz"] * times, 1000, 3, 32))) == learnt


def test_no_token_is_longer_than_it_may_be() -> None:
    """What the library joins last stays below the limit."""
    texts = ["abcdefghij"] * 9
    for most, longest in ((5, 4), (9, 8), (32, 10)):
        learnt = tokens(train_bpe(texts, 1000, 2, most))[260:-1]
        assert max(map(len, learnt)) == longest


def test_building_leaves_the_vocabulary_that_it_is_given_alone() -> None:
    """And numbers the mask behind all others, or as it was numbered."""
    vocabulary = {token: number for number, token in enumerate([*SPECIAL_TOKENS, "a", "b", "ab"])}
    before = dict(vocabulary)
    assert build_tokenizer(vocabulary, [("a", "b")]).token_to_id(MASK) == 7
    assert vocabulary == before
    known = {**vocabulary, MASK: 4, "a": 7}
    assert build_tokenizer(known, [("a", "b")]).token_to_id(MASK) == 4


def test_a_text_stands_between_the_first_and_the_third_special_token() -> None:
    """A pair is parted by two; offsets leave the space before a word out."""
    tokenizer = train_bpe(WORDS, 300, 2, 32)
    alone = tokenizer.encode("low", add_special_tokens=False).ids
    assert tokenizer.encode("low").ids == [0, *alone, 2]
    assert tokenizer.encode("low", "low").ids == [0, *alone, 2, 2, *alone, 2]
    assert tokenizer.encode(" low").offsets[1][0] == 1


@pytest.mark.parametrize("text", ["a <mask>", "a  <mask>", "a<mask>"])
def test_white_space_before_a_mask_is_part_of_it(text: str) -> None:
    """That after it is not."""
    tokenizer = train_bpe(WORDS, 300, 2, 32)
    mask, a = tokenizer.token_to_id(MASK), tokenizer.token_to_id("a")
    space = tokenizer.token_to_id("Ġ")
    assert tokenizer.encode(text, add_special_tokens=False).ids == [a, mask]
    assert tokenizer.encode(f"{text} ", add_special_tokens=False).ids == [a, mask, space]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tokenizer's folder, with the letters of one word learnt in German."""
    save_tokenizer(train_bpe(WORDS, 300, 2, 32), tmp_path / "deep" / "folder")
    return tmp_path / "deep" / "folder"


def test_the_files_say_what_stock_must_know(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "merges.txt",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
    ]
    assert json.loads((folder / "tokenizer_config.json").read_text()) == {
        "add_prefix_space": False,
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "mask_token": "<mask>",
        "model_max_length": 512,
        "pad_token": "<pad>",
        "sep_token": "</s>",
        "tokenizer_class": "RobertaTokenizer",
        "trim_offsets": True,
        "unk_token": "<unk>",
    }


def test_vocabulary_and_merges_are_those_of_the_tokenizer_in_their_order(folder: Path) -> None:
    """Letters of all kinds as they are, and the line that says of which version merges are."""
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    written = (folder / "vocab.json").read_text(encoding="utf-8")
    assert json.loads(written) == model["vocab"]
    assert "Ġ" in written
    lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    assert lines[0] == "#version: 0.2"
    assert [line.split(" ") for line in lines[1:-1]] == model["merges"]
    assert lines[-1] == ""
    assert len(model["merges"]) > 20


def test_corpus_text_is_never_cut_filled_up_or_taken_for_special(folder: Path) -> None:
    """Whatever the file says of it, since others may have made it."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=40, pad_id=1, pad_token="<pad>")
    tokenizer.save(str(folder / "tokenizer.json"))
    encoder = load_encoder(folder / "tokenizer.json")
    for text in ("low </s> slow <mask> lower " * 3, "low"):
        ids = encoder.encode(text, add_special_tokens=False).ids
        assert encoder.decode(ids, skip_special_tokens=False) == text
        assert not {0, 1, 2, 3, encoder.token_to_id(MASK)} & set(ids)


def test_each_id_has_its_own_token(folder: Path) -> None:
    encoder = load_encoder(folder / "tokenizer.json")
    found = vocabulary_of(encoder)
    assert [encoder.token_to_id(token) for token in found if token] == list(range(len(found)))
