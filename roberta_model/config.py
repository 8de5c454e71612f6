"""The encoder's shape, its named presets, and its spelling in a Hugging Face `config.json`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

# Far beyond any that can be trained; a number that is no mistake takes less than forever.
_MOST_LAYERS = 10_000
_MOST = 1 << 40

D = TypeVar("D", float, None)


@dataclass(frozen=True)
class EncoderShape:
    """The sizes a preset names."""

    num_layers: int
    width: int
    num_heads: int
    feedforward_width: int


PRESETS = {
    "tiny": EncoderShape(4, 256, 4, 1024),
    "mini": EncoderShape(6, 384, 6, 1536),
    "small": EncoderShape(6, 512, 8, 2048),
    "base": EncoderShape(12, 768, 12, 3072),
    "large": EncoderShape(24, 1024, 16, 4096),
}


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a RoBERTa encoder, whatever head stands on it.

    Attributes:
        max_row_tokens: Longest input; positions padding_idx + 1 ... padding_idx + this.
        dropout: On embeddings and sub-layer outputs; what a training that is told nothing uses.
        attention_dropout: On attention weights.
        norm_eps: LayerNorm's epsilon.
        initializer_range: Standard deviation of the initial weights.
    """

    vocab_size: int
    num_layers: int
    width: int
    num_heads: int
    feedforward_width: int
    max_row_tokens: int = 512
    dropout: float = 0.1
    attention_dropout: float = 0.1
    norm_eps: float = 1e-5
    initializer_range: float = 0.02
    bos_id: int = 0
    pad_id: int = 1
    eos_id: int = 2

    def __post_init__(self) -> None:
        sizes = ("vocab_size", "num_layers", "width", "num_heads", "feedforward_width")
        for name in (*sizes, "max_row_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, and must be at least 1")
        if self.num_layers > _MOST_LAYERS:
            raise ValueError(f"{self.num_layers} layers are more than the {_MOST_LAYERS} allowed")
        if not all(0 <= id < self.vocab_size for id in (self.bos_id, self.pad_id, self.eos_id)):
            raise ValueError(
                f"the ids of <s>, <pad> and </s> ({self.bos_id}, {self.pad_id}, {self.eos_id}) are "
                f"not all in a vocabulary of {self.vocab_size}"
            )
        if self.width % self.num_heads:
            raise ValueError(
                f"{self.num_heads} attention heads do not divide a width of {self.width}"
            )

    @property
    def num_positions(self) -> int:
        """Rows of the position table, whose positions begin behind the padding's."""
        return self.max_row_tokens + self.pad_id + 1

    @property
    def num_parameters(self) -> int:
        """Weights of the encoder."""
        D, inner = self.width, self.feedforward_width
        # Matrices with their biases; a LayerNorm has 2 D weights.
        layer = 4 * (D * D + D) + (D * inner + inner) + (inner * D + D) + 4 * D
        embeddings = (self.vocab_size + self.num_positions) * D + D + 2 * D
        return embeddings + self.num_layers * layer

    @property
    def num_matrix_parameters(self) -> int:
        """Of them, those in the matrices of the layers, without biases."""
        return self.num_layers * (4 * self.width**2 + 2 * self.width * self.feedforward_width)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON of the fields."""
        return asdict(self)

    def to_huggingface(self) -> dict[str, Any]:
        """What a stock `config.json` says of the encoder."""
        return {
            "model_type": "roberta",
            "vocab_size": self.vocab_size,
            "hidden_size": self.width,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "intermediate_size": self.feedforward_width,
            "max_position_embeddings": self.num_positions,
            "hidden_act": "gelu",
            "hidden_dropout_prob": self.dropout,
            "attention_probs_dropout_prob": self.attention_dropout,
            "layer_norm_eps": self.norm_eps,
            "initializer_range": self.initializer_range,
            "type_vocab_size": 1,
            "position_embedding_type": "absolute",
            "bos_token_id": self.bos_id,
            "pad_token_id": self.pad_id,
            "eos_token_id": self.eos_id,
            "torch_dtype": "float32",
        }

    @classmethod
    def from_huggingface(cls, values: Mapping[str, Any]) -> "ModelConfig":
        """Read a RoBERTa `config.json`.

        Raises:
            ValueError: The model is not a RoBERTa, or differs from one in a way we lack.
        """
        expected = {
            "model_type": "roberta",
            "hidden_act": "gelu",
            "position_embedding_type": "absolute",
            "type_vocab_size": 1,
            "is_decoder": False,
        }
        for name, value in expected.items():
            found = values.get(name, value if name != "model_type" else None)
            if found is not None and found != value or (name == "model_type" and found is None):
                raise ValueError(f"config.json says {name}: {found!r}; only {value!r} is supported")
        pad = whole_number(values, "pad_token_id", 1)
        return cls(
            vocab_size=whole_number(values, "vocab_size"),
            num_layers=whole_number(values, "num_hidden_layers"),
            width=whole_number(values, "hidden_size"),
            num_heads=whole_number(values, "num_attention_heads"),
            feedforward_width=whole_number(values, "intermediate_size"),
            max_row_tokens=whole_number(values, "max_position_embeddings") - pad - 1,
            dropout=fraction(values, "hidden_dropout_prob", 0.1),
            attention_dropout=fraction(values, "attention_probs_dropout_prob", 0.1),
            norm_eps=fraction(values, "layer_norm_eps", 1e-12),
            initializer_range=fraction(values, "initializer_range", 0.02),
            bos_id=whole_number(values, "bos_token_id", 0),
            pad_id=pad,
            eos_id=whole_number(values, "eos_token_id", 2),
        )


def whole_number(values: Mapping[str, Any], name: str, default: int | None = None) -> int:
    """A number of things that a `config.json` says; null is the default, where there is one.

    Raises:
        ValueError: It is no such number, or is missing and has no default.
    """
    found = values.get(name, default)
    found = default if found is None else found
    if found is None:
        raise ValueError(f"config.json lacks {name!r}")
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < _MOST:
        raise ValueError(f"config.json says {name}: {_shown(found)}; a whole number is needed")
    return found


def fraction(values: Mapping[str, Any], name: str, default: D) -> float | D:
    """A number from 0 to 1 that a `config.json` says, or the default.

    Raises:
        ValueError: It is no such number.
    """
    found = values.get(name)
    if found is None:
        return default
    if not isinstance(found, int | float) or isinstance(found, bool) or not 0 <= found <= 1:
        raise ValueError(f"config.json says {name}: {_shown(found)}; it must be from 0 to 1")
    return float(found)


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**30 else "a huge number"
    return text if len(text) <= 60 else f"{text[:57]}..."
