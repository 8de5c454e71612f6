"""`downstream:` what the encoder is fine-tuned for, and how."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from roberta_model.recipe import FirstAttention, TaskName
from tasks.config.base import Execution, LocalPath, Section

Metric = Literal["accuracy", "f1", "macro_f1", "mcc", "pearson", "spearman", "mse", "exact_match"]

SEQUENCE_TASKS: tuple[TaskName, ...] = ("classify", "pair", "regress")
"""Those whose answer is read from <s>."""

_OF_CLASSES: tuple[Metric, ...] = ("accuracy", "f1", "macro_f1", "mcc")
_METRICS: Mapping[TaskName, tuple[Metric, ...]] = {
    "classify": _OF_CLASSES,
    "pair": _OF_CLASSES,
    "regress": ("spearman", "pearson", "mse"),
    "tag": ("accuracy", "f1"),
    "qa": ("f1", "exact_match"),
}
"""Those that the answers of a task can be scored by; which of them, its labels say."""


class ColumnsConfig(Section):
    """The columns of the data; what is left out is guessed from their names, and said."""

    text: str | None = Field(None, description="The text; in question answering the question.")
    second: str | None = Field(
        None, description="The second text of a pair; in question answering the context."
    )
    label: str | None = Field(
        None, description="What is to be learnt: a class, a list of classes, a number, or answers."
    )


class FineTuningConfig(Section):
    """One fine-tuning: what to learn from which files, and the trainings that are tried.

    Every learning rate is tried with every batch size; the best on `dev` is kept, and trained
    with as many seeds as `seeds` says.
    """

    name: str = Field(
        "finetuned",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=60,
        description="What its folder and its scores are called.",
    )
    task: TaskName = Field(
        description="classify a text, classify or rate a pair of texts, regress (rate a text with "
        "a number), tag each word, or qa (find the answer in a context)."
    )
    train: Annotated[str, Execution(), LocalPath()] = Field(
        description="Labelled data to learn from: csv, tsv, jsonl, json, parquet, arrow or SQuAD; "
        "a file of the hub as hf://datasets/USER/NAME[@COMMIT]/PATH. So dev, test and predict."
    )
    dev: Annotated[str, Execution(), LocalPath()] = Field(
        description="Labelled data that choose the epoch, the learning rate and the seed."
    )
    test: Annotated[str | None, Execution(), LocalPath()] = Field(
        None, description="Labelled data that choose nothing: scored once, with the model chosen."
    )
    after: str | None = Field(
        None,
        description="Begin with what the task of this name, which stands before this one, has made "
        "of the encoder: with MNLI's for MRPC and RTE, as in the paper.",
    )
    format: Literal["auto", "jsonl", "json", "csv", "tsv", "tsv_unquoted", "parquet", "arrow"] = (
        Field("auto", description="How these files are read; auto goes by their endings.")
    )
    columns: ColumnsConfig = ColumnsConfig()
    separator: str | None = Field(
        None,
        min_length=1,
        description="What parts several classes in one cell, such as `|`; lists need none.",
    )
    metric: Metric | None = Field(
        None,
        description="What decides. Default: accuracy; mcc or macro_f1 are for skewed classes; f1 "
        "with several classes a text, tags and answers; spearman for numbers.",
    )
    epochs: int = Field(10, ge=1, le=1000, description="Times through the data at most.")
    patience: int = Field(
        3, ge=1, description="End a training after so many epochs without a better score on dev."
    )
    learning_rates: tuple[float, ...] | None = Field(
        None,
        min_length=1,
        description="Peak rates that are tried. Default: the paper's 1e-5, 2e-5 and 3e-5; for "
        "encoders narrower than 768 1e-4, 2e-4 and 4e-4.",
    )
    embedding_learning_rate: float | None = Field(
        None,
        gt=0,
        description="Peak rate of the embeddings. Default: that of the rest; in classify, pair "
        "and regress, for encoders narrower than 768, ten times that, and beyond 10,000 examples "
        "as much less as there are more.",
    )
    head_learning_rate: float | None = Field(
        None,
        gt=0,
        description="Peak rate of the head's matrices. Default: that of the rest; in classify, "
        "pair and regress, for encoders narrower than 768, five times that.",
    )
    first_attention: FirstAttention | None = Field(
        None,
        description="What `<s>` reads in the last layer as a training for classify, pair or "
        "regress begins: what it has learnt to read, or all tokens alike. Default: uniform for "
        "encoders narrower than 768 that were not fine-tuned for these before.",
    )
    batch_sizes: tuple[int, ...] | None = Field(
        None,
        min_length=1,
        description="Examples of a step that are tried. Default: the paper's 16 and 32; for "
        "encoders narrower than 768 32.",
    )
    seeds: int = Field(1, ge=1, le=100, description="Seeds that the best choice is trained with.")
    seed: int = Field(0, ge=0, description="The first of them.")
    balance: bool = Field(
        False, description="Weigh each class in the loss so that all count alike."
    )
    max_tokens: int = Field(
        512, ge=8, description="Longer texts are cut, contexts read in windows of this many tokens."
    )
    stride: int = Field(
        128, ge=1, description="Tokens that neighbouring windows of a context share."
    )
    dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="While fine-tuning. Default: what the encoder's `config.json` says (its "
        "`hidden_dropout_prob`), which `publish` sets to what it was pretrained with.",
    )
    weight_decay: float = Field(0.1, ge=0, description="As in the paper.")
    warmup_share: float = Field(0.06, ge=0, lt=1, description="As in the paper.")
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto",
        description="auto: bf16 where the processor has it, else fp32.",
    )
    predict: Annotated[tuple[str, ...], Execution(), LocalPath()] = Field(
        (), description="Files without labels for which the finished model's answers are written."
    )

    @field_validator("metric")
    @classmethod
    def _of_the_task(cls, metric: Metric | None, info: ValidationInfo) -> Metric | None:
        task: TaskName | None = info.data.get("task")
        if metric is not None and task is not None and metric not in _METRICS[task]:
            raise ValueError(f"{task} is scored by {', '.join(_METRICS[task])}")
        return metric

    @field_validator("first_attention")
    @classmethod
    def _where_a_row_is_read(
        cls, attention: FirstAttention | None, info: ValidationInfo
    ) -> FirstAttention | None:
        task: TaskName | None = info.data.get("task")
        if attention == "uniform" and task is not None and task not in SEQUENCE_TASKS:
            raise ValueError(f"{task} is answered at each token, not at <s>: pretrained alone fits")
        return attention

    @field_validator("learning_rates", "batch_sizes")
    @classmethod
    def _sensible(cls, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if values is not None and any(value <= 0 for value in values):
            raise ValueError("each must be above 0")
        if values is not None and len(set(values)) < len(values):
            raise ValueError("one stands there twice")
        return values
