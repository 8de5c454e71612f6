"""Manifests: the record that makes an artifact exist.

An artifact is a folder `<store>/<number>-<stage>/<key>/`. While it is being made it holds
finished units and their records (`units/<unit key>.json`); `manifest.json` is written last. A
folder without a manifest is partial and is never read by another stage.

Manifests and unit records carry the digest of their own content, so a damaged one is noticed
like any other damaged file. The manifest repeats the unit records: either can be rebuilt from
the other, byte for byte. Each says which format it is in: what an earlier version wrote is made
again, and what a later one wrote is refused.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tasks.engine.identity import digest_of, digest_of_json
from tasks.engine.ledger import Ledger
from tasks.engine.store import Store
from tasks.engine.units import StoredFile, UnitResult
from tasks.errors import StageError

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
UNITS = "units"
# Raised when a field of a record is added, removed or means something else. Records of the
# first edition have no such number.
FORMAT = 3


def seal(content: Mapping[str, Any]) -> bytes:
    """Readable JSON of a record with its format and the digest of its content added."""
    return _sealed({"format": FORMAT, **content})


def _sealed(record: Mapping[str, Any]) -> bytes:
    sealed = {**record, "digest": digest_of_json(record)}
    return (json.dumps(sealed, indent=1, ensure_ascii=False) + "\n").encode()


def unseal(content: bytes | None) -> dict[str, Any] | None:
    """A record as it was sealed, or None if it is absent, cut short, altered or of old format.

    Raises:
        StageError: a later version of this program wrote it.
    """
    if content is None:
        return None
    try:
        record = json.loads(content)
        del record["digest"]
        intact = _sealed(record) == content
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None
    if not intact:
        return None
    found = record.pop("format", 1)
    if found == FORMAT:
        return dict(record)
    if isinstance(found, int) and found > FORMAT:
        raise StageError(
            f"the store was written by a later version of this program (record format {found}; "
            f"this version knows {FORMAT}). Use that version, or another --store."
        )
    log.warning("records of an earlier version (format %s) are not read; made again", found)
    return None


@dataclass(frozen=True)
class UnitRecord:
    """A committed unit as it is written down.

    `files` maps a suffix to `{"bytes", "sha256", "rows"}`; the file lies at
    `<artifact>/<label><suffix>`.
    """

    key: str
    label: str
    function: str
    output: bool
    files: Mapping[str, Mapping[str, Any]]
    ledger: Mapping[str, Any]
    summary: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @staticmethod
    def name_of(key: str, label: str) -> str:
        """A record's file name: found by its key, unique by its label."""
        return f"{key}--{label.replace('/', '+')}.json"

    @property
    def path(self) -> str:
        """Where the record lies in the artifact."""
        return f"{UNITS}/{self.name_of(self.key, self.label)}"

    def same_work(self, other: "UnitRecord") -> bool:
        """Whether two records tell of the same result, whenever and wherever it was made."""
        return all(
            getattr(self, name) == getattr(other, name)
            for name in ("key", "label", "output", "files", "ledger", "summary")
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, the form that is sealed."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "UnitRecord":
        """The inverse of `to_json`.

        Raises:
            StageError: fields are missing or unknown, though the format is ours.
        """
        try:
            return cls(**record)
        except TypeError as problem:
            raise StageError(
                f"a unit's record does not have the fields of format {FORMAT}: {problem}. Remove "
                "it, or use another --store."
            ) from problem

    def stored(self, store: Store, folder: str, suffix: str) -> StoredFile:
        """One of the unit's files, as it lies in an artifact folder."""
        entry = self.files[suffix]
        url = store.url(f"{folder}/{self.label}{suffix}")
        return StoredFile(url, entry["sha256"], entry["bytes"], entry["rows"])

    def damaged(self, store: Store, folder: str, *, anew: bool = False) -> list[str]:
        """The unit's files that are missing or altered, as paths in the artifact.

        Files that were hashed before and not touched since are not read again, unless `anew`.
        """
        return [
            f"{self.label}{suffix}"
            for suffix, entry in self.files.items()
            if not store.is_sound(
                f"{folder}/{self.label}{suffix}", entry["sha256"], entry["bytes"], anew=anew
            )
        ]

    def result(self, store: Store, folder: str, reused: bool) -> UnitResult:
        """What a stage gets to see of this unit."""
        files = {suffix: self.stored(store, folder, suffix) for suffix in self.files}
        ledger = Ledger.from_json(self.ledger)
        return UnitResult(
            self.label, self.key, files, ledger, self.summary, reused, self.provenance
        )


@dataclass(frozen=True)
class Artifact:
    """A finished stage: its manifest, and its files by path relative to its folder."""

    store: Store
    folder: str
    manifest: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The artifact's content key."""
        return str(self.manifest["key"])

    @property
    def digest(self) -> str:
        """The digest of what the artifact hands on: its output paths and their bytes."""
        return str(self.manifest["output_digest"])

    @property
    def config(self) -> Mapping[str, Any]:
        """The stage's slice of the config, identity fields only."""
        return dict(self.manifest["config"])

    @property
    def summary(self) -> Mapping[str, Any]:
        """The stage's figures."""
        return dict(self.manifest["summary"])

    @property
    def ledger(self) -> Ledger:
        """The stage's balance."""
        return Ledger.from_json(self.manifest["ledger"])

    @property
    def outputs(self) -> list[tuple[str, StoredFile]]:
        """Every output: (path in the artifact, file), sorted by path."""
        return [
            (
                entry["path"],
                StoredFile(
                    self.store.url(f"{self.folder}/{entry['path']}"),
                    entry["sha256"],
                    entry["bytes"],
                    entry["rows"],
                ),
            )
            for entry in self.manifest["outputs"]
        ]

    def files(self, prefix: str, suffix: str = "") -> list[StoredFile]:
        """Outputs whose path begins and ends so, sorted by path."""
        return [
            file for path, file in self.outputs if path.startswith(prefix) and path.endswith(suffix)
        ]

    def file(self, path: str) -> StoredFile:
        """One output by its exact path.

        Raises:
            StageError: the artifact has no such output.
        """
        for candidate, file in self.outputs:
            if candidate == path:
                return file
        raise StageError(f"{self.store.url(self.folder)}: there is no output {path!r}.")

    @property
    def units(self) -> list[UnitRecord]:
        """The records of all units, in the stage's order."""
        return [UnitRecord.from_json(record) for record in self.manifest["units"]]

    def damaged(self, *, anew: bool = False) -> dict[str, list[str]]:
        """Files that are missing or altered, by the label of the unit that made them.

        A unit's record counts as one of its files; one that tells of the same work at another
        time (of an owner that was paused meanwhile) is sound. With `anew` every byte is read.
        """

        def damaged_in(unit: UnitRecord) -> list[str]:
            name = unit.path.removeprefix(f"{UNITS}/")
            recorded = read_unit(self.store, self.folder, name)
            sound = recorded is not None and recorded.same_work(unit)
            return unit.damaged(self.store, self.folder, anew=anew) + ([] if sound else [unit.path])

        units = self.units
        with ThreadPoolExecutor(max_workers=8) as threads:
            found = list(threads.map(damaged_in, units))
        return {unit.label: paths for unit, paths in zip(units, found, strict=True) if paths}


def output_entries(units: Sequence[UnitRecord]) -> list[dict[str, Any]]:
    """The manifest's list of outputs: path, bytes, digest and rows, sorted by path."""
    entries = [
        {"path": f"{unit.label}{suffix}", **entry}
        for unit in units
        if unit.output
        for suffix, entry in unit.files.items()
    ]
    return sorted(entries, key=lambda entry: str(entry["path"]))


def output_digest(entries: Sequence[Mapping[str, Any]]) -> str:
    """The digest of a list of outputs: their paths and bytes, nothing else."""
    return digest_of([[entry["path"], entry["sha256"]] for entry in entries])


def read_manifest(store: Store, folder: str) -> Artifact | None:
    """The artifact in a folder, or None while it is partial or when its manifest is damaged."""
    manifest = unseal(store.read(f"{folder}/{MANIFEST}"))
    return None if manifest is None else Artifact(store, folder, manifest)


def read_unit(store: Store, folder: str, name: str) -> UnitRecord | None:
    """A unit's record by its file name, or None if there is none or it is damaged."""
    record = unseal(store.read(f"{folder}/{UNITS}/{name}"))
    return None if record is None else UnitRecord.from_json(record)
