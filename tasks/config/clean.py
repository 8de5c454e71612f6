"""`clean:` repairing text, dropping what is not text, and dropping duplicates."""

from typing import Literal

from pydantic import Field

from tasks.config.base import Section


class UnicodeConfig(Section):
    """How characters are put right."""

    repair: bool = Field(True, description="Undo text decoded in the wrong encoding (mojibake).")
    normalisation: Literal["NFC", "NFKC", "none"] = Field(
        "NFC", description="Unicode normalisation form."
    )


class FilterConfig(Section):
    """Documents that are dropped; null turns a filter off."""

    min_characters: int | None = Field(20, ge=1, description="Shorter documents are dropped.")
    max_characters: int | None = Field(None, ge=1, description="Longer documents are dropped.")
    max_symbol_share: float | None = Field(
        0.5,
        gt=0,
        le=1,
        description="Largest share of characters, spaces aside, that are no letters or digits.",
    )
    max_repeated_line_share: float | None = Field(
        0.7, gt=0, le=1, description="Largest share of characters in lines said before."
    )
    max_repeated_phrase_share: float | None = Field(
        0.8, gt=0, le=1, description="Largest share of five-word shingles said before."
    )


class NearDuplicateConfig(Section):
    """Documents that say almost the same, found by MinHash over five-word shingles."""

    threshold: float = Field(
        0.8, gt=0, lt=1, description="Share of shingles in common that makes a duplicate."
    )
    num_hashes: int = Field(128, ge=16, le=1024, description="Numbers in a signature.")


class DeduplicationConfig(Section):
    """Duplicates; of each cluster one stays, of the first source that has it."""

    exact: bool = Field(True, description="Drop documents with the same normalised text.")
    near: NearDuplicateConfig | None = NearDuplicateConfig()


class CleanConfig(Section):
    """From documents as they came to documents fit for training."""

    unicode: UnicodeConfig = UnicodeConfig()
    filters: FilterConfig = FilterConfig()
    dedup: DeduplicationConfig = DeduplicationConfig()
    seed: int = Field(0, ge=0, description="Decides which documents are held out.")
    keep_rejects: bool = Field(
        False, description="Keep dropped documents, with the reason, beside the others."
    )
