"""`pretrain:` the recipe. Defaults follow RoBERTa (arXiv 1907.11692) where size allows.

Defaults and ranges are those of `roberta_model`, where the training checks them too.
"""

from typing import Annotated, Any

from pydantic import Field, model_validator

from roberta_model.recipe import (
    Candidates,
    MaskingRecipe,
    OptimizerKind,
    OptimizerRecipe,
    Precision,
    Schedule,
    ScheduleType,
)
from roberta_model.training.spec import TrainingSpec
from tasks.config.base import Execution, Section
from tasks.config.recipe import recipe_field


class MaskingConfig(Section):
    """Which tokens are hidden; fresh on each visit of a row, the same after any restart."""

    rate: float = recipe_field(MaskingRecipe, "rate", "Share of tokens to predict.")
    rate_end: float | None = recipe_field(
        MaskingRecipe, "rate_end", "Rate at the last step; the rate changes linearly."
    )
    whole_word: bool = recipe_field(
        MaskingRecipe, "whole_word", "Hide all pieces of a word together."
    )
    mask_share: float = recipe_field(MaskingRecipe, "mask_share", "Of the chosen: become <mask>.")
    random_share: float = recipe_field(
        MaskingRecipe, "random_share", "Of the chosen: become another token."
    )

    @model_validator(mode="after")
    def _recipe_accepts(self) -> "MaskingConfig":
        self.recipe()
        return self

    def recipe(self) -> MaskingRecipe:
        """As the training reads it."""
        return MaskingRecipe(**dict(self))

    def identity(self) -> dict[str, Any]:
        """What decides the weights."""
        return self.recipe().identity()


class OptimizerConfig(Section):
    """Adam with decoupled weight decay; for the layers' matrices, Muon if asked for."""

    kind: OptimizerKind = recipe_field(
        OptimizerRecipe,
        "kind",
        "What updates the matrices of the layers; Adam updates all the rest.",
    )
    learning_rate: float = recipe_field(
        OptimizerRecipe, "learning_rate", "Peak learning rate of all that has none of its own."
    )
    embedding_learning_rate: float | None = recipe_field(
        OptimizerRecipe,
        "embedding_learning_rate",
        "Peak rate of the embeddings. Default: learning_rate.",
    )
    matrix_learning_rate: float | None = recipe_field(
        OptimizerRecipe,
        "matrix_learning_rate",
        "Peak rate of the layers' matrices. Default: learning_rate; with muon 0.01.",
    )
    beta1: float = recipe_field(OptimizerRecipe, "beta1", "Decay of Adam's first moment.")
    beta2: float = recipe_field(OptimizerRecipe, "beta2", "Decay of Adam's second moment.")
    epsilon: float = recipe_field(OptimizerRecipe, "epsilon", "Adam's epsilon.")
    momentum: float = recipe_field(OptimizerRecipe, "momentum", "Decay of Muon's mean gradient.")
    weight_decay: float = recipe_field(
        OptimizerRecipe, "weight_decay", "Not on biases and LayerNorm."
    )
    clip_norm: float | None = recipe_field(
        OptimizerRecipe, "clip_norm", "Largest gradient norm; null: off."
    )

    def recipe(self) -> OptimizerRecipe:
        """As the training reads it."""
        return OptimizerRecipe(**dict(self))

    def identity(self) -> dict[str, Any]:
        """What decides the weights: rates resolved, nothing that the kind never reads."""
        return self.recipe().identity()


class ScheduleConfig(Section):
    """The learning rate over the steps."""

    type: ScheduleType = recipe_field(
        Schedule, "type", "After warm-up: linear decay, constant, or constant then decay."
    )
    warmup_share: float = recipe_field(Schedule, "warmup_share", "Share of steps to warm up.")
    decay_share: float = recipe_field(Schedule, "decay_share", "Share of steps to decay (wsd).")

    def recipe(self) -> Schedule:
        """As the training reads it."""
        return Schedule(**dict(self))

    def identity(self) -> dict[str, Any]:
        """What decides the rates."""
        return self.recipe().identity()


class LossConfig(Section):
    """The masked-LM loss."""

    candidates: Candidates = recipe_field(
        TrainingSpec, "candidates", "Softmax over all tokens, or over the targets in the batch."
    )


class PretrainConfig(Section):
    """How the encoder is trained. Give one of `steps`, `epochs` and `minutes`."""

    batch_rows: int = recipe_field(
        TrainingSpec, "batch_rows", "Rows in a step, over all processes."
    )
    steps: int | None = Field(None, ge=1, description="Optimiser steps.")
    epochs: float | None = Field(
        None, gt=0, description="Passes over the rows; 1 where no length is given."
    )
    minutes: float | None = Field(
        None,
        gt=0,
        description="Time to train, start of the processes included; measured once, then a fixed "
        "number of steps.",
    )
    seed: int = recipe_field(TrainingSpec, "seed", "Of weights, row order and masks.")
    masking: MaskingConfig = MaskingConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    loss: LossConfig = LossConfig()
    precision: Precision = recipe_field(
        TrainingSpec,
        "precision",
        "auto: bf16 where the processor has it, else fp32; a training keeps what it began with.",
    )
    dropout: float = recipe_field(
        TrainingSpec,
        "dropout",
        "The paper has 0.1. Its noise differs with processes and micro-batches.",
    )
    checkpoint_steps: Annotated[int, Execution()] = recipe_field(
        TrainingSpec, "checkpoint_steps", "Steps between checkpoints."
    )
    keep_checkpoints: Annotated[int, Execution()] = Field(
        2,
        ge=1,
        description="Newest checkpoints to keep while training. In the end the last two stay.",
    )
    micro_batch_rows: Annotated[int | None, Execution()] = recipe_field(
        TrainingSpec,
        "micro_batch_rows",
        "Rows in one forward pass; default: by memory. With dropout it is part of the key.",
    )

    @model_validator(mode="after")
    def _one_length(self) -> "PretrainConfig":
        given = [n for n in ("steps", "epochs", "minutes") if getattr(self, n) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given; keep one of them")
        return self

    def identity(self) -> dict[str, Any]:
        """What decides the weights: a default that is written down changes nothing."""
        known = super().identity()
        if self.steps is None and self.minutes is None:
            known["epochs"] = self.epochs or 1.0
        if self.dropout > 0:
            # Its noise is drawn for each micro-batch, of so many bits since it is our own.
            known |= {"micro_batch_rows": self.micro_batch_rows, "noise_bits": 16}
        return known

    def num_steps(self, num_rows: int) -> int | None:
        """Steps for a corpus of that many rows; None when `minutes` decides."""
        if self.minutes is not None:
            return None
        if self.steps is not None:
            return self.steps
        return max(1, round((self.epochs or 1.0) * num_rows / self.batch_rows))
