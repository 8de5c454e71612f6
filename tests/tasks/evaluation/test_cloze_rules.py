"""Cloze facts rule by rule: which are asked, how ranks count, and what guessing would give."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from byte_models import TOKENS
from small_models import our_model, small_config

from roberta_model.cloze_scoring import log_probabilities_at_masks
from tasks.config.evaluate import ClozeConfig
from tasks.engine.ledger import Ledger
from tasks.engine.outside import outside_file
from tasks.engine.units import UnitResult
from tasks.errors import UserError
from tasks.evaluation.cloze import (
    count_relations,
    fact_rights,
    fact_scores,
    fact_texts,
    rank_facts,
    summarise_facts,
)
from tasks.evaluation.cloze_files import Fact, read_facts
from tasks.evaluation.intervals import wilson, wilson_of_mean
from tasks.tokenizing.bpe import build_tokenizer

NETWORK = our_model(small_config(len(TOKENS), max_row_tokens=16), seed=3)
TOKENIZER = build_tokenizer({token: number for number, token in enumerate(TOKENS)}, [])
MASK_ID = TOKENS.index("<mask>")


def settings(**changes: Any) -> ClozeConfig:
    return ClozeConfig.model_validate(
        {"task": "cloze", "name": "facts", "data": "facts", **changes}
    )


def fact(answer: str, before: str = "x", after: str = ".", relation: str = "r") -> Fact:
    return Fact(before, after, answer, relation)


def ranked(*facts: Fact, most: int = 8) -> list[dict[str, int | None]]:
    return rank_facts(NETWORK, TOKENIZER, facts, most)


def test_an_answer_of_just_as_many_tokens_as_allowed_is_asked() -> None:
    """One of a token more is neither asked nor anybody's candidate."""
    found = ranked(fact("ab"), fact("cd"), fact("efg"), most=2)
    assert [(each["tokens"], each["pool"]) for each in found] == [(2, 2), (2, 2), (3, None)]


def test_a_sentence_of_just_as_many_tokens_as_the_model_reads_is_asked() -> None:
    """<s>, eleven letters, two masks, a stop and </s> are sixteen; its answer stays a candidate."""
    found = ranked(fact("ab", "x" * 11), fact("cd", "x" * 12), fact("ef"))
    assert [each["pool"] for each in found] == [3, None, 3]


def test_the_longest_candidate_says_whether_a_sentence_fits() -> None:
    """Else it would be ranked among part of them."""
    found = ranked(fact("a", "x" * 12), fact("b"), fact("cde"))
    assert [each["pool"] for each in found] == [None, 3, 3]


def test_only_an_answer_of_one_token_is_ranked_in_the_vocabulary() -> None:
    """Whatever the lengths of the candidates beside it."""
    found = ranked(fact("a"), fact("bc"), fact("d"))
    assert [each["vocabulary"] is not None for each in found] == [True, False, True]


def test_a_model_without_finite_weights_knows_nothing() -> None:
    """Its scores are no numbers: no answer comes before the others."""
    broken = our_model(small_config(len(TOKENS), max_row_tokens=16), seed=3)
    broken.lm_head.bias.data.fill_(float("nan"))
    found = rank_facts(broken, TOKENIZER, [fact("a"), fact("b"), fact("c")], 8)
    assert [each["candidates"] for each in found] == [3, 3, 3]
    assert {each["vocabulary"] for each in found} == {len(TOKENS)}


def test_candidates_are_those_of_the_relation() -> None:
    """The same answer twice is one of them."""
    facts = [fact("a"), fact("a", "y"), fact("b"), fact("c", relation="s"), fact("d", relation="s")]
    assert [each["pool"] for each in ranked(*facts)] == [2, 2, 2, 2, 2]


def test_an_answer_begins_a_word_after_white_space_alone() -> None:
    """`in [MASK]` asks for ` Rom`, of a token more than `Rom`."""
    found = ranked(fact("ab", "in "), fact("ab", "in"), fact("ab", "in\n"))
    assert [each["tokens"] for each in found] == [3, 2, 3]


@pytest.mark.parametrize("batch_tokens", [1, 14, 8192])
def test_masks_are_answered_as_one_sentence_at_a_time(batch_tokens: int) -> None:
    """In batches of one length and one number of masks; each sentence once."""
    rows = [[0, 9, MASK_ID, 2], [0, MASK_ID, 7, MASK_ID, 2], [0, MASK_ID, 8, MASK_ID, 2]]
    rows += [[0, 5, MASK_ID, 2], [0, MASK_ID, MASK_ID, 5, 2], [0, 6, MASK_ID, 7, 2]]
    found = list(log_probabilities_at_masks(NETWORK, rows, MASK_ID, batch_tokens))
    assert sorted(number for number, _ in found) == list(range(len(rows)))
    for number, values_KV in found:
        with torch.inference_mode():
            logits_TV = NETWORK(torch.tensor([rows[number]]))[0]
        is_mask_T = torch.tensor(rows[number]) == MASK_ID
        assert torch.allclose(values_KV, logits_TV[is_mask_T].log_softmax(dim=-1), atol=1e-5)


def rank(candidates: int | None, vocabulary: int | None = None, pool: int = 20) -> dict[str, Any]:
    return {
        **{"relation": "r", "answer": "a", "tokens": 1},
        **{"candidates": candidates, "vocabulary": vocabulary},
        "pool": None if candidates is None else pool,
    }


RANKS = [rank(1, pool=2), rank(5, 5), rank(6, 10), rank(11, 11), rank(None)]


