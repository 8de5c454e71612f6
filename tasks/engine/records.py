"""Manifests: the record that makes an artifact exist.

An artifact is a folder `<store>/<number>-<stage>/<key>/`. While it is being made it holds
finished units and their records (`units/<unit key>.json`); `manifest.json` is written last. A
folder without a manifest is partial and is never read by another stage.

Manifests and unit records carry the digest of their own content, so a damaged one is noticed
like any other damaged file. The manifest repeats the unit records: either can be rebuilt from
the other, byte for byte.
"""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tasks.engine.identity import digest_of
from tasks.engine.ledger import Ledger
from tasks.engine.store import Store
from tasks.engine.units import StoredFile, UnitResult
from tasks.errors import StageError

MANIFEST = "manifest.json"
UNITS = "units"


def seal(content: Mapping[str, Any]) -> bytes:
    """Readable JSON of a record with the digest of its content added."""
    sealed = {**content, "digest": digest_of(content)}
    return (json.dumps(sealed, indent=1, ensure_ascii=False) + "\n").encode()


def unseal(content: bytes | None) -> dict[str, Any] | None:
    """A sealed record without its digest, or None if it is absent, cut short or altered."""
    if content is None:
        return None
    try:
        record = json.loads(content)
        digest = record.pop("digest")
        intact = digest == digest_of(record) and seal(record) == content
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    return dict(record) if intact else None


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

    def stored(self, store: Store, folder: str, suffix: str) -> StoredFile:
        """One of the unit's files, as it lies in an artifact folder."""
        entry = self.files[suffix]
        url = store.url(f"{folder}/{self.label}{suffix}")
        return StoredFile(url, entry["sha256"], entry["bytes"], entry["rows"])

    def damaged(self, store: Store, folder: str) -> list[str]:
        """The unit's files that are missing or altered, as paths in the artifact."""
        return [
            f"{self.label}{suffix}"
            for suffix in self.files
            if not store.is_sound(
                f"{folder}/{self.label}{suffix}", self.stored(store, folder, suffix)
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
        return [UnitRecord(**record) for record in self.manifest["units"]]

    def damaged(self) -> dict[str, list[str]]:
        """Files that are missing or altered, by the label of the unit that made them.

        A unit's record counts as one of its files.
        """
        with ThreadPoolExecutor(max_workers=8) as threads:
            found = list(threads.map(self._damaged_in, self.units))
        return {unit.label: paths for unit, paths in zip(self.units, found, strict=True) if paths}

    def _damaged_in(self, unit: UnitRecord) -> list[str]:
        recorded = self.store.read(f"{self.folder}/{unit.path}")
        record = [] if recorded == seal(unit.to_json()) else [unit.path]
        return unit.damaged(self.store, self.folder) + record


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
    return None if record is None else UnitRecord(**record)
