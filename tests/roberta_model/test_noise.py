"""Dropout's noise on CPUs: the right share, the right size, and a function of the seed."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from roberta_model.noise import Dropout, drop, keeping_noise


def seeded(shape: tuple[int, ...], share: float, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return keeping_noise(torch.empty(shape), share)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.25, 0.5, 0.9, 0.999])
def test_the_share_is_dropped_at_every_place_alike(share: float) -> None:
    """Each of the four that one draw decides on, within five standard errors; the mean stays."""
    noise = seeded((1 << 20,), share)
    error = (share * (1 - share) / (1 << 18)) ** 0.5
    for lane in range(4):
        dropped = (noise[lane::4] == 0).double().mean().item()
        assert dropped == pytest.approx(share, abs=5 * error + 2**-16)
    kept = noise[noise != 0].unique()
    assert kept.tolist() == pytest.approx([1 / (1 - share)], rel=0.02 if share > 0.9 else 1e-4)
    assert noise.double().mean().item() == pytest.approx(1, abs=5 * error / (1 - share))


def test_places_are_dropped_independently() -> None:
    """Neighbours, and values of the same lane: as often together as chance has it."""
    is_dropped = (seeded((1 << 20,), 0.5) == 0).double()
    for distance in (1, 2, 3, 4, 8, 64):
        both = (is_dropped[distance:] * is_dropped[:-distance]).mean().item()
        assert both == pytest.approx(0.25, abs=0.003)


@pytest.mark.parametrize("shape", [(0,), (1,), (3,), (4,), (5,), (2, 3, 7)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    """Whether or not four divide it."""
    assert seeded(shape, 0.3).shape == shape


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_type(dtype: torch.dtype) -> None:
    """The noise has the values' own, so that a product with it keeps theirs."""
    x = torch.ones(64, dtype=dtype)
    assert drop(x, 0.5, True).dtype == dtype
    assert set(drop(x, 0.5, True).tolist()) == {0.0, 2.0}


def test_the_seed_decides() -> None:
    """And each draw goes on where the one before ended."""
    assert torch.equal(seeded((99,), 0.4, 7), seeded((99,), 0.4, 7))
    assert not torch.equal(seeded((99,), 0.4, 7), seeded((99,), 0.4, 8))
    torch.manual_seed(7)
    first, second = (keeping_noise(torch.empty(99), 0.4) for _ in range(2))
    assert torch.equal(first, seeded((99,), 0.4, 7))
    assert not torch.equal(first, second)


def test_a_share_too_small_for_its_bits_drops_nothing_and_a_large_one_not_all() -> None:
    """Half of 2^-16 is the border."""
    assert (seeded((1 << 16,), 2**-18) == 1).all()
    noise = seeded((1 << 20,), 1 - 2**-20)
    assert 0 < (noise != 0).sum() < 64


def test_the_layer_is_stocks_but_for_the_noise() -> None:
    """Nothing is dropped unless it trains; the gradient is what was let through."""
    layer, x = Dropout(0.25), torch.randn(40, 8, requires_grad=True)
    assert isinstance(layer, nn.Dropout)
    assert torch.equal(layer.eval()(x), x)
    assert torch.equal(Dropout(0.0).train()(x), x)
    torch.manual_seed(3)
    out = layer.train()(x)
    torch.manual_seed(3)
    noise = keeping_noise(x, 0.25)
    assert torch.equal(out, x * noise)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, noise)


def test_elsewhere_it_is_torchs() -> None:
    """A device without values stands for a GPU: only shape and type come out."""
    x = torch.empty(3, 4, device="meta", dtype=torch.bfloat16)
    assert drop(x, 0.5, True).shape == F.dropout(x, 0.5).shape
