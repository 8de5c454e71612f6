"""The encoder's shape in a `config.json`: what is missing, what is refused, what presets mean."""

from typing import Any

import pytest

from roberta_model.config import PRESETS, ModelConfig, fraction, whole_number

SIZES = {
    "model_type": "roberta",
    "vocab_size": 160,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 26,
}


def test_what_a_config_does_not_say_is_as_stock_has_it() -> None:
    """Its own defaults: the epsilon is 1e-12 there, where published models say 1e-5."""
    found = ModelConfig.from_huggingface(SIZES)
    assert found == ModelConfig(
        vocab_size=160,
        num_layers=2,
        width=32,
        num_heads=4,
        feedforward_width=48,
        max_row_tokens=24,
        dropout=0.1,
        attention_dropout=0.1,
        norm_eps=1e-12,
        initializer_range=0.02,
        bos_id=0,
        pad_id=1,
        eos_id=2,
    )
    assert ModelConfig.from_huggingface({**SIZES, "pad_token_id": None}) == found


def test_each_value_of_a_config_is_read_into_its_own_place() -> None:
    values = {
        **SIZES,
        "hidden_dropout_prob": 0.2,
        "attention_probs_dropout_prob": 0.3,
        "layer_norm_eps": 1e-6,
        "initializer_range": 0.04,
        "bos_token_id": 5,
        "pad_token_id": 3,
        "eos_token_id": 6,
        "is_decoder": False,
    }
    found = ModelConfig.from_huggingface(values)
    assert found == ModelConfig(160, 2, 32, 4, 48, 22, 0.2, 0.3, 1e-6, 0.04, 5, 3, 6)
    written = found.to_huggingface()
    assert {name: written[name] for name in values if name != "is_decoder"} == {
        name: value for name, value in values.items() if name != "is_decoder"
    }
    kinds = ("hidden_act", "position_embedding_type", "type_vocab_size", "torch_dtype")
    assert [written[name] for name in kinds] == ["gelu", "absolute", 1, "float32"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model_type", "xlm-roberta"),
        ("hidden_act", "gelu_new"),
        ("position_embedding_type", "relative_key"),
        ("type_vocab_size", 2),
        ("is_decoder", True),
    ],
)
def test_what_would_compute_otherwise_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"config.json says {name}: {value!r}; only"):
        ModelConfig.from_huggingface({**SIZES, name: value})


def test_a_kind_that_is_missing_is_refused_and_others_are_taken_for_robertas() -> None:
    without = {name: value for name, value in SIZES.items() if name != "model_type"}
    with pytest.raises(ValueError, match="model_type: None"):
        ModelConfig.from_huggingface(without)
    assert ModelConfig.from_huggingface({**SIZES, "hidden_act": None}).width == 32


@pytest.mark.parametrize("name", [name for name in SIZES if name != "model_type"])
def test_a_size_that_is_missing_is_named(name: str) -> None:
    values = {known: value for known, value in SIZES.items() if known != name}
    with pytest.raises(ValueError, match=f"config.json lacks '{name}'"):
        ModelConfig.from_huggingface(values)


@pytest.mark.parametrize("value", [True, False, -1, 1.5, "3", [3], 1 << 40])
def test_what_is_no_whole_number_is_none(value: Any) -> None:
    """True is 1 to Python."""
    with pytest.raises(ValueError, match="config.json says n: .*a whole number is needed"):
        whole_number({"n": value}, "n", 3)


def test_a_whole_number_may_be_zero_and_null_is_the_default() -> None:
    assert whole_number({"n": 0}, "n", 3) == 0
    assert whole_number({"n": (1 << 40) - 1}, "n") == (1 << 40) - 1
    assert whole_number({"n": None}, "n", 3) == whole_number({}, "n", 3) == 3


@pytest.mark.parametrize("value", [True, -0.01, 1.01, "0.1", float("nan"), float("inf")])
def test_what_is_no_share_is_none(value: Any) -> None:
    with pytest.raises(ValueError, match="config.json says p: .*; it must be from 0 to 1"):
        fraction({"p": value}, "p", 0.5)


def test_a_share_may_be_nothing_or_all_and_null_is_the_default() -> None:
    assert [fraction({"p": value}, "p", 0.5) for value in (0, 1, 0.25)] == [0.0, 1.0, 0.25]
    assert fraction({"p": None}, "p", 0.5) == fraction({}, "p", 0.5) == 0.5
    assert fraction({}, "p", None) is None


def shape(**changes: int) -> ModelConfig:
    sizes = {"vocab_size": 9, "num_layers": 1, "width": 8, "num_heads": 2, "feedforward_width": 4}
    return ModelConfig(**{**sizes, **changes})


@pytest.mark.parametrize(
    "name",
    ["vocab_size", "num_layers", "width", "num_heads", "feedforward_width", "max_row_tokens"],
)
def test_a_size_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0, and must be at least 1"):
        shape(**{name: 0})


def test_sizes_that_do_not_fit_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="3 attention heads do not divide a width of 8"):
        shape(num_heads=3)
    assert shape(num_layers=10_000).num_layers == 10_000
    with pytest.raises(ValueError, match="10001 layers are more than the 10000 allowed"):
        shape(num_layers=10_001)


@pytest.mark.parametrize("name", ["bos_id", "pad_id", "eos_id"])
def test_a_special_id_outside_the_vocabulary_is_refused(name: str) -> None:
    """The last id is inside."""
    assert shape(**{name: 8})
    for id in (9, -1):
        with pytest.raises(ValueError, match="not all in a vocabulary of 9"):
            shape(**{name: id})


def test_weights_are_counted_by_hand() -> None:
    """Width 8, inside 4, 9 tokens, 512 positions and 2 more, one layer."""
    layer = 3 * (8 * 8 + 8) + (8 * 8 + 8) + 2 * 8 + (8 * 4 + 4) + (4 * 8 + 8) + 2 * 8
    assert shape().num_parameters == (9 + 514) * 8 + 8 + 2 * 8 + layer
    assert shape().num_matrix_parameters == 4 * 64 + 2 * 32


def test_the_presets_are_those_that_their_names_say() -> None:
    """Layers, width, heads, and width inside; base and large are RoBERTa's."""
    assert {name: tuple(vars(preset).values()) for name, preset in PRESETS.items()} == {
        "tiny": (4, 256, 4, 1024),
        "mini": (6, 384, 6, 1536),
        "small": (6, 512, 8, 2048),
        "base": (12, 768, 12, 3072),
        "large": (24, 1024, 16, 4096),
    }
