"""Sizes that suit a corpus, a machine and the time there is, by measurement (docs/recipes.md).

The largest model is taken that sees enough tokens in that time for each of its weights, and whose
text is not read too often for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from roberta_model.config import PRESETS, ModelConfig

# Tokens that a model is to see for each of its weights, at least. The quickstart's sees 8.
_TOKENS_A_WEIGHT = 4
_MOST_PASSES = 40  # over the text; masks are drawn anew at each
_BYTES_PER_TOKEN = 4.2
_BYTES_PER_UNSPACED_TOKEN = 3.0
_TRAINING_SHARE = 0.5  # of the speed of matrix products
# MB of text a second from download to packed rows: 155 MB took 212 s on two cores.
_TEXT_MB_A_SECOND = 0.7
_OFFERED = ("tiny", "mini", "small", "base")
_NARROW = {"num_layers": 2, "width": 128, "num_heads": 4, "feedforward_width": 512}
_SHAPES = {"narrow": _NARROW} | {name: vars(PRESETS[name]) for name in _OFFERED}
# Bytes of text from which on a vocabulary of that size pays.
_VOCABULARIES = (
    (0, 4096),
    (10_000_000, 6144),
    (40_000_000, 8192),
    (200_000_000, 16_384),
    (2_000_000_000, 32_768),
    (20_000_000_000, 50_265),
)


@dataclass(frozen=True)
class Sizes:
    """What a config says of sizes, by section, and what it comes to.

    Attributes:
        sections: `tokenizer`, `pack`, `model`, `pretrain` and `engine`, as a config has them.
        parameters: Weights of the model.
        tokens: Tokens of the corpus, about.
        seen: Tokens that the training sees, about.
        minutes: Of training; the rest of the time goes into reading the text.
    """

    sections: Mapping[str, Any]
    parameters: int
    tokens: int
    seen: int
    minutes: float

    def told(self) -> str:
        """It in one line."""
        model = self.sections["model"]
        shape = model.get("preset") or f"{model['num_layers']} layers of {model['width']}"
        return (
            f"a model of {self.parameters / 1e6:,.1f} M weights ({shape}), a vocabulary of "
            f"{self.sections['tokenizer']['vocab_size']:,}, {self.minutes:g} minutes of training"
        )


def suitable_sizes(
    text_bytes: int, minutes: float, flops: float, *, is_gpu: bool, is_unspaced: bool, cores: int
) -> Sizes:
    """The sizes for a corpus.

    Args:
        text_bytes: Of the whole corpus.
        minutes: From the beginning of the run to its end.
        flops: Floating-point operations a second that this machine's matrix products reach.
        is_gpu: Whether that is a GPU's.
        is_unspaced: Whether the text is in scripts without spaces between words.
        cores: Of the machine.
    """
    per_token = _BYTES_PER_UNSPACED_TOKEN if is_unspaced else _BYTES_PER_TOKEN
    tokens = max(1, int(text_bytes / per_token))
    reading = text_bytes / 1e6 / _TEXT_MB_A_SECOND / 60
    train_minutes = max(minutes / 2, minutes - reading)
    seconds = 60 * train_minutes
    name, parameters, vocab_size = "narrow", 0, 0
    for candidate, shape in _SHAPES.items():
        size = _vocabulary(text_bytes, candidate, is_unspaced)
        weights = ModelConfig(size, **shape).num_parameters
        seen = min(_seen(weights, seconds, flops), _MOST_PASSES * tokens)
        if candidate == "narrow" or seen >= _TOKENS_A_WEIGHT * weights:
            name, parameters, vocab_size = candidate, weights, size
    seen = _seen(parameters, seconds, flops)
    if seen > _MOST_PASSES * tokens:
        train_minutes = max(0.5, train_minutes * _MOST_PASSES * tokens / seen)
        seen = _MOST_PASSES * tokens
    row_tokens = 512 if name == "base" else 256 if name == "small" else 128
    train_minutes = max(0.1, round(train_minutes, 1 if train_minutes < 10 else None))
    sections: dict[str, Any] = {
        "tokenizer": {"vocab_size": vocab_size},
        "pack": {"row_tokens": row_tokens},
        "model": _NARROW | {"initializer_range": 0.05} if name == "narrow" else {"preset": name},
        "pretrain": {
            "batch_rows": _batch_rows(name, is_gpu),
            "minutes": train_minutes,
            **_recipe(name),
        },
    }
    if name == "base":
        sections["model"]["start"] = "plain"
    if not is_gpu and cores > 1:
        sections["engine"] = {"launch": {"processes": 2}}
    return Sizes(sections, parameters, tokens, int(seen), train_minutes)


def _vocabulary(text_bytes: int, name: str, is_unspaced: bool) -> int:
    """By the text, and no larger than a narrow model can afford to guess among."""
    if is_unspaced:
        return max(16_384, _by_text(text_bytes))
    return min(_by_text(text_bytes), {"narrow": 8192, "tiny": 16_384}.get(name, 50_265))


def _by_text(text_bytes: int) -> int:
    return max(size for least, size in _VOCABULARIES if text_bytes >= least)


def _seen(parameters: int, seconds: float, flops: float) -> float:
    """Tokens that a training sees: six operations for each weight of each of them."""
    return seconds * flops * _TRAINING_SHARE / (6 * parameters)


def _batch_rows(name: str, is_gpu: bool) -> int:
    if name == "base":
        return 256
    return 128 if is_gpu else 64


def _recipe(name: str) -> dict[str, Any]:
    if name == "base":
        return {"optimizer": {"learning_rate": 7.0e-4}, "schedule": {"warmup_share": 0.06}}
    rate = 5.0e-3 if name == "narrow" else 3.0e-3
    optimizer = {"kind": "muon", "learning_rate": rate, "matrix_learning_rate": 0.02}
    return {"optimizer": optimizer, "masking": {"rate": 0.3, "rate_end": 0.15}}
