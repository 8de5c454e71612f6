"""`pretrain:` the recipe. Defaults follow RoBERTa (arXiv 1907.11692) where size allows."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.config.base import Execution, Section


class MaskingConfig(Section):
    """Which tokens are hidden; fresh on each visit of a row, the same after any restart."""

    rate: float = Field(0.15, gt=0, lt=1, description="Share of tokens to predict.")
    rate_end: float | None = Field(
        None, gt=0, lt=1, description="Rate at the last step; the rate changes linearly."
    )
    whole_word: bool = Field(False, description="Hide all pieces of a word together.")
    mask_share: float = Field(0.8, ge=0, le=1, description="Of the chosen: become <mask>.")
    random_share: float = Field(0.1, ge=0, le=1, description="Of the chosen: become another token.")

    @model_validator(mode="after")
    def _shares_fit(self) -> "MaskingConfig":
        if self.mask_share + self.random_share > 1:
            raise ValueError("mask_share and random_share add up to more than 1")
        return self


class OptimizerConfig(Section):
    """Adam with decoupled weight decay; for the layers' matrices, Muon if asked for."""

    kind: Literal["adam", "muon"] = Field(
        "adam",
        description="What updates the matrices of the layers; Adam updates all the rest.",
    )
    learning_rate: float = Field(
        6e-4, gt=0, description="Peak learning rate of all that has none of its own."
    )
    embedding_learning_rate: float | None = Field(
        None, gt=0, description="Peak rate of the embeddings. Default: learning_rate."
    )
    matrix_learning_rate: float | None = Field(
        None,
        gt=0,
        description="Peak rate of the layers' matrices. Default: learning_rate; with muon 0.01.",
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="Decay of Adam's first moment.")
    beta2: float = Field(0.98, ge=0, lt=1, description="Decay of Adam's second moment.")
    epsilon: float = Field(1e-6, gt=0, description="Adam's epsilon.")
    momentum: float = Field(0.95, ge=0, lt=1, description="Decay of Muon's mean gradient.")
    weight_decay: float = Field(0.01, ge=0, description="Not on biases and LayerNorm.")
    clip_norm: float | None = Field(None, gt=0, description="Largest gradient norm; null: off.")


class ScheduleConfig(Section):
    """The learning rate over the steps."""

    type: Literal["linear", "constant", "wsd"] = Field(
        "linear", description="After warm-up: linear decay, constant, or constant then decay."
    )
    warmup_share: float = Field(0.06, ge=0, lt=1, description="Share of steps to warm up.")
    decay_share: float = Field(0.2, gt=0, le=1, description="Share of steps to decay (wsd).")


class LossConfig(Section):
    """The masked-LM loss."""

    candidates: Literal["vocabulary", "batch"] = Field(
        "vocabulary",
        description="Softmax over all tokens, or over the targets in the batch.",
    )


class PretrainConfig(Section):
    """How the encoder is trained. Give one of `steps`, `epochs` and `minutes`."""

    batch_rows: int = Field(256, ge=1, description="Rows in a step, over all processes.")
    steps: int | None = Field(None, ge=1, description="Optimiser steps.")
    epochs: float | None = Field(None, gt=0, description="Passes over the rows.")
    minutes: float | None = Field(
        None, gt=0, description="Time to train, measured once and turned into steps."
    )
    seed: int = Field(0, ge=0, description="Of weights, row order and masks.")
    masking: MaskingConfig = MaskingConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    loss: LossConfig = LossConfig()
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="auto: bf16 where the processor has it, else fp32."
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="The paper has 0.1. Its noise differs with processes and micro-batches.",
    )
    checkpoint_steps: Annotated[int, Execution()] = Field(
        500, ge=1, description="Steps between checkpoints."
    )
    micro_batch_rows: Annotated[int | None, Execution()] = Field(
        None, ge=1, description="Rows in one forward pass; default: by memory."
    )

    @model_validator(mode="after")
    def _one_length(self) -> "PretrainConfig":
        given = [n for n in ("steps", "epochs", "minutes") if getattr(self, n) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given; keep one of them")
        return self

    def num_steps(self, num_rows: int) -> int | None:
        """Steps for a corpus of that many rows; None when `minutes` decides."""
        if self.minutes is not None:
            return None
        if self.steps is not None:
            return self.steps
        return max(1, round((self.epochs or 1.0) * num_rows / self.batch_rows))
