"""What one may choose of a training: every default and every range, in this one place.

The training reads these classes; the pipeline's config takes its defaults and ranges from them.
Nothing heavy is imported, so that a command line that only reads a config answers at once.

Each class says by `identity` which of its values decide the weights: a default that is written
down, or a number that the chosen kind never reads, changes nothing.
"""

import operator
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Literal, get_args

OptimizerKind = Literal[
    "adam",
    "muon",
]
ScheduleType = Literal["linear", "constant", "wsd"]
Candidates = Literal["vocabulary", "batch"]
Precision = Literal["auto", "bf16", "fp32"]
StartKind = Literal["plain", "local"]
TaskName = Literal["classify", "pair", "regress", "tag", "qa"]
HeadName = Literal["sequence", "tokens", "span"]
FirstAttention = Literal["pretrained", "uniform"]
Problem = Literal["single_label_classification", "multi_label_classification", "regression"]

MUON_LEARNING_RATE = 0.01

_COMPARE: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "gt": ("above", operator.gt),
    "ge": ("at least", operator.ge),
    "lt": ("below", operator.lt),
    "le": ("at most", operator.le),
}


def chosen(default: Any = MISSING, **bounds: float) -> Any:
    """A dataclass field with a range: gt, ge, lt and le, in pydantic's words."""
    assert set(bounds) <= set(_COMPARE)
    return field(default=default, metadata=bounds)


def check_ranges(recipe: Any, what: str) -> None:
    """Hold every number of a dataclass against its field's range; None is always allowed.

    Raises:
        ValueError: One is outside; the message names it as `what name`.
    """
    for known in fields(recipe):
        value = getattr(recipe, known.name)
        for bound, limit in known.metadata.items():
            word, holds = _COMPARE[bound]
            if value is not None and not holds(value, limit):
                name = f"{what} {known.name}"
                raise ValueError(f"{name} must be {word} {limit}, not {value}")


def check_choice(value: str, choices: Any, what: str) -> None:
    """Hold a word against the words of a Literal type.

    Raises:
        ValueError: It is none of them.
    """
    if value not in get_args(choices):
        raise ValueError(f"{what} is {' or '.join(get_args(choices))}, not {value!r}")


@dataclass(frozen=True)
class MaskingRecipe:
    """How much is hidden, and how.

    Attributes:
        rate: Share of the maskable tokens that is chosen.
        rate_end: The share at the last step; in between it moves on a straight line.
            None keeps `rate` throughout.
        whole_word: Choose words with all their tokens instead of single tokens.
        mask_share: Share of the chosen that becomes <mask>.
        random_share: Share of the chosen that becomes a random token; the rest stays.
        max_word_tokens: Longer words (long compounds, rare scripts) count as several of this size.
    """

    rate: float = chosen(0.15, gt=0, le=1)
    rate_end: float | None = chosen(None, gt=0, le=1)
    whole_word: bool = False
    mask_share: float = chosen(0.8, ge=0, le=1)
    random_share: float = chosen(0.1, ge=0, le=1)
    max_word_tokens: int = chosen(8, ge=1)

    def __post_init__(self) -> None:
        check_ranges(self, "masking")
        if self.mask_share + self.random_share > 1:
            raise ValueError(
                f"mask_share and random_share must sum to at most 1, not {self.mask_share} and "
                f"{self.random_share}"
            )

    def rate_at(self, step: int, total_steps: int) -> float:
        """Return the rate of a step in [0, total_steps): a function of nothing else."""
        if self.rate_end is None:
            return self.rate
        done = min(max(step, 0) / max(total_steps - 1, 1), 1.0)
        return self.rate + (self.rate_end - self.rate) * done

    @property
    def mean_rate(self) -> float:
        """The mean of `rate_at` over a training, whatever its length."""
        return self.rate if self.rate_end is None else (self.rate + self.rate_end) / 2

    def identity(self) -> dict[str, Any]:
        """What decides the masks; a rate that does not move has no end."""
        end = None if self.rate_end == self.rate else self.rate_end
        return {**asdict(self), "rate_end": end}


