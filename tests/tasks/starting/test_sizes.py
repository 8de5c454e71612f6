"""Sizes for a corpus and a machine: each limit holds from its very value on."""

from typing import Any

import pytest

from roberta_model.config import PRESETS, ModelConfig
from tasks.starting.sizes import _by_text, _seen, _vocabulary, suitable_sizes


def sizes(text_bytes: int, minutes: float, flops: float, **more: Any) -> Any:
    how = {"is_gpu": False, "is_unspaced": False, "cores": 1, **more}
    return suitable_sizes(text_bytes, minutes, flops, **how)


@pytest.mark.parametrize(
    ("text_bytes", "size"),
    [
        (0, 4096),
        (9_999_999, 4096),
        (10_000_000, 6144),
        (40_000_000, 8192),
        (199_999_999, 8192),
        (200_000_000, 16_384),
        (2_000_000_000, 32_768),
        (20_000_000_000, 50_265),
    ],
)
def test_a_vocabulary_grows_with_the_text(text_bytes: int, size: int) -> None:
    assert _by_text(text_bytes) == size


def test_a_small_model_guesses_among_few_and_text_without_spaces_needs_many() -> None:
    much = 20_000_000_000
    assert [_vocabulary(much, name, False) for name in ("narrow", "tiny", "mini", "base")] == [
        8192,
        16_384,
        50_265,
        50_265,
    ]
    assert _vocabulary(0, "base", False) == 4096
    assert (_vocabulary(0, "narrow", True), _vocabulary(much, "narrow", True)) == (16_384, 50_265)


def test_a_token_costs_six_operations_a_weight_at_half_the_speed() -> None:
    assert _seen(parameters=1000, seconds=6.0, flops=2000.0) == 1.0


def test_tokens_are_counted_from_bytes_and_never_none() -> None:
    assert sizes(4_200_000, 5, 1e12).tokens == 1_000_000
    assert sizes(3_000_000, 5, 1e12, is_unspaced=True).tokens == 1_000_000
    assert sizes(0, 5, 1e12).tokens == 1


def test_reading_takes_its_time_but_never_more_than_half_of_it() -> None:
    """42 MB of text take a minute to read."""
    assert sizes(42_000_000, 5, 1e11).minutes == 4.0
    assert sizes(42_000_000, 60, 1e11).minutes == 59
    assert sizes(420_000_000, 12, 1e11).minutes == 6.0


def test_the_text_is_not_read_more_than_forty_times() -> None:
    """The training is the shorter for it, and half a minute at least."""
    found = sizes(4_200_000, 600, 1e12)
    assert found.seen == 40 * found.tokens
    spent = 60 * found.minutes
    assert _seen(found.parameters, spent, 1e12) == pytest.approx(found.seen, rel=0.01)
    assert sizes(4200, 600, 1e12).minutes == 0.5


def test_the_largest_model_is_taken_that_sees_four_tokens_a_weight() -> None:
    """Just enough time for it, and just not enough."""
    tiny = ModelConfig(16_384, **vars(PRESETS["tiny"])).num_parameters
    text = 20_000_000_000
    needed = 4 * tiny * 6 * tiny / 0.5 / (60 * 60)  # flops for an hour's training of two
    assert sizes(text, 120, needed * 1.001).sections["model"]["preset"] == "tiny"
    assert "preset" not in sizes(text, 120, needed * 0.999).sections["model"]


def test_a_model_is_no_larger_than_its_text_whatever_the_machine() -> None:
    """Forty times the text are four tokens for each of its weights, however fast they are seen."""
    little, more = (sizes(text_bytes, 600, 1e15) for text_bytes in (4_200_000, 42_000_000))
    assert little.parameters < more.parameters
    for found in (little, more):
        assert 4 * found.parameters <= found.seen == 40 * found.tokens


def test_a_shape_has_its_rows_batches_and_recipe() -> None:
    narrow = sizes(1_000_000, 3, 1e11).sections
    assert narrow["model"] == {
        "num_layers": 2,
        "width": 128,
        "num_heads": 4,
        "feedforward_width": 512,
        "initializer_range": 0.05,
    }
    assert narrow["pack"] == {"row_tokens": 128}
    optimizer = {"kind": "muon", "learning_rate": 5.0e-3, "matrix_learning_rate": 0.02}
    assert narrow["pretrain"]["optimizer"] == optimizer
    assert narrow["pretrain"]["masking"] == {"rate": 0.3, "rate_end": 0.15}
    assert narrow["pretrain"]["batch_rows"] == 64
    assert sizes(1_000_000, 3, 1e11, is_gpu=True).sections["pretrain"]["batch_rows"] == 128
    base = sizes(5_000_000_000, 1440, 6e14, is_gpu=True).sections
    assert base["model"] == {"preset": "base", "start": "plain"}
    assert base["pack"] == {"row_tokens": 512}
    assert base["pretrain"]["batch_rows"] == 256
    assert base["pretrain"]["optimizer"] == {"learning_rate": 7.0e-4}
    assert base["pretrain"]["schedule"] == {"warmup_share": 0.06}
    assert "masking" not in base["pretrain"]
    small = sizes(5_000_000_000, 1440, 3e12, is_gpu=True).sections
    assert small["model"] == {"preset": "small"}
    assert small["pack"] == {"row_tokens": 256}
    assert small["pretrain"]["optimizer"]["learning_rate"] == 3.0e-3


@pytest.mark.parametrize(
    ("cores", "is_gpu", "shared"), [(1, False, False), (2, False, True), (8, True, False)]
)
def test_two_processes_share_the_cores_of_a_machine_without_a_gpu(
    cores: int, is_gpu: bool, shared: bool
) -> None:
    found = sizes(1_000_000, 3, 1e11, cores=cores, is_gpu=is_gpu).sections
    assert found.get("engine") == ({"launch": {"processes": 2}} if shared else None)


def test_it_is_told_in_a_line() -> None:
    assert sizes(1_000_000, 3, 1e11).told() == (
        f"a model of {sizes(1_000_000, 3, 1e11).parameters / 1e6:.1f} M weights "
        f"(2 layers of 128), a vocabulary of 4,096, {sizes(1_000_000, 3, 1e11).minutes:g} "
        "minutes of training"
    )
    assert "(base)" in sizes(5_000_000_000, 1440, 6e14, is_gpu=True).told()
