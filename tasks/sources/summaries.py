"""What the download stage says of each source, and later stages read: typed, in one place.

Later stages learn from it which documents files are whose. They never take a file's name apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.engine.units import UnitResult
from tasks.sources.sink import DOCUMENTS


@dataclass(frozen=True)
class SourceSummary:
    """One source as it was read; they stand in the order of the config's `corpus`.

    `files` holds the paths of its documents files in the download artifact, `documents` and
    `bytes` count what is in them, `guessed_encodings` counts the files that had one guessed.
    """

    name: str
    type: str
    documents: int
    bytes: int
    files: tuple[str, ...]
    guessed_encodings: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of_units(cls, name: str, type: str, units: Sequence[UnitResult]) -> "SourceSummary":
        """The sum of the units that read a source."""
        encodings: dict[str, int] = {}
        for unit in units:
            for encoding, count in unit.summary.get("encodings", {}).items():
                encodings[encoding] = encodings.get(encoding, 0) + count
        documents, size = (
            sum(int(unit.summary[measure]) for unit in units) for measure in ("documents", "bytes")
        )
        files = tuple(f"{unit.label}{DOCUMENTS}" for unit in units)
        return cls(name, type, documents, size, files, encodings)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, as it stands in the stage's summary."""
        return {**vars(self), "files": list(self.files)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "SourceSummary":
        """The inverse of `to_json`."""
        return cls(**{**value, "files": tuple(value["files"])})
