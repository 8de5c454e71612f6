"""A file of a source: its bytes, what it is and how to read it, wherever it came from."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tasks.config.reading import ReadingOptions
from tasks.engine.units import StoredFile
from tasks.formats.archives import printable
from tasks.formats.detection import Container, kind_of
from tasks.formats.encodings import encoding_for
from tasks.formats.table import endings_digest


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


def endings_file() -> StoredFile:
    """What names' endings mean, as a file: for keys of files whose names are not known yet."""
    return StoredFile("", endings_digest(), 0)


def in_order(files: Iterable[SourceFile]) -> list[SourceFile]:
    """Ordered by content, so that renaming a file changes nothing."""
    return sorted(files, key=lambda file: (file.file.sha256, file.container, file.options.format))


def reading_options(source: ReadingOptions) -> ReadingOptions:
    """The part of a source that says how its files are read."""
    return ReadingOptions(**{name: getattr(source, name) for name in ReadingOptions.model_fields})


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


def unkept(path: Path, options: ReadingOptions) -> SourceFile:
    """A file of this machine that is read for something kept under no key, so it is not hashed.

    Raises:
        UserError: its name says that it is no text, or no glob of `encoding` fits it.
        OSError: it cannot be read.
    """
    stored = StoredFile(str(path), "", path.stat().st_size)
    return describe(printable(str(path)), stored, options)
