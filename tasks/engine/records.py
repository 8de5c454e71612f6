"""Manifests: the record that makes an artifact exist.

An artifact is a folder `<store>/<number>-<stage>/<key>/`. While it is being made it holds
finished units and their records (`tasks.engine.unit_records`); `manifest.json` is written last.
A folder without a manifest is partial and is never read by another stage.

Manifests and units' records carry the digest of their own content, so a damaged one is noticed
like any other damaged file. The manifest repeats the unit records: either can be rebuilt from
the other.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tasks.engine.identity import digest_of
from tasks.engine.ledger import Ledger
from tasks.engine.sealing import unseal
from tasks.engine.store import Store
from tasks.engine.unit_records import UnitRecord, read_recorded
from tasks.engine.units import StoredFile
from tasks.errors import StageError

MANIFEST = "manifest.json"


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
    def ended(self) -> str:
        """When it was finished, UTC, ISO 8601; empty where nobody noted it."""
        return str(self.manifest["provenance"].get("ended", ""))

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
        recorded = read_recorded(self.store, self.folder)

        def damaged_in(unit: UnitRecord) -> list[str]:
            record = recorded.get(unit.name)
            sound = record is not None and record.same_work(unit)
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
