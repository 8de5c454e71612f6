"""`model:` the encoder's shape, by preset, by sizes, or taken from an existing folder."""

from typing import Literal

from pydantic import Field, model_validator

from tasks.config.base import Section

PresetName = Literal["tiny", "mini", "small", "base", "large"]


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
    initializer_range: float = Field(
        0.02, gt=0, description="Standard deviation of new weights; narrow models learn with more."
    )
    source_folder: str | None = Field(
        None,
        alias="from",
        description="Continue from this Hugging Face RoBERTa folder; its sizes are used.",
    )

    @model_validator(mode="after")
    def _sizes_or_folder(self) -> "ModelSection":
        sizes = (self.num_layers, self.width, self.num_heads, self.feedforward_width)
        if self.source_folder is not None and any(size is not None for size in sizes):
            raise ValueError("`from` brings its own sizes; leave out the others")
        return self
