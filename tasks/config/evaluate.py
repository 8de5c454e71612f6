"""`evaluate:` what the trained encoder is scored on, and what the card says.

The entries of `tasks` are those of a suite too, see `tasks/config/suite.py`; which code scores
each kind stands in `tasks/evaluation/table.py`.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from tasks.config.base import Execution, LocalPath, Section

_TAKEN = ("held_out", "examples", "contamination")
# What lies in the folder of an artifact beside those of its tasks.
_OF_AN_ARTIFACT = ("manifest.json", "units", "report.html")


class HeldOutConfig(Section):
    """Masked loss on documents that were kept out of training, on frozen masks."""

    max_rows: int = Field(2048, ge=1, description="Rows scored at most, spread over the corpus.")
    draws: int = Field(
        0,
        ge=0,
        le=100,
        description="Further draws of masks, as dynamic masking makes them, to be scored beside "
        "the frozen ones; each costs as much again.",
    )


class BlimpConfig(Section):
    """Minimal pairs, scored by pseudo-log-likelihood; a tie counts as wrong."""

    data: Annotated[str, Execution(), LocalPath()] = Field(
        description="Folder of BLiMP-format files, JSON Lines or Parquet, or a dataset of the hub "
        "(hf://datasets/nyu-mll/blimp)."
    )
    max_pairs: int | None = Field(None, ge=1, description="Pairs scored in each file at most.")


class ContaminationConfig(Section):
    """Scores, those of `downstream` too, with and without items that the training text holds."""

    words: int = Field(8, ge=2, le=50, description="Length of the runs of words compared.")
    share: float = Field(
        0.7, gt=0, le=1, description="Share of an item's runs from which on it is contained."
    )


class TaskBase(Section):
    """What every entry of `tasks` has."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=60,
        description="What its scores are called; each once.",
    )

    @field_validator("name")
    @classmethod
    def _free_name(cls, value: str) -> str:
        if value in _TAKEN:
            raise ValueError("this name has a meaning of its own here; choose another")
        return value


class MinimalPairsConfig(TaskBase):
    """Pairs of sentences of which the first is acceptable; a tie counts as wrong."""

    task: Literal["minimal_pairs"] = Field(description="What is asked.")
    data: Annotated[str, Execution(), LocalPath()] = Field(
        description="A file, or a folder of files of one format, plain or compressed; on the hub "
        "hf://datasets/USER/NAME[@COMMIT][/PATH]."
    )
    format: Literal["auto", "jsonl", "parquet", "tsv", "csv", "two_lines"] = Field(
        "auto",
        description="auto: by the names' endings (.jsonl, .parquet, .tsv, .csv; .txt is two_lines: "
        "a good sentence, below it the bad one). Tables in text without a row of names have the "
        "good sentence in the first column and the bad one in the second.",
    )
    good_field: str = Field("sentence_good", min_length=1, description="Key of the good sentence.")
    bad_field: str = Field("sentence_bad", min_length=1, description="Key of the bad sentence.")
    paradigm_field: str = Field(
        "UID", min_length=1, description="Key of the paradigm, where a file holds several."
    )
    group_fields: tuple[str, ...] = Field(
        ("field", "linguistics_term"),
        description="Keys by whose values paradigms are summed up, where the file has them.",
    )
    max_pairs: int | None = Field(None, ge=1, description="Pairs scored in each file at most.")


class ClozeConfig(TaskBase):
    """Sentences with a mask and what belongs there, such as LAMA's facts; a tie counts as wrong."""

    task: Literal["cloze"] = Field(description="What is asked.")
    data: Annotated[str, Execution(), LocalPath()] = Field(
        description="A .jsonl or .parquet file, or a folder of them; also of the hub, as for pairs."
    )
    sentence_fields: tuple[str, ...] = Field(
        ("masked_sentence", "masked_sentences"),
        min_length=1,
        description="Keys of the sentence, of which the first that is there counts; of a list the "
        "first one. The mask is written [MASK] or <mask>.",
    )
    answer_field: str = Field("obj_label", min_length=1, description="Key of what belongs there.")
    relation_fields: tuple[str, ...] = Field(
        ("relation", "pred"),
        description="Keys of the relation, of which the first that is there counts; else it is the "
        "file's name. The answers of a relation are its facts' candidates.",
    )
    max_answer_tokens: int = Field(
        8, ge=1, le=64, description="Longer answers are not asked, and are counted apart."
    )
    max_facts: int | None = Field(None, ge=1, description="Facts asked in each file at most.")


class NeighboursConfig(TaskBase):
    """Words and the tokens whose input embeddings are nearest; for people to look at."""

    task: Literal["neighbours"] = Field(description="What is asked.")
    words: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = Field(
        (), description="The words; unless given the first ten words of the vocabulary."
    )
    top: int = Field(5, ge=1, le=100, description="Neighbours of each.")


TaskConfig = MinimalPairsConfig | ClozeConfig | NeighboursConfig
AnyTask = Annotated[TaskConfig, Field(discriminator="task")]

TASK_TYPES: dict[str, type[TaskBase]] = {
    spelling: model
    for model in get_args(TaskConfig)
    for spelling in get_args(model.model_fields["task"].annotation)
}
"""What `task` stands for."""


def check_names(names: Sequence[str]) -> None:
    """Refuse two tasks of one name, and one whose folder would be that of something else.

    Raises:
        ValueError: names the first.
    """
    known: dict[str, str] = {}
    for name in names:
        if name.lower() in _OF_AN_ARTIFACT:
            raise ValueError(
                f"no task can be called {name}, which in the store is something else; choose "
                "another name"
            )
        if (other := known.setdefault(name.lower(), name)) != name:
            raise ValueError(
                f"two tasks are called {other} and {name}, which are one folder on disks that do "
                "not tell small letters from capitals; give each a name of its own"
            )
        if names.count(name) > 1:
            raise ValueError(f"two tasks are called {name}; give each a name of its own")


class EvaluateConfig(Section):
    """The evaluation tasks; leave one out to skip it."""

    held_out: HeldOutConfig | None = HeldOutConfig()
    blimp: BlimpConfig | None = Field(None, description="Grammatical minimal pairs.")
    examples: list[str] = Field(
        default_factory=list, description="Texts with one <mask>, filled in the report."
    )
    tasks: list[AnyTask] = Field(
        default_factory=list, description="What else is scored, as in a suite."
    )
    contamination: ContaminationConfig | None = ContaminationConfig()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        check_names([task.name for task in self.tasks] + ["blimp"] * (self.blimp is not None))
        return self


class PublishConfig(Section):
    """What the model card says besides figures."""

    licence: str | None = Field(None, description="Licence of the published weights.")
    language: str | None = Field(None, description="Language tag, such as `en`.")
    summary: str | None = Field(None, description="One sentence on what the model is for.")
