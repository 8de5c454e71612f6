"""The loss against its formula, written out as a double loop."""

import math
from pathlib import Path
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import (
    byte_tables,
    our_model,
    small_config,
    stock_loss_sum,
    stock_twin,
    write_random_rows,
)
from torch import Tensor

from roberta_model.data.batches import MaskedBatches
from roberta_model.data.masking import Masking
from roberta_model.data.ordering import SampleOrder
from roberta_model.encoder import Layer
from roberta_model.masked_lm import RobertaMaskedLM
from roberta_model.recipe import MaskingRecipe
from roberta_model.training import loss as loss_module
from roberta_model.training.loss import masked_lm_loss_sum
from roberta_model.training.start import initialise

MODEL = our_model(small_config(vocab_size=30)).requires_grad_(True)


def by_the_formula(hidden_MD: Tensor, targets: list[int], candidates: list[int]) -> Tensor:
    """L = - sum_i log( exp s(i, j_i) / sum_{k in N(i)} exp s(i, k) ), one number at a time."""
    word, head = MODEL.embeddings.word.weight, MODEL.lm_head
    total = torch.zeros((), dtype=torch.float64)
    for i, target in enumerate(targets):
        g_D = head.norm(torch.nn.functional.gelu(head.dense(hidden_MD[i])))
        scores = {k: (g_D @ word[k] + head.bias[k]).double() for k in candidates}
        norm = sum((scores[k].exp() for k in candidates), torch.zeros((), dtype=torch.float64))
        total = total - (scores[target].exp() / norm).log()
    return total


def gradients_of(total: Tensor, hidden_MD: Tensor) -> list[Tensor]:
    wanted = [hidden_MD, MODEL.embeddings.word.weight, *MODEL.lm_head.parameters()]
    return list(torch.autograd.grad(total, wanted))


