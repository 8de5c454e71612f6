"""Nearest neighbours: those that a plain loop finds, and none that are no words."""

from pathlib import Path
from typing import Any

import torch
from small_models import our_model, small_config

from roberta_model.huggingface import save_model
from tasks.config.evaluate import NeighboursConfig
from tasks.engine.units import UnitWork
from tasks.evaluation.neighbours import find_neighbours, nearest, neighbour_units, word_tokens
from tasks.evaluation.task import Subject
from tasks.stages.evaluate_suite import model_files
from tasks.tokenizing.bpe import build_tokenizer, save_tokenizer

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


def test_a_vector_of_nought_is_like_no_word() -> None:
    """And no division by nought: a token that was never trained has one."""
    vectors = torch.eye(len(TOKENS))
    vectors[TOKENS.index("Ġcat")] = 0
    known = word_tokens(TOKENIZER)
    (found,) = nearest(vectors, TOKENIZER, known, ["cat"], 9)
    assert [(each["token"], each["cosine"]) for each in found["neighbours"]] == [
        *(("ca", 0.0), ("ta", 0.0), ("at", 0.0))
    ]


def test_the_words_asked_for_are_looked_at_else_the_first_of_the_vocabulary(tmp_path: Path) -> None:
    """As many neighbours as are asked for."""
    save_model(our_model(small_config(len(TOKENS))), tmp_path / "m")
    save_tokenizer(TOKENIZER, tmp_path / "m")
    files = model_files(tmp_path / "m")

    def found(**settings: Any) -> list[dict[str, Any]]:
        config = NeighboursConfig.model_validate({"task": "neighbours", "name": "near", **settings})
        (unit,) = neighbour_units(config, "near", {}, Subject(files))
        assert unit.label == "near/words"
        report = find_neighbours(UnitWork("near/words", tmp_path / "unit"), **unit.payload)
        return list(report.summary["words"])

    assert [each["word"] for each in found()] == ["ca", "cat", "ta", "at"]
    (told,) = found(words=["cats"], top=2)
    assert (told["word"], told["tokens"], len(told["neighbours"])) == ("cats", 2, 2)
