"""Nearest neighbours: those that a plain loop finds, and none that are no words."""

import torch

from tasks.evaluation.neighbours import nearest, word_tokens
from tasks.tokenizing.bpe import build_tokenizer

TOKENS = [
    *("<s>", "<pad>", "</s>", "<unk>", "c", "a", "t", "s", "Ġ", "1", "Ġc", "ca", "Ġca", "Ġcat"),
    *("Ġt", "Ġta", "Ġat", "Ġ11", "11", "<mask>"),
]
MERGES = [("Ġ", "c"), ("c", "a"), ("Ġc", "a"), ("Ġca", "t"), ("Ġ", "t"), ("Ġt", "a")]
TOKENIZER = build_tokenizer({token: n for n, token in enumerate(TOKENS)}, MERGES)


def test_only_words_are_neighbours() -> None:
    """No pieces, single letters, numbers or special tokens; in the vocabulary's order."""
    assert [text for _, text in word_tokens(TOKENIZER)] == ["ca", "cat", "ta", "at"]


def test_neighbours_are_the_nearest_by_cosine_without_the_word_itself() -> None:
    """Against a plain loop; a word of two tokens is their mean; a tie goes by the vocabulary."""
    vectors = torch.randn(len(TOKENS), 6, generator=torch.Generator().manual_seed(0))
    vectors[TOKENS.index("Ġta")] = 3 * vectors[TOKENS.index("Ġca")]
    known = word_tokens(TOKENIZER)
    found = nearest(vectors, TOKENIZER, known, ["cat", "cats", "at"], 3)
    for told, tokens in zip(found, (["Ġcat"], ["Ġcat", "s"], ["Ġ", "a", "t"]), strict=True):
        own = torch.stack([vectors[TOKENS.index(token)] for token in tokens]).mean(dim=0)
        expected = {
            text: torch.cosine_similarity(own, vectors[number], dim=0).item()
            for number, text in known
            if [TOKENS[number]] != tokens
        }
        order = sorted(expected, key=lambda text: round(-expected[text], 6))[:3]
        assert [each["token"] for each in told["neighbours"]] == order
        assert all(
            abs(each["cosine"] - expected[each["token"]]) < 1e-5 for each in told["neighbours"]
        )
        assert told["tokens"] == len(tokens)
