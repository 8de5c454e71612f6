"""Drift: which fields, files or inputs differ between two identities of a stage."""

import os
from collections.abc import Collection, Mapping
from typing import Any

from tasks.engine.identity import flatten, library_versions
from tasks.engine.records import Artifact
from tasks.engine.runner import StageIdentity
from tasks.engine.stage import Stage
from tasks.engine.units import StoredFile

_ABSENT = object()
_MOST_NAMES = 3


def changed_fields(before: Any, after: Any) -> list[dict[str, Any]]:
    """The leaves that differ: `{"field", "before", "after"}`, absent ones as None."""
    old, new = flatten(before), flatten(after)
    return [
        {"field": field, "before": old.get(field), "after": new.get(field)}
        for field in sorted(old.keys() | new.keys())
        if old.get(field, _ABSENT) != new.get(field, _ABSENT)
    ]


def changed_settings(before: Any, after: Any) -> list[dict[str, Any]]:
    """The same of whole configs, for people: what is set nowhere is no change.

    Nor is a path that a deployment has made absolute; whether its file has changed, digests tell.

    >>> changed_settings({"downstream": []}, {"downstream": [{"task": "qa", "test": None}]})
    [{'field': 'downstream.0.task', 'before': None, 'after': 'qa'}]
    """
    old, new = flatten(before), flatten(after)
    empty: tuple[Any, ...] = (_ABSENT, None, [], {})
    return [
        change
        for change in changed_fields(before, after)
        if not _may_be_one_path(change["before"], change["after"])
        and (
            (change["field"] in old and change["field"] in new)
            or old.get(change["field"], _ABSENT) not in empty
            or new.get(change["field"], _ABSENT) not in empty
        )
    ]


def _may_be_one_path(before: Any, after: Any) -> bool:
    """Whether one is an absolute path that ends as the other, a relative one.

    >>> _may_be_one_path("./a/*.txt", "/srv/a/*.txt"), _may_be_one_path("/a/b", "/c/b")
    (True, False)
    """
    if not (isinstance(before, str) and isinstance(after, str)):
        return False
    relative, absolute = sorted((before, after), key=os.path.isabs)
    if os.path.isabs(relative) or not os.path.isabs(absolute):
        return False
    return os.path.normpath(absolute).endswith(f"/{os.path.normpath(relative)}")


def drift(
    stage: Stage[Any],
    config: Mapping[str, Any],
    externals: Mapping[str, StoredFile],
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
    libraries = library_versions(stage.libraries)
    for change in changed_fields(manifest["libraries"], libraries):
        found.append({**change, "field": f"library {change['field']}"})
    found += changed_fields(manifest["config"], config)
    old_files = manifest["externals"]
    if old_files != {label: file.sha256 for label, file in externals.items()}:
        told = _files(externals, old_files, file_names(newest))
        found.append(_entry("files", _count(old_files), told))
    for name in stage.needs:
        artifact, old = inputs.get(name), manifest["inputs"].get(name, {})
        if artifact is not None and old.get("digest") != stage.input_digest(artifact):
            found.append(_entry(f"input {name}", old.get("key"), artifact.key))
    return found


def _entry(field: str, before: Any, after: Any) -> dict[str, Any]:
    return {"field": field, "before": before, "after": after}


def _files(
    now: Mapping[str, StoredFile], before: Mapping[str, str], old_names: Mapping[str, str]
) -> str:
    """How many outside files there are and which of them are changed, new or gone."""
    digests = {label: file.sha256 for label, file in now.items()}
    new_names = {file.sha256: file.url for file in now.values() if file.url}
    kinds = changed_files(before, digests, old_names, new_names)
    return f"{_count(now)} ({told_files(kinds) or 'read in another way or order'})"


def changed_files(
    before: Mapping[str, str],
    now: Mapping[str, str],
    old_names: Mapping[str, str],
    new_names: Mapping[str, str],
) -> dict[str, list[str]]:
    """Outside files whose bytes are others: `changed`, `new`, `gone`; no kind that has none.

    Args:
        before: Digests by label.
        now: The same of what is compared with it.
        old_names: The names of the former's digests, where known.
        new_names: Those of the latter's; what has none goes by its label.

    >>> changed_files({"mood/train": "ab", "mood/dev": "cd"}, {"mood/train": "ef"}, {}, {})
    {'changed': ['mood/train'], 'gone': ['mood/dev']}
    """
    known, seen = set(now.values()), set(before.values())
    fresh = {label: new_names.get(one, label) for label, one in now.items() if one not in seen}
    lost = {
        old_names.get(digest, fresh.get(label, label))
        for label, digest in before.items()
        if digest not in known
    }
    new = set(fresh.values())
    kinds = {"changed": new & lost, "new": new - lost, "gone": lost - new}
    return {kind: sorted(names) for kind, names in kinds.items() if names}


def _count(files: Collection[str]) -> str:
    return f"{len(files):,} file" + ("" if len(files) == 1 else "s")


def told_files(kinds: Mapping[str, Collection[str]]) -> str:
    """What `changed_files` has found, in words: a few names of each kind.

    >>> told_files({"changed": ["a.csv"], "gone": ["b", "c", "d", "e"]})
    'changed: a.csv; gone: b, c, d and 1 more'
    """
    return "; ".join(f"{kind}: {_some(names)}" for kind, names in kinds.items())


def file_names(artifact: Artifact) -> dict[str, str]:
    """The names of the outside files it was made from, by digest; only `download` tells them."""
    return {file["sha256"]: file["name"] for file in artifact.summary.get("files", [])}


def _some(names: Collection[str]) -> str:
    """The first few names, and how many more there are."""
    shown = sorted(names)[:_MOST_NAMES]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def drift_from(
    stage: Stage[Any], identity: StageIdentity, newest: Artifact
) -> list[dict[str, Any]]:
    """The drift of a fully known identity."""
    inputs = {} if identity.stands else identity.inputs
    return drift(stage, identity.config, identity.externals, inputs, newest)


def describe(entry: Mapping[str, Any]) -> str:
    """One difference as text, such as `pack.row_tokens: 128 -> 256`."""
    return f"{entry['field']}: {entry['before']} -> {entry['after']}"
