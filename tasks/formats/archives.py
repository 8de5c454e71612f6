"""Members of zip and tar archives, read where they lie and never unpacked to disk.

Nothing is extracted, so no member's path can lead out of a folder and no link is followed.
Members come in the archive's own order, which is part of its bytes.
"""

import errno
import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import cast

from tasks.errors import UserError
from tasks.formats.compression import decompressed, is_damage

DAMAGE = (zipfile.BadZipFile, tarfile.TarError)
"""What reading a damaged archive raises, besides damage of a compressed stream."""

_LITTER = ("__MACOSX/*", "*.DS_Store", "._*", "*/._*")


def printable(name: str) -> str:
    """A name that can be shown, in one line, and stored whatever bytes it is made of."""
    shown = name.encode("utf-8", "backslashreplace").decode()
    return shown.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


def is_wanted(name: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether a member is read; what macOS leaves in archives never is."""
    return any(fnmatchcase(name, glob) for glob in include) and not any(
        fnmatchcase(name, glob) for glob in (*exclude, *_LITTER)
    )


def zip_members(
    stream: io.BufferedReader, include: Sequence[str], exclude: Sequence[str], where: str
) -> Iterator[tuple[str, io.BufferedReader]]:
    """(name, bytes) of each wanted file in a zip archive.

    Raises:
        UserError: a member is encrypted, or packed in a way Python cannot unpack.
    """
    with _told_as_damage():
        archive = zipfile.ZipFile(stream)
    with archive:
        for info in _wanted_files(archive, include, exclude):
            try:
                with _told_as_damage():
                    member = archive.open(info)
            except (RuntimeError, NotImplementedError) as problem:
                raise UserError(
                    f"{where}, member {info.filename}: cannot be unpacked ({problem}). Pack it "
                    "anew without a password, or leave it out with the source's `exclude`."
                ) from None
            with member:
                yield info.filename, io.BufferedReader(cast(io.RawIOBase, member))


def zip_sizes(
    stream: io.BufferedReader, include: Sequence[str], exclude: Sequence[str]
) -> dict[str, int]:
    """Bytes of each wanted file in a zip archive as its directory has them, by name."""
    with _told_as_damage(), zipfile.ZipFile(stream) as archive:
        return {info.filename: info.file_size for info in _wanted_files(archive, include, exclude)}


def _wanted_files(
    archive: zipfile.ZipFile, include: Sequence[str], exclude: Sequence[str]
) -> Iterator[zipfile.ZipInfo]:
    for info in archive.infolist():
        is_link = stat.S_ISLNK(info.external_attr >> 16)
        is_file = info.filename and not info.is_dir() and not is_link
        if is_file and is_wanted(info.filename, include, exclude):
            yield info


@contextmanager
def _told_as_damage() -> Iterator[None]:
    """What is raised where an archive says something untrue of itself, as damage of an archive.

    Python looks where it says: before the file's beginning, or into a name that is empty.
    """
    try:
        yield
    except (ValueError, LookupError, OverflowError, struct.error) as problem:
        raise zipfile.BadZipFile(str(problem)) from problem
    except OSError as problem:
        if is_damage(problem) or problem.errno != errno.EINVAL:
            raise
        raise zipfile.BadZipFile("it names a place that is not in the file") from problem


def tar_members(
    stream: io.BufferedReader, include: Sequence[str], exclude: Sequence[str]
) -> Iterator[tuple[str, io.BufferedReader]]:
    """(name, bytes) of each wanted regular file in a tar archive, compressed or not."""
    with (
        _complete(decompressed(stream)) as inner,
        tarfile.open(fileobj=inner, mode="r|") as archive,
    ):
        for info in archive:
            if info.isreg() and is_wanted(info.name, include, exclude):
                member = archive.extractfile(info)
                assert member is not None
                yield printable(info.name), cast(io.BufferedReader, member)


@contextmanager
def _complete(stream: io.BufferedReader) -> Iterator[io.BufferedReader]:
    """Read on to the end afterwards: a compressed archive may be cut off after its last member."""
    yield stream
    while stream.read(1 << 20):
        pass
