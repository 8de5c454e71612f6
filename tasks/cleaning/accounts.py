"""What is told of each source: what is left of it, and how much is held out of what was asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.cleaning.split import HoldingOut, limit_of

Amounts = Mapping[str, int]  # documents, bytes; counted in what was written


@dataclass(frozen=True)
class SourceAccount:
    """One source after cleaning. Duplicates that several sources have count where they are kept."""

    name: str
    train: Amounts
    held_out: Amounts
    how: HoldingOut

    @property
    def share(self) -> float:
        """The share of the source's different text that is held out."""
        return self.held_out["bytes"] / max(1, self.how.distinct_bytes)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON for the stage's summary."""
        held_out = {**vars(self.how), "got": round(self.share, 6), **self.held_out}
        return {"name": self.name, "train": dict(self.train), "held_out": held_out}

    def remark(self) -> str | None:
        """A sentence where the draws alone could not hold out what was asked, else None."""
        asked, limit = f"{self.how.asked:.3%}", f"{limit_of(self.how.asked):.3%}"
        if self.how.refused:
            return (
                f"{self.name}: {self.how.refused:,} drawn documents are trained on: of a source "
                f"that asks for {asked} no more than {limit} of the bytes may be drawn"
            )
        if self.how.rule == "lowest draw":
            return (
                f"{self.name}: too small for {asked} to be drawn; the document with the lowest "
                f"draw is held out, {self.share:.3%} of the bytes"
            )
        if self.how.asked and self.how.rule == "none":
            return (
                f"{self.name}: nothing is held out, though {asked} is asked for: no document is "
                f"within {limit} of the bytes. Add text, or raise the source's `held_out`"
            )
        return None
