"""Scores: held-out loss and pseudo-log-likelihood, against plain loops over stock."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_models import (
    SPECIAL_IDS,
    byte_tables,
    our_model,
    small_config,
    stock_loss_sum,
    stock_twin,
    write_random_rows,
)
from transformers import RobertaForMaskedLM

from roberta_model import scoring
from roberta_model.data.batches import MaskedBatch, masked_batch
from roberta_model.data.masking import Masking
from roberta_model.data.rows import PackedRows
from roberta_model.held_out_score import HeldOutScore, MaskedScore, ScoreByKind
from roberta_model.masked_lm import RobertaMaskedLM
from roberta_model.recipe import MaskingRecipe
from roberta_model.scoring import masked_loss, pseudo_log_likelihood, token_log_probabilities

TABLES = byte_tables()
ASKED: Any = {"mask_id": TABLES.mask_id, "special_ids": SPECIAL_IDS}
CONFIG = small_config(TABLES.vocab_size)
COUNTS = np.random.default_rng(3).integers(0, 40, TABLES.vocab_size)
COUNTS[[1, 200]] = 900, 60  # padding leads, but is no guess
Sums = dict[str, dict[str, list[float]]]
SEQUENCES = [[0, 9, 30, 4, 77, 2], [0, 9, 31, 4, 77, 2], [50], [0, 2], [], [8] * 20, [0, 9, 30, 2]]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> RobertaForMaskedLM:
    """Stock's twin of `our_model(CONFIG)`."""
    return stock_twin(our_model(CONFIG), tmp_path_factory.mktemp("twin"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> PackedRows:
    """Fifty held-out rows of 3 to 24 tokens."""
    path = tmp_path_factory.mktemp("rows") / "rows.arrow"
    return write_random_rows(path, 50, 24, TABLES.vocab_size, shortest=3)


def constant_model() -> RobertaMaskedLM:
    """A model that gives every token the same logit everywhere."""
    model = our_model(CONFIG)
    with torch.no_grad():
        model.embeddings.word.weight.zero_()
        model.lm_head.bias.fill_(0.5)
    return model


def frozen_batch(rows: PackedRows) -> MaskedBatch:
    """All held-out rows in one batch, masked as every score of them is."""
    numbers = np.arange(rows.num_rows)
    masking = Masking(TABLES, MaskingRecipe(), 0, "held-out")
    return masked_batch(rows, numbers, numbers * 0, masking)


@torch.inference_mode()
def test_the_held_out_loss_is_stocks(stock: RobertaForMaskedLM, rows: PackedRows) -> None:
    """The published loss is the mean cross-entropy that stock computes on the same masks."""
    batch = frozen_batch(rows)
    score = masked_loss(our_model(CONFIG), rows, TABLES).model.total
    assert score.num_masked == batch.num_masked > 50
    expected = stock_loss_sum(stock, batch).item()
    assert score.loss_sum == pytest.approx(expected, rel=1e-5)
    assert score.loss == pytest.approx(expected / batch.num_masked, rel=1e-5)
    assert score.perplexity == pytest.approx(math.exp(score.loss))
    assert batch.lengths_B is not None
    mask_BT = torch.arange(batch.input_ids_BT.shape[1]) < batch.lengths_B[:, None]
    logits = stock(input_ids=batch.input_ids_BT, attention_mask=mask_BT.long()).logits
    best_M = logits.argmax(dim=-1).flatten()[batch.positions_M]
    assert score.num_correct == (best_M == batch.targets_M).sum().item()


def assert_same_score(found: HeldOutScore, expected: HeldOutScore) -> None:
    """Of every kind, of the model and of the baseline, to rounding."""
    for mine, other in ((found.model, expected.model), (found.unigram, expected.unigram)):
        for kind, part in vars(mine).items():
            right = getattr(other, kind)
            assert (part.num_masked, part.num_correct) == (right.num_masked, right.num_correct)
            assert part.loss_sum == pytest.approx(right.loss_sum, rel=1e-6)


@torch.inference_mode()
def by_a_plain_loop(stock: RobertaForMaskedLM, rows: PackedRows) -> Sums:
    """Losses and right answers by kind, position by position over stock's logits."""
    batch = frozen_batch(rows)
    assert batch.lengths_B is not None
    mask_BT = torch.arange(batch.input_ids_BT.shape[1]) < batch.lengths_B[:, None]
    logits_BTV = stock(input_ids=batch.input_ids_BT, attention_mask=mask_BT.long()).logits
    ordinary = range(4, TABLES.vocab_size - 1)
    weights = {token: max(float(COUNTS[token]), 0.5) for token in ordinary}
    guess = max(weights, key=lambda token: weights[token])
    found: Sums = {
        kind: {"loss": [], "right": [], "unigram loss": [], "unigram right": []}
        for kind in ("mask", "random", "kept")
    }
    original = rows.tokens(np.arange(rows.num_rows))
    for position in batch.positions_M.tolist():
        row, column = divmod(position, batch.input_ids_BT.shape[1])
        target, seen = int(original[row, column]), int(batch.input_ids_BT[row, column])
        kind = "kept" if seen == target else "mask" if seen == TABLES.mask_id else "random"
        scores = logits_BTV[row, column].double()
        found[kind]["loss"].append(-scores.log_softmax(dim=0)[target].item())
        found[kind]["right"].append(float(scores.argmax().item() == target))
        share = weights[target] / sum(weights.values())
        found[kind]["unigram loss"].append(-math.log(share))
        found[kind]["unigram right"].append(float(target == guess))
    return found


def test_each_kind_of_position_is_summed_up_apart(
    stock: RobertaForMaskedLM, tmp_path: Path
) -> None:
    """Hidden, replaced and kept tokens, and the unigram baseline on each, by a plain loop."""
    rows = write_random_rows(tmp_path / "rows.arrow", 400, 24, TABLES.vocab_size, shortest=3)
    expected = by_a_plain_loop(stock, rows)
    score = masked_loss(our_model(CONFIG), rows, TABLES, token_counts=COUNTS)
    for kind, sums in expected.items():
        for part, name in ((score.model, ""), (score.unigram, "unigram ")):
            found = getattr(part, kind)
            assert found.num_masked == len(sums[name + "loss"]) > 50
            assert found.loss_sum == pytest.approx(sum(sums[name + "loss"]), rel=1e-5)
            assert found.num_correct == sum(sums[name + "right"])
    right = {kind: sum(sums["unigram right"]) for kind, sums in expected.items()}
    assert right["mask"] > 0
    total = sum(sum(sums["loss"]) for sums in expected.values())
    assert score.model.total.loss_sum == pytest.approx(total, rel=1e-5)
    assert score.unigram.total.num_masked == score.model.total.num_masked


def test_unigram_has_no_guess_where_two_tokens_lead(rows: PackedRows) -> None:
    """As a model's: a tie for the first place is wrong. Special tokens are never predicted."""
    counts = np.ones(TABLES.vocab_size, dtype=np.int64)
    counts[[0, 1, 2, 3, TABLES.mask_id]] = 10**6
    score = masked_loss(our_model(CONFIG), rows, TABLES, token_counts=counts).unigram.total
    assert score.num_correct == 0
    assert score.loss == pytest.approx(math.log(TABLES.vocab_size - 5))
    counts[[50, 60]] = 2
    score = masked_loss(our_model(CONFIG), rows, TABLES, token_counts=counts).unigram.total
    assert score.num_correct == 0, "though 50, the first of the two, is asked for"
    counts[60] = 1
    score = masked_loss(our_model(CONFIG), rows, TABLES, token_counts=counts).unigram.total
    targets_M = frozen_batch(rows).targets_M
    assert score.num_correct == (targets_M == 50).sum().item() > 0


def test_counts_of_another_vocabulary_are_refused(rows: PackedRows) -> None:
    """Rather than a baseline of other tokens."""
    with pytest.raises(ValueError, match="token counts of 9 ids, but the vocabulary has"):
        masked_loss(our_model(CONFIG), rows, TABLES, token_counts=np.ones(9, dtype=np.int64))


def test_without_counts_there_is_no_baseline(rows: PackedRows) -> None:
    """The model's score is the same with and without it."""
    model = our_model(CONFIG)
    found = masked_loss(model, rows, TABLES)
    assert found.unigram == ScoreByKind()
    assert found.model == masked_loss(model, rows, TABLES, token_counts=COUNTS).model
    assert found.unigram.mask == MaskedScore(0.0, 0, 0)


@pytest.mark.parametrize("batch_tokens", [1, 24, 24 * 7, 10**6])
def test_the_held_out_score_is_the_same_in_any_batch(
    batch_tokens: int, rows: PackedRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine with less memory measures the same model, to rounding."""
    expected = masked_loss(our_model(CONFIG), rows, TABLES, token_counts=COUNTS)
    monkeypatch.setattr(scoring, "HEAD_ROWS", 5)
    found = masked_loss(
        our_model(CONFIG), rows, TABLES, token_counts=COUNTS, batch_tokens=batch_tokens
    )
    assert_same_score(found, expected)


@pytest.mark.parametrize("num_parts", [2, 7, 60])
@pytest.mark.parametrize("max_rows", [None, 33])
def test_parts_of_the_held_out_rows_add_up(
    num_parts: int, max_rows: int | None, rows: PackedRows
) -> None:
    """However the rows are shared out among workers, every row counts exactly once."""
    model = our_model(CONFIG)
    whole = masked_loss(model, rows, TABLES, token_counts=COUNTS, max_rows=max_rows)
    parts = [
        masked_loss(
            model, rows, TABLES, token_counts=COUNTS, max_rows=max_rows, part=(number, num_parts)
        )
        for number in range(num_parts)
    ]
    told = [HeldOutScore.from_json(json.loads(json.dumps(part.to_json()))) for part in parts]
    assert told == parts
    assert_same_score(sum(told, start=HeldOutScore()), whole)


def test_scoring_again_gives_the_same_number(rows: PackedRows) -> None:
    """Masks are frozen; and a model that was training is training afterwards."""
    model = our_model(CONFIG).train()
    assert masked_loss(model, rows, TABLES) == masked_loss(model, rows, TABLES)
    assert model.training


def test_no_rows_give_no_score(rows: PackedRows) -> None:
    """A corpus with nothing held out has no loss, rather than a loss of 0."""
    nothing = masked_loss(our_model(CONFIG), PackedRows([]), TABLES).model.total
    assert nothing.num_masked == 0
    assert math.isnan(nothing.loss)
    assert math.isnan(nothing.accuracy)


def test_a_model_that_knows_nothing_is_never_right(rows: PackedRows) -> None:
    """All logits equal is a tie for the first place, and a tie is wrong."""
    score = masked_loss(constant_model(), rows, TABLES).model.total
    assert score.accuracy == 0
    assert score.loss == pytest.approx(math.log(TABLES.vocab_size), rel=1e-5)


@torch.inference_mode()
def one_mask_at_a_time(stock: RobertaForMaskedLM, ids: list[int]) -> float:
    """Salazar et al. (2020), as it is written: mask a token, ask for it, go on."""
    total = 0.0
    for place, target in enumerate(ids):
        if target in (*SPECIAL_IDS, TABLES.mask_id):
            continue
        masked = [*ids[:place], TABLES.mask_id, *ids[place + 1 :]]
        logits_V = stock(input_ids=torch.tensor([masked])).logits[0, place]
        total += logits_V.double().log_softmax(dim=0)[target].item()
    return total


@pytest.mark.parametrize("batch_tokens", [1, 13, 8192])
def test_pseudo_log_likelihood_is_the_naive_loops(
    batch_tokens: int, stock: RobertaForMaskedLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sharing and batching masked copies changes no score; empty lines score 0."""
    expected = [one_mask_at_a_time(stock, ids) for ids in SEQUENCES]
    for window_tokens in (1 << 22, 1):
        monkeypatch.setattr(scoring, "_WINDOW_TOKENS", window_tokens)
        found = pseudo_log_likelihood(
            our_model(CONFIG), SEQUENCES, batch_tokens=batch_tokens, **ASKED
        )
        assert found == pytest.approx(expected, abs=1e-4)
        assert found[3] == found[4] == 0


def test_a_mask_within_a_sequence_is_no_token_to_be_guessed() -> None:
    """It hides what stood there; the tokens beside it are asked for with it in its place."""
    ids = [0, 9, TABLES.mask_id, 4, 2]
    (values,) = token_log_probabilities(our_model(CONFIG), [ids], **ASKED)
    assert len(values) == 2


def test_equal_sequences_score_equally_to_the_bit() -> None:
    """What stands beside a sentence must not decide a minimal pair."""
    scores = pseudo_log_likelihood(our_model(CONFIG), [*SEQUENCES, *SEQUENCES[::-1]], **ASKED)
    assert scores[:7] == scores[7:][::-1]


def test_a_model_that_knows_nothing_ties_on_equal_lengths() -> None:
    """Two sentences of one length score the same under it: a tie, to the bit."""
    good, bad = pseudo_log_likelihood(constant_model(), SEQUENCES[:2], **ASKED)
    assert good == bad == pytest.approx(-4 * math.log(TABLES.vocab_size), rel=1e-5)
