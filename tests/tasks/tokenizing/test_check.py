"""What a sample shows of a tokenizer, counted by hand, and what it is refused for."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tasks.errors import StageError, UserError
from tasks.tokenizing.bpe import train_bpe
from tasks.tokenizing.check import Fertility, check_tokenizer


@pytest.fixture(scope="module")
def by_bytes() -> Tokenizer:
    """A tokenizer without merges: a token for each byte."""
    return train_bpe(["a"], 261, 2, 32)


def test_documents_bytes_words_tokens_and_used_ids_add_up(by_bytes: Tokenizer) -> None:
    found = check_tokenizer(by_bytes, ["ab ba", "é b"], None)
    assert (found.documents, found.bytes, found.words) == (2, 9, 4)
    assert (found.tokens, found.spaced_tokens, len(found.used)) == (9, 9, 5)
    assert found.figures(261) == {
        "documents": 2,
        "bytes": 9,
        "tokens": 9,
        "tokens_per_word": 2.25,
        "bytes_per_token": 1.0,
        "vocabulary_used": 0.0192,
    }


def test_figures_are_bytes_a_token_and_tokens_a_spaced_word() -> None:
    found = Fertility(3, bytes=900, words=100, tokens=300, spaced_tokens=150, used={1, 2, 3})
    figures = found.figures(12)
    assert figures["bytes_per_token"] == 3
    assert figures["tokens_per_word"] == 1.5
    assert figures["vocabulary_used"] == 0.25
    assert Fertility().figures(12)["bytes_per_token"] == 0
    assert Fertility().tokens_per_word is None


def test_words_of_up_to_sixteen_bytes_in_the_mean_are_words(by_bytes: Tokenizer) -> None:
    """Counted in bytes, since scripts without spaces have three to a character."""
    for text, words in (
        ("x" * 16, 1),
        ("x" * 17, 0),
        ("x" * 15 + " " + "y" * 16, 2),
        ("x" * 16 + " " + "y" * 16, 0),
        ("中文中文中文", 0),
        ("", 0),
    ):
        found = check_tokenizer(by_bytes, [text], None)
        assert found.words == words
        assert found.spaced_tokens == (found.tokens if words else 0)


def test_text_without_spaces_adds_nothing_to_the_tokens_of_words(by_bytes: Tokenizer) -> None:
    found = check_tokenizer(by_bytes, ["ab cd", "x" * 99, "ef gh"], None)
    assert (found.words, found.spaced_tokens, found.tokens) == (4, 10, 109)


def test_tokens_a_word_may_be_just_as_many_as_the_limit(by_bytes: Tokenizer) -> None:
    assert check_tokenizer(by_bytes, ["abc de"], 3.0).tokens_per_word == 3
    with pytest.raises(UserError, match=r"into 3\.00 tokens on average, more than .*\(2\.9\)"):
        check_tokenizer(by_bytes, ["abc de"], 2.9)


def test_unknown_tokens_are_refused_though_they_come_back() -> None:
    """`<unk>` in the text itself is spelt in ordinary tokens, or it is unknown."""
    known = models.BPE({"<unk>": 0, "a": 1}, [], unk_token="<unk>")
    tokenizer = Tokenizer(known)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<unk>"])
    assert tokenizer.decode(tokenizer.encode("<unk>").ids, skip_special_tokens=False) == "<unk>"
    with pytest.raises(StageError, match="does not give back this text as it was: '<unk>'"):
        check_tokenizer(tokenizer, ["a", "<unk>"], None)


def test_text_that_comes_back_otherwise_is_refused() -> None:
    tokenizer = Tokenizer(models.BPE({"<unk>": 0, "a": 1, "Ġ": 2}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    with pytest.raises(StageError, match="this text as it was: 'aa'"):
        check_tokenizer(tokenizer, [" a", "aa"], None)
