"""`tokenizer:` a byte-level BPE trained on the corpus, or one taken from a folder."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.config.base import Execution, LocalPath, Section


class TokenizerCheckConfig(Section):
    """What a tokenizer must show before anything is packed with it."""

    max_tokens_per_word: float | None = Field(
        4.0, gt=1, description="Most tokens a word, on average, in text with spaces; null: off."
    )
    sample_bytes: int = Field(2_000_000, ge=1, description="Text that the check reads.")


class TokenizerConfig(Section):
    """Byte-level BPE with RoBERTa's special tokens."""

    vocab_size: int = Field(
        16_384, ge=262, description="Tokens, special ones included; small corpora may give fewer."
    )
    min_frequency: int = Field(2, ge=1, description="Occurrences a pair needs to be merged.")
    max_token_characters: int = Field(
        32, ge=2, description="Longest token; keeps lines of dashes from filling the vocabulary."
    )
    sample_bytes: int = Field(
        512_000_000,
        ge=1,
        description="Text the merges are learnt from; a larger corpus is sampled.",
    )
    source_folder: Annotated[str | None, Execution(), LocalPath()] = Field(
        None,
        alias="from",
        description="Take the tokenizer of this Hugging Face RoBERTa folder; nothing is trained.",
    )
    refresh: Literal["always", "never"] = Field(
        "always",
        description="always: learnt from the text as it now is, so that results follow from "
        "config and text alone; never: the first one that a pipeline of this name learns stays, "
        "so that new text redoes only its own units and a model can be trained on.",
    )
    check: TokenizerCheckConfig = TokenizerCheckConfig()
