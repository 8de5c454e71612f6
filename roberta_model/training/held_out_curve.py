"""The held-out curve: how well a model does on rows it never learns from, while it is trained.

    length of the training ──▶ at which steps, on how many rows
    held-out rows ──frozen masks──▶ mean loss after each of these steps

Steps and rows follow from the training's length alone, and not from when it was saved or cut off.
Weights are read and nothing is drawn, so a training with the curve ends in the same weights as one
without. The first of several processes measures alone, the others wait for it at their next step.
"""

from collections.abc import Sequence

from torch import nn

from roberta_model.data.masking import MaskingTables
from roberta_model.data.rows import PackedRows
from roberta_model.scoring import masked_loss
from roberta_model.training.compiling import not_compiling

# A row costs a forward pass here and a backward one besides in training, which others may share:
# a third of a hundredth of the time of one process, of two that wait for it twice as much.
_SHARE_OF_ROWS = 0.01
_LEAST_ROWS, _MOST_ROWS, _MOST_STEPS, _FEW_STEPS = 4, 128, 50, 10


def rows_and_steps(steps: int, batch_rows: int, num_rows: int) -> tuple[int, list[int]]:
    """On how many rows the loss is measured, and after which steps; the last one is among them.

    Together they are a hundredth of the rows that are trained on, in long trainings less.

    Args:
        steps: Of the whole training.
        batch_rows: Rows of a step.
        num_rows: How many are held out.

    >>> rows_and_steps(1000, 64, 5000)
    (64, [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000])
    >>> rows_and_steps(14, 16, 500), rows_and_steps(14, 16, 0)
    ((4, [14]), (0, []))
    """
    if not num_rows:
        return 0, []
    affordable = int(steps * batch_rows * _SHARE_OF_ROWS)
    rows = min(num_rows, max(_LEAST_ROWS, min(_MOST_ROWS, affordable // _FEW_STEPS)))
    times = max(1, min(_MOST_STEPS, steps, affordable // rows))
    return rows, [-(-steps * number // times) for number in range(1, times + 1)]


class HeldOutCurve:
    """The held-out loss of one training.

    Args:
        paths: Arrow files of held-out rows.
        tables: What masking knows of the vocabulary.
        steps: Of the whole training.
        batch_rows: Rows of a step.

    Raises:
        ValueError: A file is no packed shard.
    """

    def __init__(
        self, paths: Sequence[str], tables: MaskingTables, steps: int, batch_rows: int
    ) -> None:
        self._rows, self._tables = PackedRows(paths), tables
        self._num_rows, measured = rows_and_steps(steps, batch_rows, self._rows.num_rows)
        self._steps = frozenset(measured)

    def loss(self, step: int, model: nn.Module) -> float | None:
        """The mean loss at a masked token, in nats, after a step (from 1) at which it is measured.

        Masked as every evaluation masks held-out rows, so it is of the tokens that `masked_loss`
        asks for; None at other steps.
        """
        if step not in self._steps:
            return None
        device = next(model.parameters()).device
        with not_compiling(device):
            score = masked_loss(model, self._rows, self._tables, max_rows=self._num_rows)
        return score.model.total.loss if score.model.total.num_masked else None