@dataclass(frozen=True)
class OptimizerRecipe:
    """Adam with decoupled weight decay, the paper's values by default; Muon for the matrices.

    Attributes:
        kind: What updates the matrices of the layers.
        learning_rate: Peak rate of everything that has none of its own.
        embedding_learning_rate: Peak rate of the embeddings.
        matrix_learning_rate: Peak rate of the layers' matrices; MUON_LEARNING_RATE with Muon.
        head_learning_rate: Peak rate of the head's matrices.
        embedding_weight_decay: Of the embeddings, where theirs differs.
        momentum: Muon's.
        clip_norm: Largest norm of the whole gradient.
    """

    kind: OptimizerKind = "adam"
    learning_rate: float = chosen(6e-4, gt=0)
    embedding_learning_rate: float | None = chosen(None, gt=0)
    matrix_learning_rate: float | None = chosen(None, gt=0)
    head_learning_rate: float | None = chosen(None, gt=0)
    beta1: float = chosen(0.9, ge=0, lt=1)
    beta2: float = chosen(0.98, ge=0, lt=1)
    epsilon: float = chosen(1e-6, gt=0)
    momentum: float = chosen(0.95, ge=0, lt=1)
    weight_decay: float = chosen(0.01, ge=0)
    embedding_weight_decay: float | None = chosen(None, ge=0)
    clip_norm: float | None = chosen(None, gt=0)

    def __post_init__(self) -> None:
        check_choice(self.kind, OptimizerKind, "an optimizer")
        check_ranges(self, "optimizer")

    def rate_of(self, group: str) -> float:
        """The peak learning rate of a group of parameters."""
        own = {
            "embeddings": self.embedding_learning_rate,
            "matrices": self.matrix_learning_rate,
            "head": self.head_learning_rate,
        }
        if (rate := own.get(group)) is not None:
            return rate
        is_muon = self.kind == "muon" and group == "matrices"
        return MUON_LEARNING_RATE if is_muon else self.learning_rate

    def decay_of(self, group: str) -> float:
        """The weight decay of a group: biases and LayerNorms have none."""
        if group == "embeddings" and self.embedding_weight_decay is not None:
            return self.embedding_weight_decay
        return 0.0 if group == "vectors" else self.weight_decay

    def identity(self) -> dict[str, Any]:
        """What decides the updates: every rate resolved, the momentum only where it is read.

        What came later and is as it was before is left out: trainings keep their keys.
        """
        known = asdict(self)
        known["embedding_learning_rate"] = self.rate_of("embeddings")
        known["matrix_learning_rate"] = self.rate_of("matrices")
        if self.rate_of("head") == self.learning_rate:
            del known["head_learning_rate"]
        if self.decay_of("embeddings") == self.weight_decay:
            del known["embedding_weight_decay"]
        if self.kind != "muon":
            del known["momentum"]
        return known


@dataclass(frozen=True)
class Schedule:
    """Warm-up, then linear decay, a constant, or a constant with a decay at the end (wsd).

    Attributes:
        type: What follows the warm-up.
        warmup_share: Share of all steps over which the rate rises from 0 to its peak.
        decay_share: For wsd, share of all steps over which it falls to 0 at the end.
    """

    type: ScheduleType = "linear"
    warmup_share: float = chosen(0.06, ge=0, lt=1)
    decay_share: float = chosen(0.2, gt=0, le=1)

    def __post_init__(self) -> None:
        check_choice(self.type, ScheduleType, "a schedule")
        check_ranges(self, "schedule")

    def factor(self, step: int, total_steps: int) -> float:
        """The share of the peak rate at a step in [0, total_steps).

        A pure function, so a resumed run needs no scheduler state.
        """
        warmup = max(1, round(self.warmup_share * total_steps))
        if step < warmup:
            return (step + 1) / warmup
        if self.type == "constant":
            return 1.0
        decay = total_steps - warmup
        if self.type == "wsd":
            decay = max(1, round(self.decay_share * total_steps))
        return min(1.0, max(0.0, (total_steps - step) / max(1, decay)))

    def identity(self) -> dict[str, Any]:
        """What decides the rates; only wsd reads the share of its decay."""
        known = asdict(self)
        if self.type != "wsd":
            del known["decay_share"]
        return known


@dataclass(frozen=True)
class StartRecipe:
    """Where the first weights come from.

    Attributes:
        kind: plain draws everything; local adds heads that look next door.
        token_counts: .npy, int64 [V], how often each token is among the training rows: the
            decoder's bias starts as their log frequency. None: it starts at zero.
        token_vectors: .npy, float32 [V, n], rows of unit variance, zero where nothing is known:
            the first n dimensions of the word embeddings, see token_vectors. None: drawn.
    """

    kind: StartKind = "plain"
    token_counts: str | None = None
    token_vectors: str | None = None

    def __post_init__(self) -> None:
        check_choice(self.kind, StartKind, "a start")
