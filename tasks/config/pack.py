"""`pack:` from documents to rows of tokens."""

from typing import Literal

from pydantic import Field

from tasks.config.base import Section


class PackConfig(Section):
    """The layout of a row (RoBERTa's FULL-SENTENCES and DOC-SENTENCES)."""

    row_tokens: int = Field(128, ge=8, le=32_768, description="Tokens in a row; 512 in the paper.")
    format: Literal["full_sentences", "doc_sentences"] = Field(
        "full_sentences",
        description="full_sentences: rows are full and cross documents; doc_sentences: a row "
        "holds one document's tokens and the last of a document is padded.",
    )
    special_tokens: Literal["bos_eos", "none"] = Field(
        "bos_eos", description="bos_eos: <s> ... </s> around a row and </s> between documents."
    )
    shard_rows: int = Field(65_536, ge=1, description="Rows in a shard file.")
