"""Stable identities: canonical JSON and the digests made of it.

Two values get the same digest exactly when they mean the same thing to a stage. A value
without one stable spelling (a path, a set, a float that is not finite, an open file) raises:
an identity that hashes badly would serve the wrong artifact, and nobody would notice.
"""

import dataclasses
import hashlib
import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel

KEY_CHARACTERS = 16
_BLOCK_BYTES = 1 << 20


def canonical(value: Any, where: str = "value") -> Any:
    """The plain JSON form of a value; identities of nested objects are resolved.

    Pydantic models and objects that offer `identity()` contribute only what identifies them.

    Raises:
        TypeError: the value has no stable form; the message names the place.
    """
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{where}: {value} has no stable JSON form")
        return value
    if hasattr(value, "identity") and not isinstance(value, type):
        return canonical(value.identity(), where)
    if isinstance(value, BaseModel):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        return canonical(fields, where)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return canonical(fields, where)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{where}: the key {key!r} is not text")
        return {key: canonical(value[key], f"{where}.{key}") for key in sorted(value)}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [canonical(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise TypeError(f"{where}: a {type(value).__name__} has no stable form")


def canonical_json(value: Any) -> str:
    """Canonical JSON text: sorted keys, no spaces, no NaN."""
    plain = canonical(value)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest_of(value: Any) -> str:
    """SHA-256, in hex, of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def digest_of_json(value: Any) -> str:
    """`digest_of` for what is plain JSON already, such as a record that was read: a lot faster.

    Raises:
        TypeError, ValueError: the value is not plain JSON.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def key_of(value: Any) -> str:
    """The short key that names a folder: the first 16 hex digits of `digest_of`."""
    return digest_of(value)[:KEY_CHARACTERS]


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


def library_versions(names: Sequence[str]) -> dict[str, str]:
    """The versions that a stage's bytes depend on.

    Of pyarrow the major version counts: it decides how a file is laid out, not what is in it.
    `unicode` is the version of Python's own character database.
    """
    versions = {}
    for name in names:
        if name == "unicode":
            versions[name] = unicodedata.unidata_version
        elif name == "pyarrow":
            versions[name] = metadata.version(name).split(".")[0]
        else:
            versions[name] = metadata.version(name)
    return versions


def file_digest(path: Path) -> str:
    """SHA-256, in hex, of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
