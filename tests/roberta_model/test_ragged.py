"""Rows without padding: hidden states and gradients are those of one padded batch."""

import numpy as np
import pytest
import torch
from small_models import our_model, small_config
from torch import Tensor

from roberta_model.data.examples import cut_by_length, padded_ids
from roberta_model.masked_lm import RobertaMaskedLM
from roberta_model.noise import keeping_noise
from roberta_model.ragged import Ragged, encode_ragged
from roberta_model.short_rows import attend_short_rows

CONFIG = small_config(max_row_tokens=40)
LENGTHS = (5, 17, 40, 5, 5, 1, 23, 17, 9, 2, 2, 31)


def rows_of(lengths: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    return [rng.integers(4, CONFIG.vocab_size, length).astype(np.int32) for length in lengths]


def both(
    model: RobertaMaskedLM, lengths: tuple[int, ...], pass_tokens: int, firsts_only: bool
) -> tuple[Tensor, Tensor]:
    """Hidden states of each row, one behind the other: padded and ragged, in the same order."""
    rows = rows_of(lengths)
    groups = cut_by_length(np.array(lengths), pass_tokens, 10_000)
    ragged = Ragged.of([[rows[n] for n in group] for group in groups], CONFIG.pad_id)
    found = encode_ragged(model, ragged, firsts_only=firsts_only)
    ids_BT, lengths_B = padded_ids(rows, CONFIG.pad_id)
    hidden_BTD = model.encode(ids_BT, lengths_B)
    order = np.concatenate(groups).tolist()
    most = [1 if firsts_only else lengths[n] for n in order]
    return torch.cat([hidden_BTD[n, :m] for n, m in zip(order, most, strict=True)]), found


@pytest.mark.parametrize("firsts_only", [False, True])
@pytest.mark.parametrize("pass_tokens", [0, 16, 10_000])
@pytest.mark.parametrize("lengths", [LENGTHS, (7,), (7, 7, 7), (1, 1), (40, 1)])
def test_it_is_what_a_padded_batch_gives(
    firsts_only: bool, pass_tokens: int, lengths: tuple[int, ...]
) -> None:
    """In many groups, in one, with rows of one length and of one token."""
    expected, found = both(our_model(CONFIG), lengths, pass_tokens, firsts_only)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("firsts_only", [False, True])
def test_so_are_the_gradients(firsts_only: bool) -> None:
    """Of every weight; padding teaches nothing."""
    model = our_model(CONFIG).requires_grad_(True)
    gradients = []
    for which in (0, 1):
        model.zero_grad()
        hidden = both(model, LENGTHS, 16, firsts_only)[which]
        (hidden * torch.linspace(-1, 1, hidden.numel()).view_as(hidden)).sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        found = gradients[1][name].to_dense()  # the word embedding's is sparse
        torch.testing.assert_close(found, gradient, atol=2e-4, rtol=1e-4, msg=name)


@pytest.mark.parametrize("compute", [torch.float32, torch.bfloat16])
def test_dropout_of_what_is_read_has_its_gradients_too(compute: torch.dtype) -> None:
    """Written out by hand: held against autograd's own, with the same noise."""
    H, D, share = 4, 32, 0.25
    lengths = (9, 9, 7, 3)
    rows = rows_of(lengths)
    ragged = Ragged.of([rows[:2], rows[2:]], CONFIG.pad_id)
    torch.manual_seed(3)
    qkv = torch.randn(sum(lengths), 3 * D, dtype=compute)
    grad = torch.randn(sum(lengths), D, dtype=compute)
    found, expected = qkv.clone().requires_grad_(), qkv.float().requires_grad_()
    torch.manual_seed(4)
    mixed = attend_short_rows(found, ragged.groups, H, 0.3, share)
    mixed.backward(grad)
    torch.manual_seed(4)
    parts, at = [], 0
    for group in ragged.groups:
        T, B = group.longest, group.num_rows
        noise = keeping_noise(torch.empty(B * H, T, T), share)
        assert 0 < (noise == 0).float().mean() < 0.5
        for row, length in enumerate(group.lengths.tolist()):
            its = expected[at : at + length].view(length, 3, H, D // H)
            q, k, v = its.permute(1, 2, 0, 3)
            weights = (0.3 * q @ k.transpose(1, 2)).softmax(dim=-1)
            weights = weights * noise[row * H : row * H + H, :length, :length]
            parts.append((weights @ v).transpose(0, 1).reshape(length, D))
            at += length
    torch.cat(parts).backward(grad.float())
    atol = 2e-2 if compute == torch.bfloat16 else 1e-5
    torch.testing.assert_close(mixed.float(), torch.cat(parts), atol=atol, rtol=2e-2)
    assert found.grad is not None
    torch.testing.assert_close(found.grad.float(), expected.grad, atol=atol, rtol=2e-2)


def test_a_row_that_is_too_long_is_refused() -> None:
    ragged = Ragged.of([rows_of((41,))], CONFIG.pad_id)
    with pytest.raises(ValueError, match="rows of 41 tokens; the model reads at most 40"):
        encode_ragged(our_model(CONFIG), ragged)
