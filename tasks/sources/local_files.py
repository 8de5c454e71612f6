"""The files a source of type `files` names: found, looked at, and known by content."""

import io
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tasks.config.corpus import FilesSource, ReadingOptions
from tasks.engine.digests import outside_file
from tasks.engine.units import StoredFile
from tasks.errors import UserError
from tasks.formats.archives import printable
from tasks.formats.detection import Container, kind_of
from tasks.formats.encodings import encoding_for
from tasks.formats.table import endings_digest
from tasks.sources.globs import find_real_files


@dataclass(frozen=True)
class SourceFile:
    """One file to read: its bytes, how to read them, and what to call it when talking.

    `options` is resolved: its format is known unless the file is an archive, and so is the
    encoding. Neither name nor place is part of its identity.
    """

    name: str
    file: StoredFile
    container: Container
    options: ReadingOptions

    def identity(self) -> dict[str, object]:
        """Content and way of reading.

        Members of archives are read by their own names, so by what endings mean.
        """
        how: dict[str, object] = {
            "file": self.file,
            "container": self.container,
            "reading": self.options,
        }
        return how if self.options.format != "auto" else how | {"endings": endings_digest()}


def find_files(source: FilesSource, where: str) -> list[Path]:
    """The files that the globs of a source match, each real one once, sorted by path.

    Raises:
        UserError: a glob matches no file.
    """
    found: dict[str, Path] = {}
    for pattern in source.paths:
        matched = find_real_files(os.path.expanduser(pattern))
        if not matched:
            raise UserError(
                f"{where}: no file matches {pattern!r}, looked for in {os.getcwd()}. Correct the "
                "source's `paths`, which are relative to the folder the command is run in."
            )
        for real, path in matched.items():
            if real not in found or os.path.abspath(path) == real:
                found[real] = path
    return sorted(found.values(), key=os.path.abspath)


def describe_local(source: FilesSource, where: str) -> list[SourceFile]:
    """The files of a source, hashed side by side, in the order of their content digests.

    Raises:
        UserError: a glob matches nothing, or a file cannot be read or is of no known kind.
    """
    paths = find_files(source, where)
    options = reading_options(source)
    with ThreadPoolExecutor(max_workers=8) as threads:
        files = list(threads.map(lambda path: _describe(path, options), paths))
    return in_order(files)


def in_order(files: Iterable[SourceFile]) -> list[SourceFile]:
    """Ordered by content, so that renaming a file changes nothing."""
    return sorted(files, key=lambda file: (file.file.sha256, file.container, file.options.format))


def reading_options(source: ReadingOptions) -> ReadingOptions:
    """The part of a source that says how its files are read."""
    return ReadingOptions(**{name: getattr(source, name) for name in ReadingOptions.model_fields})


def _describe(path: Path, options: ReadingOptions) -> SourceFile:
    try:
        stored = outside_file(path)
        return describe(printable(str(path)), stored, options)
    except OSError as problem:
        raise UserError(
            f"{printable(str(path))}: cannot be read ({problem.strerror or problem}). Make it "
            "readable, or leave it out of the source's `paths`."
        ) from problem


def describe(
    name: str, stored: StoredFile, options: ReadingOptions, path: str | None = None
) -> SourceFile:
    """A file with its container, format and encoding resolved from bytes and name.

    `path` is the part of the name that says what is in it, where that is not all of it.

    Raises:
        UserError: its name says that it is no text, or no glob of `encoding` fits it.
    """
    with stored.local().open("rb") as file:
        assert isinstance(file, io.BufferedReader)
        container, form = kind_of(file, path or name, options.format, name)
    changes: dict[str, object] = {"format": form}
    if container == "plain":
        changes["encoding"] = encoding_for(options.encoding, Path(path or name).name)
    return SourceFile(name, stored, container, options.model_copy(update=changes))
