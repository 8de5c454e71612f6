"""What stands on an encoder: a head, and models made of both.

    input ids ──▶ Encoder ──▶ hidden states BTD ──▶ Head ──▶ logits

A head is a module of its own. It says what Hugging Face calls a model with it, under which name
its parameters stand in such a model and in a folder's weights, and what of the folder's
`config.json` is its. A further one is a class like SequenceClassificationHead and a line in
`architectures.HEADS`; the masked LM's, which shares weights with the encoder, is in `masked_lm`.

Shape letters: B rows, T tokens in a row, D width, C classes.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar, Self, cast, get_args

import torch
from torch import Tensor, nn

from roberta_model.config import ModelConfig, fraction, whole_number
from roberta_model.encoder import Encoder
from roberta_model.noise import Dropout
from roberta_model.recipe import Problem

_MOST_LABELS = 1_000_000


class Head(nn.Module):
    """A head: hidden states in, logits out.

    Attributes:
        architecture: What a `config.json` calls an encoder with this head.
        name: What its parameters' names begin with in a model, before a dot.
        stock_names: Beginnings of its parameters' own names, and what a folder has instead.
        other_names: Further names in folders, by the usual one.
        copies: Weights that a folder may hold as well, by the names of what they must equal.
    """

    architecture: ClassVar[str]
    name: ClassVar[str]
    stock_names: ClassVar[Mapping[str, str]]
    other_names: ClassVar[Mapping[str, str]] = {}
    copies: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def from_huggingface(cls, config: ModelConfig, values: Mapping[str, Any]) -> Self:
        """The head of a `config.json`, its weights yet to be filled.

        Raises:
            ValueError: It differs from what we compute.
        """
        raise NotImplementedError

    def to_huggingface(self) -> dict[str, Any]:
        """What `config.json` says of it, beside the encoder's shape."""
        return {"architectures": [self.architecture]}

    def stock_name(self, name: str) -> str:
        """What a folder calls one of its parameters."""
        for ours, theirs in self.stock_names.items():
            if name.startswith(ours):
                return theirs + name.removeprefix(ours)
        raise AssertionError(f"{self.name}.{name} has no stock name")

    def on_encoder(self, config: ModelConfig) -> "RobertaWithHead":
        """A new encoder with this head on it."""
        return RobertaWithHead(config, self)


class RobertaWithHead(Encoder):
    """An encoder with a head on it.

    It is an encoder itself, so that parameters have one name with any head or none.

    forward(input_ids_BT, attention_mask_BT=None) -> logits, as stock

    Args:
        config: The encoder's shape.
        head: Becomes a part of the model, under its name.
    """

    def __init__(self, config: ModelConfig, head: Head) -> None:
        super().__init__(config)
        self.head_name = head.name
        self.add_module(head.name, head)

    @property
    def head_module(self) -> Head:
        """The head itself."""
        return cast(Head, self.get_submodule(self.head_name))

    def head(self, hidden: Tensor) -> Tensor:
        """The head's logits of hidden states."""
        logits: Tensor = self.head_module(hidden)
        return logits

    def forward(self, input_ids_BT: Tensor, attention_mask_BT: Tensor | None = None) -> Tensor:
        """The logits of whole rows; padding is where the mask is 0."""
        return self.head(self.encode(input_ids_BT, attention_mask_BT=attention_mask_BT))


