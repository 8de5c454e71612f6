"""What the download stage says of each source, and later stages read: typed, in one place.

Later stages learn from it which documents files are whose. They never take a file's name apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from tasks.engine.units import StoredFile, UnitResult


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
        files = tuple(f"{unit.label}{part}" for unit in units for part in sorted(unit.files))
        return cls(name, type, documents, size, files, encodings)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, as it stands in the stage's summary."""
        return {**vars(self), "files": list(self.files)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "SourceSummary":
        """The inverse of `to_json`."""
        return cls(**{**value, "files": tuple(value["files"])})


@dataclass(frozen=True)
class DocumentsFile:
    """A file of documents: what to call units made of it, and the number of its source.

    Sources are numbered in the config's order; `name` is for people and tells nothing.
    """

    name: str
    source: int
    stored: StoredFile


def documents_files(
    sources: Sequence[SourceSummary], outputs: Mapping[str, StoredFile]
) -> list[DocumentsFile]:
    """The documents files of all sources, found by path among the download stage's outputs."""
    return [
        DocumentsFile(PurePosixPath(path).stem, number, outputs[path])
        for number, source in enumerate(sources)
        for path in source.files
    ]
