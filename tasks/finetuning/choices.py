"""What a fine-tuning takes where its settings leave it open: the paper's values, or a small one's.

Encoders narrower than the paper's base usually have seen less, and learn more of what a task needs
from its labels. Their rates are ten times as high. Where whole rows are classed or rated, the head
learns faster than the rest, the embeddings too where examples are few and a word comes by seldom,
and <s> begins by reading all tokens alike. docs/finetuning.md has the measurements.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from roberta_model.config import fraction
from roberta_model.heads import SequenceClassificationHead
from roberta_model.recipe import FirstAttention
from tasks.config.downstream import SEQUENCE_TASKS, FineTuningConfig
from tasks.errors import UserError
from tasks.finetuning.plan import Choice

PAPER_WIDTH = 768
_PAPER = ((1e-5, 2e-5, 3e-5), (16, 32))
_NARROW = ((1e-4, 2e-4, 4e-4), (32,))

_HEAD_FACTOR = 5.0
_MOST_EMBEDDING_FACTOR = 10.0
_FEW_EXAMPLES = 10_000  # up to here it is that much; of twice as many half of it


class Adapted(NamedTuple):
    """What of a training depends on the encoder and on how much there is to learn from.

    Attributes:
        embedding_learning_rate: Peak rate of the embeddings.
        head_learning_rate: Peak rate of the head's matrices.
        first_attention: What <s> reads in the last layer at the start.
        dropout: Share of values that are dropped.
    """

    embedding_learning_rate: float
    head_learning_rate: float
    first_attention: FirstAttention
    dropout: float


def choices_of(settings: FineTuningConfig, width: int) -> list[Choice]:
    """Every learning rate with every batch size, with the first seed."""
    rates, sizes = _PAPER if width >= PAPER_WIDTH else _NARROW
    return [
        Choice(rate, size, settings.seed)
        for rate in settings.learning_rates or rates
        for size in settings.batch_sizes or sizes
    ]


def adapted_to(
    encoder: Mapping[str, Any], examples: int, settings: FineTuningConfig, choice: Choice
) -> Adapted:
    """What is taken beside a choice, and what is asked for in its place.

    Args:
        encoder: Its `config.json`. One that has learnt under a head for whole rows has an <s>
            that gathers already.
        examples: How many are learnt from.
        settings: The task.
        choice: What is tried.
    """
    embedding_factor = head_factor = 1.0
    attention: FirstAttention = "pretrained"
    if int(encoder["hidden_size"]) < PAPER_WIDTH and settings.task in SEQUENCE_TASKS:
        shared = _MOST_EMBEDDING_FACTOR * min(1.0, _FEW_EXAMPLES / max(1, examples))
        embedding_factor, head_factor = max(1.0, shared), _HEAD_FACTOR
        taught = SequenceClassificationHead.architecture in (encoder.get("architectures") or ())
        attention = "pretrained" if taught else "uniform"
    rate = choice.learning_rate
    return Adapted(
        settings.embedding_learning_rate or _times(rate, embedding_factor),
        settings.head_learning_rate or _times(rate, head_factor),
        settings.first_attention or attention,
        _dropout_of(encoder) if settings.dropout is None else settings.dropout,
    )


def _dropout_of(encoder: Mapping[str, Any]) -> float:
    """What an encoder is used to: one that has never met noise knows little of what it knew in it.

    An encoder of perplexity 9 that was pretrained without dropout has 36 under a tenth of it.

    Raises:
        UserError: It would drop everything.
    """
    share = fraction(encoder, "hidden_dropout_prob", 0.1)
    if share >= 1:
        raise UserError(
            "The encoder's config.json says hidden_dropout_prob: 1, under which nothing is learnt. "
            "Give another with --dropout, or `dropout` in the config."
        )
    return share


def _times(rate: float, factor: float) -> float:
    """A multiple of a rate, as one would write it."""
    return rate if factor == 1 else float(f"{rate * factor:.4g}")