def test_a_fact_counts_at_k_up_to_rank_k() -> None:
    """And what guessing gives is k of the candidates, all of them at most."""
    counts = count_relations(RANKS)["r"]
    assert counts["not_asked"] == 1
    assert counts["candidates"] == {"facts": 4, "at_1": 1, "at_5": 2, "at_10": 3}
    assert counts["vocabulary"] == {"facts": 3, "at_1": 0, "at_5": 1, "at_10": 2}
    guessing = {"at_1": 0.5 + 3 / 20, "at_5": 1 + 3 / 4, "at_10": 1 + 3 / 2}
    assert counts["guessing"] == pytest.approx(guessing)


def unit(number: int, unusable: int, records: list[dict[str, Any]], folder: Path) -> UnitResult:
    path = folder / f"{number}.json"
    path.write_text(json.dumps(records))
    summary = {"name": str(number), "unusable": unusable, "relations": count_relations(records)}
    files = {".json": outside_file(path)}
    return UnitResult(f"facts/{number}", "k", files, Ledger(), summary, reused=False)


def test_relations_count_alike_and_one_in_two_files_is_one(tmp_path: Path) -> None:
    """Precision, chance and interval of both rankings, by hand."""
    other = [{**rank(1, pool=4), "relation": "s"}]
    results = [unit(0, 2, RANKS, tmp_path), unit(1, 3, [rank(1, pool=2), *other], tmp_path)]
    found = summarise_facts(results)
    assert (found["facts"], found["not_asked"], found["unusable"]) == (6, 1, 5)
    first = found["candidates"]["at_1"]
    assert first["precision"] == pytest.approx((2 / 5 + 1) / 2)
    assert first["chance"] == pytest.approx(((0.5 + 0.5 + 3 / 20) / 5 + 1 / 4) / 2)
    assert first["interval"] == wilson_of_mean([(2, 5), (1, 1)])
    words = found["vocabulary"]
    assert (words["facts"], words["at_10"]["precision"]) == (3, pytest.approx(2 / 3))
    assert words["at_10"]["interval"] == wilson(2 / 3, 3)
    assert words["at_10"]["chance"] is None
    assert found["relations"]["s"]["candidates"]["at_1"]["precision"] == 1
    assert found["relations"]["s"]["vocabulary"] == {"facts": 0}
    assert found["relations"]["r"]["not_asked"] == 1

    scores = fact_scores("facts", found)
    assert [(score["measure"], score["n"]) for score in scores] == [
        *((f"precision at {depth}, relation's answers", 6) for depth in (1, 5, 10)),
        *((f"precision at {depth}, all tokens", 3) for depth in (1, 5, 10)),
    ]
    assert [score["value"] for score in scores[::3]] == [first["precision"], 0]
    assert (scores[0]["chance"], scores[0]["interval"]) == (first["chance"], first["interval"])
    assert (scores[3]["chance"], scores[0]["better"]) == (None, "higher")


def test_without_a_ranked_answer_there_is_no_score_of_the_vocabulary(tmp_path: Path) -> None:
    found = summarise_facts([unit(0, 0, [rank(2)], tmp_path)])
    assert len(fact_scores("facts", found)) == 3


def test_a_fact_is_right_where_its_answer_comes_first(tmp_path: Path) -> None:
    """Fact by fact in order; what was not asked is neither right nor wrong."""
    results = [unit(0, 0, [rank(1), rank(None)], tmp_path), unit(1, 0, [rank(2)], tmp_path)]
    assert fact_rights(results) == [("r", True), ("r", None), ("r", False)]


def written(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


ONE = {"masked_sentence": "A is [MASK].", "obj_label": " b ", "pred": "p"}


def test_the_first_facts_are_read_and_unusable_ones_count_among_them(tmp_path: Path) -> None:
    two_masks = {**ONE, "masked_sentence": "[MASK] is <mask>."}
    path = written(tmp_path / "f.jsonl", two_masks, ONE, ONE, ONE)
    facts, unusable = read_facts(path, settings(max_facts=3), "f", "f")
    assert (len(facts), unusable) == (2, 1)
    texts = list(fact_texts(settings(max_facts=2), {"f": outside_file(path)}))
    assert texts == ["A is b."]


def test_the_first_key_that_is_there_counts(tmp_path: Path) -> None:
    """`masked_sentence` before a list of them, `relation` before `pred`, else the file's name."""
    many = {"masked_sentences": ["B is <mask>!", "C is [MASK]."]}
    path = written(
        tmp_path / "f.jsonl",
        {**ONE, **many, "relation": "q"},
        {**many, "obj_label": "c"},
    )
    first, second = read_facts(path, settings(), "f", "name")[0]
    assert first == Fact("A is ", ".", "b", "q")
    assert second == Fact("B is ", "!", "c", "name")
    assert read_facts(written(path, ONE), settings(), "f", "name")[0][0].relation == "p"


def test_null_names_no_relation_and_no_text_holds_half_a_character(tmp_path: Path) -> None:
    """Parquet has it in each record that lacks a key: two files would be one relation."""
    path = written(tmp_path / "f.jsonl", {**ONE, "pred": None, "relation": None})
    assert read_facts(path, settings(), "f", "name")[0][0].relation == "name"
    for key in ("masked_sentence", "obj_label"):
        broken = {**ONE, key: "\ud800 [MASK]"}
        with pytest.raises(UserError, match=r"f, line 1: a text holds half .*ud800"):
            read_facts(written(path, broken), settings(), "f", "name")


def test_texts_are_those_of_the_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    """As their units are: else what a text was contained of would be another's."""
    files = {
        name: outside_file(written(tmp_path / name, {**ONE, "obj_label": name}))
        for name in ("b", "a")
    }
    assert list(fact_texts(settings(), files)) == ["A is a.", "A is b."]
