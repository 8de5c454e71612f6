"""What a fine-tuning takes where its settings leave it open: the paper's values, or a small one's.

Encoders narrower than the paper's base usually have seen less, and learn more of what a task needs
from its labels. So their rates are ten times as high, higher still for embeddings, since a word
comes by seldom, and for the head, which begins anew; and <s> begins by reading all tokens alike.
docs/finetuning.md has the measurements.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from roberta_model.heads import SequenceClassificationHead
from roberta_model.recipe import FirstAttention
from tasks.config.downstream import SEQUENCE_TASKS, FineTuningConfig
from tasks.finetuning.plan import Choice

PAPER_WIDTH = 768


class Defaults(NamedTuple):
    """What is taken where nothing is asked for.

    Attributes:
        learning_rates: That are tried.
        batch_sizes: That are tried with each.
        embedding_factor: Times the learning rate, the rate of the embeddings.
        head_factor: The same of the head's matrices.
        first_attention: What <s> reads in the last layer at the start.
    """

    learning_rates: tuple[float, ...]
    batch_sizes: tuple[int, ...]
    embedding_factor: float
    head_factor: float
    first_attention: FirstAttention


PAPER = Defaults((1e-5, 2e-5, 3e-5), (16, 32), 1, 1, "pretrained")
NARROW = Defaults((1e-4, 2e-4, 4e-4), (32,), 10, 5, "uniform")


def defaults_for(width: int) -> Defaults:
    """What suits an encoder of this width."""
    return PAPER if width >= PAPER_WIDTH else NARROW


def choices_of(settings: FineTuningConfig, width: int) -> list[Choice]:
    """Every learning rate with every batch size, with the first seed."""
    usual = defaults_for(width)
    return [
        Choice(rate, size, settings.seed)
        for rate in settings.learning_rates or usual.learning_rates
        for size in settings.batch_sizes or usual.batch_sizes
    ]


def adapted_to(
    encoder: Mapping[str, Any], settings: FineTuningConfig, choice: Choice
) -> dict[str, Any]:
    """What of a choice's training depends on the encoder, given the encoder's `config.json`.

    Returns:
        `embedding_learning_rate`, `head_learning_rate` and `first_attention`. An encoder that
        learnt under a head for whole rows before has an <s> that gathers already.
    """
    usual, rate = defaults_for(int(encoder["hidden_size"])), choice.learning_rate
    attention: FirstAttention = settings.first_attention or usual.first_attention
    architectures = encoder.get("architectures") or ()
    if settings.task not in SEQUENCE_TASKS or (
        SequenceClassificationHead.architecture in architectures
    ):
        attention = "pretrained"
    embedding_rate, head_rate = settings.embedding_learning_rate, settings.head_learning_rate
    return {
        "embedding_learning_rate": embedding_rate or round(rate * usual.embedding_factor, 12),
        "head_learning_rate": head_rate or round(rate * usual.head_factor, 12),
        "first_attention": attention,
    }
