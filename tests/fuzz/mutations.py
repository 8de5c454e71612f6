"""Small damage to small files, drawn from a seeded generator: bytes, and values in JSON."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

import zstandard

Files = dict[str, bytes]

_NUMBERS = (0, 1, -1, 7, 127, 128, 255, 256, 0x7FFF, 0xFFFF, 0x7FFFFFFF, -0x80000000, 1 << 40, -2)
_TEXTS = (
    b"\x00",
    b"\xff",
    b"\r",
    b"\n",
    b'"',
    b",",
    b"[" * 5000,
    b"{",
    b"\x1b[2J",
    b"\xed\xa0\x80",
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 1 << 31, 1 << 63, 10**30, -0.5, 1e308, float("nan")),
    *("", "x", "\x00", "\ud800", "../../x", "/etc/passwd", "1", [], {}, [[]], {"a": {}}, [1] * 99),
)


def mutated(content: bytes, random: Random) -> bytes:
    """Some bytes with one to four small damages."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        at = random.randrange(len(data) + 1)
        kind = random.randrange(7)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            size = random.choice((1, 2, 4, 8))
            number = random.choice(_NUMBERS) & ((1 << 8 * size) - 1)
            data[at : at + size] = number.to_bytes(size, "little")
        elif kind == 2:
            del data[at : at + random.choice((1, 2, 4, 8, 64, 1024))]
        elif kind == 3:
            start = random.randrange(len(data) + 1)
            data[at:at] = data[start : start + random.choice((1, 4, 8, 64))]
        elif kind == 4:
            data[at:at] = random.choice(_TEXTS)
        elif kind == 5:
            data[at : at + 8] = random.randbytes(random.randrange(9))
        elif random.randrange(3) == 0:
            del data[at:]
    return bytes(data)


def mutated_json(content: bytes, random: Random) -> bytes:
    """The text of a JSON value in which one to three values, or keys, are others."""
    value = json.loads(content)
    for _ in range(random.choice((1, 1, 2, 3))):
        value = _changed(value, random)
    return json.dumps(value).encode()


def _changed(value: Any, random: Random) -> Any:
    keys = (
        list(value)
        if isinstance(value, dict)
        else range(len(value or ()) if isinstance(value, list) else 0)
    )
    if not keys or random.randrange(6) == 0:
        if isinstance(value, int) and random.randrange(2):
            return value + random.choice((-1, 1, 1000))
        return random.choice(_VALUES)
    key = random.choice(list(keys))
    if random.randrange(8) == 0:
        if isinstance(value, dict) and random.randrange(2):
            return {(f"{k}x" if k == key else k): v for k, v in value.items()}
        copy = value.copy()
        copy.pop(key)
        return copy
    copy = value.copy()
    copy[key] = _changed(value[key], random)
    return copy


_PACKED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def _zip(files: Files) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def _tar(files: Files) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def wrapped(files: Files, random: Random) -> Files:
    """A damaged file packed whole, or a whole one whose packing is damaged."""
    name = random.choice(sorted(files))
    inside = random.randrange(2)
    content = mutated(files[name], random) if inside else files[name]
    kind = random.choice([*_PACKED, ".zip", ".tar"])
    if kind in _PACKED:
        packed, name = _PACKED[kind](content), name + kind
    else:
        pack = _zip if kind == ".zip" else _tar
        packed, name = pack({"x/" + name: content, "b.txt": b"b"}), "a" + kind
    return {name: packed if inside else mutated(packed, random)}
