"""`evaluate:` what the trained encoder is scored on, and what the card says."""

from typing import Annotated

from pydantic import Field

from tasks.config.base import Execution, LocalPath, Section


class HeldOutConfig(Section):
    """Masked loss on documents that were kept out of training, on frozen masks."""

    max_rows: int = Field(2048, ge=1, description="Rows scored at most, spread over the corpus.")


class BlimpConfig(Section):
    """Minimal pairs, scored by pseudo-log-likelihood; a tie counts as wrong."""

    data: Annotated[str, Execution(), LocalPath()] = Field(
        description="Folder of BLiMP-format .jsonl files, plain or compressed."
    )
    max_pairs: int | None = Field(None, ge=1, description="Pairs scored in each file at most.")


class EvaluateConfig(Section):
    """The evaluation tasks; leave one out to skip it."""

    held_out: HeldOutConfig | None = HeldOutConfig()
    blimp: BlimpConfig | None = Field(None, description="Grammatical minimal pairs.")
    examples: list[str] = Field(
        default_factory=list, description="Texts with one <mask>, filled in the report."
    )


class PublishConfig(Section):
    """What the model card says besides figures."""

    licence: str | None = Field(None, description="Licence of the published weights.")
    language: str | None = Field(None, description="Language tag, such as `en`.")
    summary: str | None = Field(None, description="One sentence on what the model is for.")
