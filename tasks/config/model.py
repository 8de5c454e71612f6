"""`model:` the encoder's shape, by preset, by sizes, or taken from an existing folder."""

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from roberta_model.config import PRESETS, EncoderShape, ModelConfig
from roberta_model.recipe import StartKind
from tasks.config.base import Execution, LocalPath, Section

PresetName = Literal["tiny", "mini", "small", "base", "large"]


class FirstWeights(NamedTuple):
    """How a model's weights begin, see the fields of these names in `ModelSection`."""

    start: StartKind
    embeddings: Literal["svd", "drawn"]
    initializer_range: float


class ModelSection(Section):
    """The encoder. Sizes given here replace the preset's."""

    preset: PresetName = Field("tiny", description="Named sizes; base is the paper's.")
    num_layers: int | None = Field(None, ge=1, description="Encoder layers.")
    width: int | None = Field(None, ge=8, description="Width of the hidden state.")
    num_heads: int | None = Field(None, ge=1, description="Attention heads; divides width.")
    feedforward_width: int | None = Field(None, ge=8, description="Width inside a layer's MLP.")
    max_row_tokens: int | None = Field(
        None, ge=8, description="Longest input, in tokens. Default: pack.row_tokens."
    )
    initializer_range: float | None = Field(
        None,
        gt=0,
        description="Standard deviation of new weights; narrow models learn with more. "
        f"Default: {ModelConfig.initializer_range}.",
    )
    start: StartKind | None = Field(
        None,
        description="First weights. local: heads that look next door, token frequencies in the "
        "bias; plain: all drawn at random, as in the paper. Default: local.",
    )
    embeddings: Literal["svd", "drawn"] | None = Field(
        None,
        description="First word embeddings. svd: from counts of neighbouring tokens; drawn: at "
        "random. Default: svd with a local start, drawn with a plain one.",
    )
    source_folder: Annotated[str | None, Execution(), LocalPath()] = Field(
        None,
        alias="from",
        description="Continue from this Hugging Face RoBERTa folder; its sizes are used. Its "
        "files are part of the key, its path is not.",
    )

    @model_validator(mode="after")
    def _sizes_or_folder(self) -> "ModelSection":
        sizes = (self.num_layers, self.width, self.num_heads, self.feedforward_width)
        given = any(size is not None for size in (*sizes, self.max_row_tokens))
        if self.source_folder is not None and given:
            raise ValueError("`from` brings its own sizes; leave out the others")
        for name in ("start", "embeddings", "initializer_range"):
            if self.source_folder is not None and getattr(self, name) is not None:
                raise ValueError(f"`from` brings its own weights; leave out {name}")
        return self

    @property
    def first_weights(self) -> FirstWeights:
        """How the weights begin, with every default decided."""
        start = self.start or "local"
        embeddings = self.embeddings or ("svd" if start == "local" else "drawn")
        deviation = self.initializer_range or ModelConfig.initializer_range
        return FirstWeights(start, embeddings, deviation)

    @property
    def shape(self) -> EncoderShape:
        """The sizes of the layers, with those of the preset where none are given."""
        preset = PRESETS[self.preset]
        return EncoderShape(
            **{name: getattr(self, name) or getattr(preset, name) for name in vars(preset)}
        )

    def identity(self) -> dict[str, Any]:
        """What decides the weights: a default that is written down changes nothing.

        Of a folder to continue from it is the files that count; they are known to the stage.
        """
        if self.source_folder is not None:
            return {}
        first = self.first_weights._asdict()
        return {**vars(self.shape), "max_row_tokens": self.max_row_tokens, **first}
