"""Single rules of using a model: limits to the token, ties, windows, ids that are not the usual."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_models import our_model, small_config
from tokenizers import AddedToken, Tokenizer
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing

from roberta_model.heads import SequenceClassificationHead
from roberta_model.huggingface import save_model
from roberta_model.inference import masks
from roberta_model.inference.answers import LONGEST_ANSWER, best_answer, best_span
from roberta_model.inference.batches import batches
from roberta_model.inference.classes import classify_texts
from roberta_model.inference.folder import masked_lm_of, model_of, open_folder
from roberta_model.inference.likelihood import score_texts
from roberta_model.inference.masks import fill_masks
from roberta_model.inference.reading import Columns, Reading
from roberta_model.inference.task_rows import TaskRows, Window
from roberta_model.inference.unusable import UnusableError
from tasks.tokenizing.bpe import build_tokenizer, save_tokenizer

LETTERS = sorted(ByteLevel.alphabet())
USUAL = ["<s>", "<pad>", "</s>", "<unk>", *LETTERS, "<mask>"]
MODEL = our_model(small_config(len(USUAL), max_row_tokens=12))


def tokenizer_of(tokens: list[str]) -> Tokenizer:
    return build_tokenizer({token: number for number, token in enumerate(tokens)}, [])


def test_a_text_of_just_as_many_tokens_as_the_model_reads_is_scored() -> None:
    """Ten letters between <s> and </s>; one more is named by its line."""
    (found,) = score_texts(MODEL, tokenizer_of(USUAL), ["a" * 10])
    assert found["tokens"] == 10
    with pytest.raises(UnusableError, match="Text 8 has 13 tokens, and the model reads at most 12"):
        score_texts(MODEL, tokenizer_of(USUAL), ["a", "a" * 11], first=7)


def test_a_score_per_token_is_the_scores_share() -> None:
    """Of the tokens that were scored, none of the special ones."""
    two, none = score_texts(MODEL, tokenizer_of(USUAL), ["ab", ""])
    assert two["score"] is not None
    assert (two["tokens"], two["per_token"]) == (2, two["score"] / 2)
    assert none == {"text": "", "tokens": 0, "score": None, "per_token": None}


def test_special_tokens_are_told_by_their_names() -> None:
    """Not by the ids that RoBERTa's have: a letter with the id 0 is scored."""
    odd = [*LETTERS, "<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    (found,) = score_texts(MODEL, tokenizer_of(odd), [LETTERS[0] * 3])
    assert found["tokens"] == 3


def test_a_text_of_just_as_many_tokens_as_the_model_reads_is_filled() -> None:
    """A longer one is refused where it has a mask, and has no guesses where it has none."""
    tokenizer = tokenizer_of(USUAL)
    (guesses,) = fill_masks(MODEL, tokenizer, ["a" * 9 + "<mask>"], top=2)[0]
    assert len(guesses) == 2
    assert fill_masks(MODEL, tokenizer, ["a" * 40], top=2) == [[]]
    with pytest.raises(UnusableError, match="The text has 13 tokens, and the model reads at most"):
        fill_masks(MODEL, tokenizer, ["a" * 10 + "<mask>"], top=2)
    with pytest.raises(UnusableError, match="Text 5 has 13 tokens"):
        fill_masks(MODEL, tokenizer, ["a", "a" * 10 + "<mask>"], top=2, first=4)
    with pytest.raises(UnusableError, match="at least 1, not 0"):
        fill_masks(MODEL, tokenizer, ["a<mask>"], top=0)


def test_masks_beyond_those_whose_logits_are_held_at_once_are_filled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two at a time or all together, the same guesses in the same order."""
    texts = ["<mask>a<mask>b<mask>", "none", "c<mask><mask>"]
    expected = fill_masks(MODEL, tokenizer_of(USUAL), texts, top=3)
    monkeypatch.setattr(masks, "HEAD_ROWS", 2)
    found = fill_masks(MODEL, tokenizer_of(USUAL), texts, top=3)
    assert [len(each) for each in found] == [3, 0, 2]
    for mine, theirs in zip(found, expected, strict=True):
        ids = [[guess["id"] for guess in guesses] for guesses in theirs]
        assert [[guess["id"] for guess in guesses] for guesses in mine] == ids
        assert len({tuple(each) for each in ids}) == len(ids)


def test_berts_mask_is_a_token_of_its_own_where_the_vocabulary_has_it() -> None:
    """Then it asks for nothing."""
    tokenizer = tokenizer_of(USUAL)
    assert len(fill_masks(MODEL, tokenizer, ["a[MASK]"], top=1)[0]) == 1
    tokenizer.add_special_tokens([AddedToken("[MASK]", special=True)])
    assert fill_masks(MODEL, tokenizer, ["a[MASK]"], top=1) == [[]]


@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)])
def test_a_tokenizer_with_one_token_too_many_does_not_fit(
    more: int, fits: bool, tmp_path: Path
) -> None:
    save_model(MODEL, tmp_path)
    save_tokenizer(tokenizer_of([*USUAL, *["Ġa"][:more]]), tmp_path)
    if fits:
        model, _ = open_folder(tmp_path, masked_lm_of)
        assert not model.training
    else:
        with pytest.raises(UnusableError, match=rf"ids up to {len(USUAL)} but .* {len(USUAL)} tok"):
            open_folder(tmp_path, masked_lm_of)


@pytest.mark.parametrize(
    ("named", "head"),
    [(None, "RobertaForMaskedLM"), ([], "RobertaForMaskedLM"), (["RobertaModel"], "RobertaModel")],
)
def test_a_folder_with_the_weights_of_a_masked_lm_is_one(
    named: list[str] | None, head: str, tmp_path: Path
) -> None:
    """Old folders name no head, and others the encoder alone: what asks for the LM has it there."""
    save_model(MODEL, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": named}))
    assert torch.equal(masked_lm_of(tmp_path).lm_head.bias, MODEL.lm_head.bias)
    assert model_of(tmp_path)[1] == head


def test_a_text_without_a_token_is_classed_as_padding() -> None:
    """As stock would give it; no model reads a row of nothing."""
    torch.manual_seed(0)
    classifier = SequenceClassificationHead(MODEL.config, ("no", "yes")).on_encoder(MODEL.config)
    classifier.load_state_dict(MODEL.state_dict(), strict=False)
    tokenizer = tokenizer_of(USUAL)
    tokenizer.post_processor = TemplateProcessing(single="$A", pair=None, special_tokens=[])
    (found,) = classify_texts(classifier.eval(), tokenizer, [""], {})
    with torch.inference_mode():
        logits_BC = classifier(torch.tensor([[MODEL.config.pad_id]]))
    assert list(found["scores"].values()) == pytest.approx(logits_BC.softmax(dim=1)[0].tolist())


def test_batches_hold_as_many_tokens_as_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Padding included; each row once, the longest first, one at least."""
    monkeypatch.setattr("roberta_model.inference.batches._CPU_TOKENS", 10)
    rows = [[5] * length for length in (3, 12, 5, 0, 5, 2, 3)]
    found = list(batches(rows, 1, torch.device("cpu")))
    assert [batch.numbers for batch in found] == [[1], [2, 4], [0, 6, 5]]
    assert [batch.lengths_B is None for batch in found] == [True, True, False]
    assert found[2].ids_BT.tolist() == [[5, 5, 5], [5, 5, 5], [5, 5, 1]]


def logits(starts: list[float], ends: list[float]) -> Any:
    return np.array([starts, ends], dtype=np.float32).T


def test_of_spans_alike_the_shortest_then_the_first_is_the_answer() -> None:
    assert best_span(logits([1, 1, 1], [1, 1, 1])) == (2.0, 0, 0)
    assert best_span(logits([0, 3, 3], [0, 0, 2])) == (5.0, 2, 2)
    assert best_span(logits([0, 3, 0], [0, 0, 3])) == (6.0, 1, 2)
    assert best_span(logits([0, 0, 9], [9, 0, 0])) == (9.0, 0, 0), "an end before its start is none"


@pytest.mark.parametrize(("length", "found"), [(LONGEST_ANSWER, True), (LONGEST_ANSWER + 1, False)])
def test_an_answer_has_thirty_tokens_at_most(length: int, found: bool) -> None:
    starts, ends = [0.0] * 40, [0.0] * 40
    starts[4], ends[4 + length - 1] = 5.0, 5.0
    assert (best_span(logits(starts, ends)) == (10.0, 4, 4 + length - 1)) is found


def window(first: int, *spans: tuple[int, int]) -> Window:
    return Window([0] * (first + len(spans) + 1), first, list(spans))


def test_only_tokens_of_the_context_are_answers() -> None:
    """Neither the question's before it nor the </s> behind it, however likely."""
    likely = logits([9, 9, 9, 1, 2, 9], [9, 9, 9, 1, 2, 9])
    found = best_answer("one two", [(window(3, (0, 3), (4, 7)), likely)], may_be_none=False)
    assert found == {"answer": "two", "start": 4, "score": 4.0}


def test_an_answer_that_is_as_likely_as_none_is_none() -> None:
    """And the first window's of two alike is taken."""
    part = window(1, (0, 3))
    tie = logits([2, 2, 0], [2, 2, 0])
    nothing = {"answer": "", "start": -1, "score": None}
    assert best_answer("one two", [(part, tie)], may_be_none=True) == nothing
    assert best_answer("one two", [(part, tie)], may_be_none=False)["answer"] == "one"
    both = [(part, tie), (window(1, (4, 7)), tie)]
    assert best_answer("one two", both, may_be_none=False)["start"] == 0
    empty = [(Window([0, 2], 0, []), logits([0, 0], [0, 0]))]
    assert best_answer("", empty, may_be_none=False) == nothing


def test_rows_of_words_are_filled_to_the_last_token() -> None:
    """<s>, six letters or spaces, </s>; a word that does not fit goes whole into the next row."""
    rows = TaskRows(tokenizer_of(USUAL), 8, 2).word_rows(["ab", "cd", "e", "f", "ghi", "jklmn"])
    assert [row.words for row in rows] == [[0, 1], [2, 3], [4], [5]]
    assert [len(row.ids) for row in rows] == [7, 5, 5, 7]
    assert [row.places for row in rows] == [[1, 4], [1, 3], [1], [1]]
    assert all((row.ids[0], row.ids[-1]) == (0, 2) for row in rows)


def test_a_word_of_just_a_row_is_read_and_one_of_more_refused() -> None:
    rows = TaskRows(tokenizer_of(USUAL), 8, 2)
    assert [len(row.ids) for row in rows.word_rows(["abcdef"])] == [8]
    # The blank between two is a token of its own here, and of neither.
    assert [len(row.ids) for row in rows.word_rows(["abcdef", "gh"])] == [8, 4]
    with pytest.raises(UnusableError, match="'abcdefg' has more than 8 tokens"):
        rows.word_rows(["abcdefg"])


def test_windows_share_as_many_tokens_as_the_stride() -> None:
    """Twelve tokens: <s> q </s></s> seven letters </s>."""
    rows = TaskRows(tokenizer_of(USUAL), 12, 3)
    context = "abcdefghijklmno"
    found = rows.windows(" q", context)
    texts = ["".join(context[a:b] for a, b in each.spans) for each in found]
    assert texts == ["abcdefg", "efghijk", "ijklmno"]
    assert [(each.first, len(each.ids)) for each in found] == [(4, 12)] * 3
    assert rows.num_cut == 0


def test_a_question_is_cut_at_half_a_row_and_counted() -> None:
    """Of twelve tokens six are left to it, so that something of the context is read."""
    rows = TaskRows(tokenizer_of(USUAL), 12, 3)
    (first, *_) = rows.windows("qrstuvw", "abcdef")
    assert (first.first, rows.num_cut) == (9, 1)
    assert rows.windows("qrstuv", "ab")[0].first == 9
    assert rows.num_cut == 1


def test_texts_that_are_cut_are_counted() -> None:
    """A row holds what fits, and its </s>."""
    rows = TaskRows(tokenizer_of(USUAL), 6, 2)
    found = rows.sequences(["abcd", "abcde", ("ab", "cdefg")])
    assert [len(ids) for ids in found] == [6, 6, 6]
    assert [ids[-1] for ids in found] == [2, 2, 2]
    assert rows.num_cut == 2


def test_what_a_folder_reads_is_read_again_as_it_was_written(tmp_path: Path) -> None:
    columns = Columns("question", "context", None)
    written = Reading("qa", columns, 64, 16, may_have_no_answer=True)
    written.write(tmp_path)
    assert Reading.of(tmp_path) == written
    assert Reading.of(tmp_path / "none") is None
    assert columns.told() == "question and context"
    assert Columns("text", None, "label").told() == "text -> label"
