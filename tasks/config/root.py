"""The root of the config tree."""

from typing import Annotated

from pydantic import Field, field_validator

from tasks.config.base import Execution, LocalPath, Section
from tasks.config.clean import CleanConfig
from tasks.config.corpus import Source
from tasks.config.downstream import FineTuningConfig
from tasks.config.engine import EngineConfig
from tasks.config.evaluate import EvaluateConfig, PublishConfig
from tasks.config.model import ModelSection
from tasks.config.operations import OperationsConfig
from tasks.config.pack import PackConfig
from tasks.config.pretrain import PretrainConfig
from tasks.config.tokenizer import TokenizerConfig

DEFAULT_STORE = "./artifacts"


class Config(Section):
    """One pipeline: from a list of sources to a published encoder."""

    name: str = Field(
        "roberta",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=100,
        description="Name of the model and of its runs.",
    )
    store: Annotated[str, Execution(), LocalPath()] = Field(
        DEFAULT_STORE, description="Where artifacts live: a folder or any fsspec URL."
    )
    corpus: list[Source] = Field(min_length=1, description="The sources of text.")
    clean: CleanConfig = CleanConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    pack: PackConfig = PackConfig()
    model: ModelSection = ModelSection()
    pretrain: PretrainConfig = PretrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    publish: PublishConfig = PublishConfig()
    downstream: tuple[FineTuningConfig, ...] = Field(
        (), description="What the encoder is fine-tuned for, in the same run."
    )
    engine: Annotated[EngineConfig, Execution()] = EngineConfig()
    operations: Annotated[OperationsConfig, Execution()] = OperationsConfig()

    @field_validator("name")
    @classmethod
    def _no_pointers_name(cls, value: str) -> str:
        """The model of `x.json` would take the place of the pointer to that of `x`."""
        if value.endswith(".json"):
            raise ValueError("a name may not end in .json")
        return value