class SequenceClassificationHead(Head):
    """One of some classes for a whole row, from its <s>: stock's RobertaClassificationHead.

    forward(hidden_BTD) -> logits_BC

    Args:
        config: The encoder's shape.
        labels: The names of the classes, in the order of the logits.
        dropout: Before both products; None is the encoder's.
        problem: What the logits mean: one class of all, any number of them, or values.
    """

    architecture = "RobertaForSequenceClassification"
    name = "classifier"
    stock_names: ClassVar[Mapping[str, str]] = {
        "dense.": "classifier.dense.",
        "out.": "classifier.out_proj.",
    }

    def __init__(
        self,
        config: ModelConfig,
        labels: tuple[str, ...],
        dropout: float | None = None,
        problem: Problem = "single_label_classification",
    ) -> None:
        super().__init__()
        self.labels, self.problem = labels, problem
        self.dense = nn.Linear(config.width, config.width)
        self.out = nn.Linear(config.width, len(labels))
        self.dropout = Dropout(config.dropout if dropout is None else dropout)

    @classmethod
    def from_huggingface(cls, config: ModelConfig, values: Mapping[str, Any]) -> Self:
        """The classes are those of `id2label`; without it there are two, as in stock.

        Raises:
            ValueError: `id2label` does not number the classes from 0 on or has a name twice, or
                `problem_type` is none that we know.
        """
        labels = labels_of(values)
        # Scores are told by name: one of two would be lost.
        if len(set(labels)) < len(labels):
            ((twice, _),) = Counter(labels).most_common(1)
            raise ValueError(
                f"id2label calls several classes {twice!r}, so which one is meant cannot be told. "
                "Give each a name of its own there"
            )
        problem: Any = values.get("problem_type")
        if problem is None:  # as stock decides where labels are given
            problem = "regression" if len(labels) == 1 else "single_label_classification"
        if problem not in get_args(Problem):
            raise ValueError(
                f"problem_type must be one of {', '.join(get_args(Problem))}, not {problem!r}"
            )
        return cls(config, labels, fraction(values, "classifier_dropout", None), problem)

    def to_huggingface(self) -> dict[str, Any]:
        """The names of the classes, what they mean, and the dropout."""
        return {
            **super().to_huggingface(),
            **names_of(self.labels),
            "problem_type": self.problem,
            "classifier_dropout": self.dropout.p,
        }

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """The classes' logits, BC."""
        pooled_BD = torch.tanh(self.dense(self.dropout(hidden_BTD[:, 0])))
        logits_BC: Tensor = self.out(self.dropout(pooled_BD))
        return logits_BC


class TokenClassificationHead(Head):
    """One of some classes for each token, as stock's RobertaForTokenClassification.

    forward(hidden_BTD) -> logits_BTC

    Args:
        config: The encoder's shape.
        labels: The names of the classes, in the order of the logits.
        dropout: Before the product; None is the encoder's.
    """

    architecture = "RobertaForTokenClassification"
    name = "classifier"
    stock_names: ClassVar[Mapping[str, str]] = {"out.": "classifier."}

    def __init__(
        self, config: ModelConfig, labels: tuple[str, ...], dropout: float | None = None
    ) -> None:
        super().__init__()
        self.labels = labels
        self.out = nn.Linear(config.width, len(labels))
        self.dropout = Dropout(config.dropout if dropout is None else dropout)

    @classmethod
    def from_huggingface(cls, config: ModelConfig, values: Mapping[str, Any]) -> Self:
        """The classes are those of `id2label`; without it there are two, as in stock.

        Raises:
            ValueError: `id2label` does not number the classes from 0 on.
        """
        return cls(config, labels_of(values), fraction(values, "classifier_dropout", None))

    def to_huggingface(self) -> dict[str, Any]:
        """The names of the classes, and the dropout."""
        return {
            **super().to_huggingface(),
            **names_of(self.labels),
            "classifier_dropout": self.dropout.p,
        }

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """The classes' logits of each token, BTC."""
        logits_BTC: Tensor = self.out(self.dropout(hidden_BTD))
        return logits_BTC


class QuestionAnsweringHead(Head):
    """Where an answer begins and ends, as stock's RobertaForQuestionAnswering.

    forward(hidden_BTD) -> logits_BT2, of the start and of the end
    """

    architecture = "RobertaForQuestionAnswering"
    name = "qa_outputs"
    stock_names: ClassVar[Mapping[str, str]] = {"out.": "qa_outputs."}

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.out = nn.Linear(config.width, 2)

    @classmethod
    def from_huggingface(cls, config: ModelConfig, values: Mapping[str, Any]) -> Self:
        """There is nothing to choose."""
        return cls(config)

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """The logits of start and end at each token, BT2."""
        logits_BT2: Tensor = self.out(hidden_BTD)
        return logits_BT2


def labels_of(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The classes that a `config.json` names in `id2label`, in order.

    Where it names none they are as many as `num_labels` says, else two, as in stock.

    Raises:
        ValueError: They are not numbered from 0 on, or are so many that it must be a mistake.
    """
    names: Any = values.get("id2label")
    if not names:
        count = whole_number(values, "num_labels", 2)
        if not 0 < count <= _MOST_LABELS:
            raise ValueError(f"num_labels must be from 1 to {_MOST_LABELS:,}, not {count:,}")
        names = {str(number): f"LABEL_{number}" for number in range(count)}
    if not isinstance(names, dict) or set(names) != set(map(str, range(len(names)))):
        raise ValueError(f"id2label must number the classes from 0 on, not {names!r}")
    return tuple(str(names[str(number)]) for number in range(len(names)))


def names_of(labels: tuple[str, ...]) -> dict[str, Any]:
    """Both tables of a `config.json` that name classes."""
    return {
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
    }
