"""What a fine-tuning takes where its settings leave it open: the paper's values, or a small one's.

Encoders narrower than the paper's base have seen less, and learn more of what a task needs from
its labels. Theirs are rates ten times as high, higher ones still where single words are learnt and
where nothing is yet, and <s> that begins as the mean of all tokens (docs/finetuning.md has the
measurements).
"""

from typing import Any, NamedTuple

from roberta_model.recipe import Pooling
from tasks.config.downstream import FineTuningConfig
from tasks.finetuning.plan import Choice

PAPER_WIDTH = 768


class Usual(NamedTuple):
    """What is taken where nothing is asked for.

    Attributes:
        learning_rates: That are tried.
        batch_sizes: That are tried with each.
        embedding_learning_rate: The least for the embeddings.
        head_learning_rate: The least for the head.
        pooling: What <s> reads at the start.
    """

    learning_rates: tuple[float, ...]
    batch_sizes: tuple[int, ...]
    embedding_learning_rate: float
    head_learning_rate: float
    pooling: Pooling


PAPER = Usual((1e-5, 2e-5, 3e-5), (16, 32), 0.0, 0.0, "first")
NARROW = Usual((1e-4, 2e-4, 4e-4), (32,), 2e-3, 1e-3, "mean")


def usual_of(width: int) -> Usual:
    """What suits an encoder of this width."""
    return PAPER if width >= PAPER_WIDTH else NARROW


def choices_of(settings: FineTuningConfig, width: int) -> list[Choice]:
    """Every learning rate with every batch size, with the first seed."""
    usual = usual_of(width)
    return [
        Choice(rate, size, settings.seed)
        for rate in settings.learning_rates or usual.learning_rates
        for size in settings.batch_sizes or usual.batch_sizes
    ]


def recipe_of(settings: FineTuningConfig, choice: Choice, width: int) -> dict[str, Any]:
    """What of a training's spec depends on the encoder's width: its rates and its start."""
    usual, rate = usual_of(width), choice.learning_rate
    embedding_rate = settings.embedding_learning_rate or max(rate, usual.embedding_learning_rate)
    head_rate = settings.head_learning_rate or max(rate, usual.head_learning_rate)
    is_sequence = settings.task in ("classify", "pair", "regress")
    return {
        "optimizer": {
            "learning_rate": rate,
            "embedding_learning_rate": embedding_rate,
            "head_learning_rate": head_rate,
            "weight_decay": settings.weight_decay,
        },
        "pooling": (settings.pooling or usual.pooling) if is_sequence else "first",
    }
