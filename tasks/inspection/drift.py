"""Drift: which fields, files or inputs differ between two identities of a stage."""

from collections.abc import Mapping
from typing import Any

from tasks.engine.records import Artifact
from tasks.engine.runner import StageIdentity
from tasks.engine.stage import Stage

_ABSENT = object()


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """A nested value as dotted paths to its leaves; empty containers are leaves."""
    if isinstance(value, Mapping) and value:
        items: Any = value.items()
    elif isinstance(value, list) and value:
        items = enumerate(value)
    else:
        return {prefix: value}
    flat = {}
    for key, item in items:
        flat.update(flatten(item, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def changed_fields(before: Any, after: Any) -> list[dict[str, Any]]:
    """The leaves that differ: `{"field", "before", "after"}`, absent ones as None."""
    old, new = flatten(before), flatten(after)
    return [
        {"field": field, "before": old.get(field), "after": new.get(field)}
        for field in sorted(old.keys() | new.keys())
        if old.get(field, _ABSENT) != new.get(field, _ABSENT)
    ]


def drift(
    stage: Stage[Any],
    config: Mapping[str, Any],
    externals: Mapping[str, str],
    inputs: Mapping[str, Artifact],
    newest: Artifact,
) -> list[dict[str, Any]]:
    """Everything that differs from an earlier artifact, most telling first.

    `inputs` may lack artifacts that are not made yet; those are left out of the comparison.
    """
    manifest = newest.manifest
    found = []
    if manifest["version"] != stage.version:
        found.append(_entry("stage version", manifest["version"], stage.version))
    found += changed_fields(manifest["config"], config)
    old_files = manifest["externals"]
    added = set(externals.values()) - set(old_files.values())
    removed = set(old_files.values()) - set(externals.values())
    if added or removed or set(externals) != set(old_files):
        found.append(_entry("files", f"{len(old_files)} files", _files(externals, added, removed)))
    for name, artifact in inputs.items():
        old = manifest["inputs"].get(name, {})
        if old.get("digest") != artifact.digest:
            found.append(_entry(f"input {name}", old.get("key"), artifact.key))
    return found


def _entry(field: str, before: Any, after: Any) -> dict[str, Any]:
    return {"field": field, "before": before, "after": after}


def _files(externals: Mapping[str, str], added: set[str], removed: set[str]) -> str:
    return f"{len(externals)} files ({len(added)} new, {len(removed)} gone)"


def drift_from(
    stage: Stage[Any], identity: StageIdentity, newest: Artifact
) -> list[dict[str, Any]]:
    """The drift of a fully known identity."""
    digests = {label: file.sha256 for label, file in identity.externals.items()}
    return drift(stage, identity.config, digests, identity.inputs, newest)


def describe(entry: Mapping[str, Any]) -> str:
    """One difference as text, such as `pack.row_tokens: 128 -> 256`."""
    return f"{entry['field']}: {entry['before']} -> {entry['after']}"
