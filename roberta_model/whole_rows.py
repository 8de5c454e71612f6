"""A model as one graph over whole rows: no branch hangs on what the rows hold.

    input_ids_BT, attention_mask_BT ──▶ embeddings ──▶ layers ──▶ head ──▶ logits

It computes what the model itself does, which takes shorter ways where a batch has no padding; a
tracer would take one of these for all batches.

Shape letters: B rows, T tokens in a row.
"""

import torch
from torch import Tensor, nn

from roberta_model.encoder import hiding_bias
from roberta_model.heads import QuestionAnsweringHead, RobertaWithHead

INPUTS = ("input_ids", "attention_mask")


class WholeRows(nn.Module):
    """A model for a tracer.

    forward(input_ids, attention_mask) -> logits, as stock; of start and end apart where the model
    answers questions. Both inputs are int64, BT; padding is where the mask is 0.

    Args:
        model: An encoder with a head, in evaluation mode.
    """

    def __init__(self, model: RobertaWithHead) -> None:
        super().__init__()
        self.model = model
        self.is_of_answers = isinstance(model.head_module, QuestionAnsweringHead)

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the outputs are called, as in stock."""
        return ("start_logits", "end_logits") if self.is_of_answers else ("logits",)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The logits of whole rows."""
        x_BTD: Tensor = self.model.embeddings(input_ids)
        bias = hiding_bias(attention_mask, x_BTD.dtype)
        for layer in self.model.layers:
            x_BTD = layer(x_BTD, bias)
        logits = self.model.head(x_BTD)
        return torch.unbind(logits, dim=-1) if self.is_of_answers else logits