@pytest.mark.parametrize("chunk_rows", [1, 3, 1000])
@pytest.mark.parametrize("kind", ["vocabulary", "batch"])
def test_the_loss_is_the_formula_in_value_and_gradient(
    kind: str, chunk_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both kinds of candidates, and however the logits are cut into chunks."""
    generator = torch.Generator().manual_seed(0)
    hidden_MD = torch.randn(8, 32, generator=generator, requires_grad=True)
    targets = [7, 5, 7, 29, 11, 5, 0, 18]
    distinct = sorted(set(targets))
    candidates = list(range(30)) if kind == "vocabulary" else distinct
    monkeypatch.setattr(loss_module, "_CHUNK_LOGITS", chunk_rows * len(candidates))
    expected = by_the_formula(hidden_MD, targets, candidates)
    candidates_C = torch.tensor(candidates) if kind == "batch" else None
    found = masked_lm_loss_sum(MODEL, hidden_MD, torch.tensor(targets), candidates_C)

    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    pairs = zip(gradients_of(found, hidden_MD), gradients_of(expected, hidden_MD), strict=True)
    for mine, formula in pairs:
        assert formula.abs().max() > 0
        torch.testing.assert_close(mine, formula, atol=2e-5, rtol=1e-4)


@given(st.lists(st.integers(0, 29), min_size=1, max_size=12), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_pieces_of_a_batch_add_up(targets: list[int], size: int) -> None:
    """However a batch is cut up, the pieces' losses are the whole's: the same candidates."""
    hidden_MD = torch.randn(len(targets), 32, generator=torch.Generator().manual_seed(1))
    targets_M = torch.tensor(targets)
    for candidates_C in (None, targets_M.unique()):
        whole = masked_lm_loss_sum(MODEL, hidden_MD, targets_M, candidates_C)
        parts = [
            masked_lm_loss_sum(MODEL, hidden, part, candidates_C)
            for hidden, part in zip(hidden_MD.split(size), targets_M.split(size), strict=True)
        ]
        assert sum(part.item() for part in parts) == pytest.approx(whole.item(), rel=1e-5, abs=1e-5)


def test_a_loss_over_one_candidate_is_zero() -> None:
    """Where the batch has one target alone there is nothing to tell it from."""
    found = masked_lm_loss_sum(
        MODEL, torch.randn(3, 32), torch.tensor([4, 4, 4]), torch.tensor([4])
    )
    assert found.item() == 0


def test_no_masked_token_gives_no_loss_and_no_gradient() -> None:
    """A micro-batch without a target adds nothing, and is no division by zero."""
    hidden_MD = torch.zeros(0, 32, requires_grad=True)
    for candidates_C in (None, torch.tensor([3, 5])):
        total = masked_lm_loss_sum(
            MODEL, hidden_MD, torch.zeros(0, dtype=torch.int64), candidates_C
        )
        assert total.item() == 0
        assert all(not grad.any() for grad in gradients_of(total, hidden_MD))


def test_an_untrained_model_loses_the_log_of_the_vocabulary() -> None:
    """The well-known first value: guessing costs ln V a token, or ln of the candidates."""
    model = RobertaMaskedLM(small_config(vocab_size=500))
    initialise(model, 0)
    hidden_MD, targets_M = torch.randn(200, 32), torch.randint(0, 500, (200,))
    over_all = masked_lm_loss_sum(model, hidden_MD, targets_M) / 200
    over_batch = masked_lm_loss_sum(model, hidden_MD, targets_M, targets_M.unique()) / 200
    assert over_all.item() == pytest.approx(math.log(500), abs=0.1)
    assert over_batch.item() == pytest.approx(math.log(len(targets_M.unique())), abs=0.1)


@pytest.mark.parametrize("shortest", [None, 3])
def test_a_batch_costs_what_stock_says_it_costs(shortest: int | None, tmp_path: Path) -> None:
    """From packed rows to the loss and all its gradients: stock, told the labels, agrees."""
    tables = byte_tables()
    ours = our_model(small_config(tables.vocab_size)).requires_grad_(True)
    stock = stock_twin(ours, tmp_path / "model")
    rows = write_random_rows(tmp_path / "rows.arrow", 20, 24, tables.vocab_size, shortest)
    order = SampleOrder(0, 20, 7)
    batch = MaskedBatches(rows, order, Masking(tables, MaskingRecipe(), 0), 10).batch(3)
    assert (batch.lengths_B is None) == (shortest is None)
    hidden_MD = ours.encode_at(
        batch.input_ids_BT, batch.positions_M, batch.lengths_B, batch.most_in_row
    )
    found = masked_lm_loss_sum(ours, hidden_MD, batch.targets_M)
    expected = stock_loss_sum(stock, batch)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)

    found.backward()
    expected.backward()
    theirs = {name: p.grad for name, p in stock.named_parameters() if p.grad is not None}
    layers = cast("list[Layer]", list(ours.layers))
    pairs = [
        (ours.embeddings.word.weight, "roberta.embeddings.word_embeddings.weight"),
        (ours.embeddings.position.weight, "roberta.embeddings.position_embeddings.weight"),
        (ours.lm_head.bias, "lm_head.bias"),
        (ours.lm_head.dense.weight, "lm_head.dense.weight"),
        (layers[0].inner.weight, "roberta.encoder.layer.0.intermediate.dense.weight"),
        (layers[1].norm.bias, "roberta.encoder.layer.1.output.LayerNorm.bias"),
    ]
    for parameter, name in pairs:
        assert theirs[name].abs().max() > 0
        torch.testing.assert_close(parameter.grad, theirs[name], atol=2e-4, rtol=1e-3)
    qkv = [
        theirs[f"roberta.encoder.layer.1.attention.self.{part}.weight"]
        for part in ("query", "key", "value")
    ]
    torch.testing.assert_close(
        layers[1].attention.qkv.weight.grad, torch.cat(qkv), atol=2e-4, rtol=1e-3
    )
