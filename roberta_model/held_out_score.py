"""What a held-out score is made of: sums over the asked positions, by what stood there.

Of the tokens that masking chooses, most are hidden by <mask>, some are replaced by another token
and some are left as they are. The last kind is easy: the answer stands in the input. So each
kind is summed up on its own, beside a baseline that knows nothing but how often each token
stands in the training rows.

Shapes: N positions, V vocabulary, 3 kinds.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from roberta_model.data.masking import MaskingTables

if TYPE_CHECKING:  # who only adds sums up needs no PyTorch
    from torch import Tensor

_LEAST_COUNT = 0.5  # of a token that training never saw: else one such target costs infinity


@dataclass(frozen=True)
class MaskedScore:
    """Sums over masked tokens of held-out rows, and what follows from them.

    Attributes:
        loss_sum: Summed cross-entropy in nats.
        num_masked: How many tokens were asked for.
        num_correct: Of those, how often the right token alone had the largest logit.
    """

    loss_sum: float
    num_masked: int
    num_correct: int

    def __add__(self, other: "MaskedScore") -> "MaskedScore":
        return MaskedScore(
            self.loss_sum + other.loss_sum,
            self.num_masked + other.num_masked,
            self.num_correct + other.num_correct,
        )

    @property
    def loss(self) -> float:
        """Mean cross-entropy of a masked token, in nats."""
        return self.loss_sum / self.num_masked if self.num_masked else math.nan

    @property
    def perplexity(self) -> float:
        """The exponential of the loss."""
        return math.exp(min(self.loss, 700.0)) if self.num_masked else math.nan

    @property
    def accuracy(self) -> float:
        """Share of the masked tokens guessed right; a tie for the largest logit is wrong."""
        return self.num_correct / self.num_masked if self.num_masked else math.nan


NOTHING = MaskedScore(0.0, 0, 0)


@dataclass(frozen=True)
class ScoreByKind:
    """A score by what stands in the input at the position.

    Attributes:
        mask: <mask>.
        random: Another token than the one asked for.
        kept: The very token that is asked for.
    """

    mask: MaskedScore = NOTHING
    random: MaskedScore = NOTHING
    kept: MaskedScore = NOTHING

    @classmethod
    def of(cls, is_kind_N3: "Tensor", losses_N: "Tensor", is_right_N: "Tensor") -> Self:
        """Sum up the losses (float64) and right answers of the positions of each kind."""
        losses_3 = losses_N[:, None].where(is_kind_N3, 0.0).sum(dim=0).tolist()
        right_3 = (is_kind_N3 & is_right_N[:, None]).sum(dim=0).tolist()
        sums = zip(losses_3, is_kind_N3.sum(dim=0).tolist(), right_3, strict=True)
        return cls(*(MaskedScore(*figures) for figures in sums))

    def __add__(self, other: "ScoreByKind") -> "ScoreByKind":
        return ScoreByKind(
            self.mask + other.mask, self.random + other.random, self.kept + other.kept
        )

    @property
    def total(self) -> MaskedScore:
        """All kinds together."""
        return self.mask + self.random + self.kept


@dataclass(frozen=True)
class HeldOutScore:
    """A model's score, and the unigram baseline's on the same positions.

    Attributes:
        model: The model's.
        unigram: The baseline's; it has no positions where no counts were given.
    """

    model: ScoreByKind = ScoreByKind()
    unigram: ScoreByKind = ScoreByKind()

    def __add__(self, other: "HeldOutScore") -> "HeldOutScore":
        return HeldOutScore(self.model + other.model, self.unigram + other.unigram)

    def to_json(self) -> dict[str, Any]:
        """The sums, as plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Self:
        """Read what to_json gave."""
        parts = {
            name: ScoreByKind(**{kind: MaskedScore(**sums) for kind, sums in kinds.items()})
            for name, kinds in values.items()
        }
        return cls(**parts)


def kinds_of(seen_N: "Tensor", targets_N: "Tensor", mask_id: int) -> "Tensor":
    """Which kind each position is of, bool [N, 3]: <mask>, another token, the token itself."""
    import torch

    is_mask_N, is_kept_N = seen_N == mask_id, seen_N == targets_N
    return torch.stack([is_mask_N, ~is_mask_N & ~is_kept_N, is_kept_N], dim=1)


class Unigram:
    """The guess of one who knows only how often each token stands in the training rows.

    A token's probability is max(its count, 1/2) over the sum of these; special tokens are never
    predicted. The guess is the most frequent token. As with a model's logits, a tie for the first
    place is wrong: then there is no guess.

    Args:
        counts_V: How often each id stands in the training rows.
        tables: What masking knows of the vocabulary: which ids are special.

    Raises:
        ValueError: The counts are of another vocabulary.
    """

    def __init__(self, counts_V: NDArray[np.int64], tables: MaskingTables) -> None:
        import torch

        if len(counts_V) != tables.vocab_size:
            raise ValueError(
                f"token counts of {len(counts_V)} ids, but the vocabulary has {tables.vocab_size}"
            )
        ordinary = tables.drawable_ids
        weights = np.maximum(counts_V[ordinary], _LEAST_COUNT)
        losses_V = np.full(len(counts_V), np.inf)
        losses_V[ordinary] = math.log(weights.sum()) - np.log(weights)
        best = ordinary[weights == weights.max()]
        self.losses_V = torch.from_numpy(losses_V)
        self.guess = int(best[0]) if len(best) == 1 else None

    def score(self, is_kind_N3: "Tensor", targets_N: "Tensor") -> ScoreByKind:
        """Score the guess at some positions."""
        losses_N = self.losses_V.to(targets_N.device)[targets_N]
        guess = -1 if self.guess is None else self.guess  # no token has this id
        is_right_N = targets_N == guess
        return ScoreByKind.of(is_kind_N3, losses_N, is_right_N)
