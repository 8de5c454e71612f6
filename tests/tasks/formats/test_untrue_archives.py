"""Zip archives whose directory says something untrue are refused as what they are: damaged."""

import io
import struct
import zipfile
from pathlib import Path

import pytest
from file_reading import read

from tasks.errors import UserError


def archive(name: str = "a.txt") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr(name, "one text")
    return out.getvalue()


def directory(content: bytes) -> int:
    """Where the entry of the only member begins."""
    return content.index(b"PK\x01\x02")


def test_a_member_before_the_beginning_is_damage(tmp_path: Path) -> None:
    """The end says that the directory lies further on than it does, so members lie before 0."""
    content = bytearray(archive())
    end = content.index(b"PK\x05\x06")
    content[end + 16 : end + 20] = struct.pack("<I", directory(bytes(content)) + 40)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.zip: the data are damaged"):
        read(tmp_path / "a.zip", tmp_path)


def test_a_member_without_a_name_is_no_file(tmp_path: Path) -> None:
    """It is passed over like a folder; the others are read."""
    content = archive().replace(b"a.txt", b"\x00.txt")
    (tmp_path / "a.zip").write_bytes(content)
    assert read(tmp_path / "a.zip", tmp_path)[0] == []
