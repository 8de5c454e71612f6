"""Sources of type `files`: files of this machine, found, looked at, and known by content."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tasks.config.corpus import FilesSource
from tasks.config.places import check_found
from tasks.config.reading import ReadingOptions
from tasks.engine.outside import outside_file
from tasks.engine.units import StoredFile
from tasks.errors import UserError
from tasks.formats.archives import printable
from tasks.formats.source_files import (
    SourceFile,
    describe,
    endings_file,
    in_order,
    reading_options,
    unkept,
)
from tasks.sources.globs import find_real_files
from tasks.sources.read_files import read_in_units
from tasks.sources.sizes import Size, sampled, try_out
from tasks.sources.source import RunUnits, SourceResult, TextSource

_TRIED_FILES = 16


class LocalFiles(TextSource[FilesSource]):
    """Files that globs match; their contents and how they are read are in the key."""

    def check(self) -> None:
        """Whether every glob matches something."""
        find_files(self.config, self._where)

    def try_out(self) -> None:
        """Some files, spread over all of them."""
        paths, options = find_files(self.config, self._where), reading_options(self.config)
        for path in paths[:: max(1, len(paths) // _TRIED_FILES)]:
            try:
                try_out(unkept(path, options))
            except OSError as problem:
                raise _unreadable(path, problem) from problem

    def externals(self) -> dict[str, StoredFile]:
        """Every file, and what endings mean where archives have members to be named by them."""
        found: dict[str, StoredFile] = {}
        for number, file in enumerate(self._files()):
            how = f"{file.container}/{file.options.format}"
            if isinstance(file.options.encoding, str):
                how += f"/{file.options.encoding}"
            found[f"{self.prefix}-{number:05} {how}"] = file.file
            if file.options.format == "auto":
                found[f"{self.prefix} endings"] = endings_file()
        return found

    def read(self, run_units: RunUnits) -> SourceResult:
        """Large files each in a unit of its own, small ones together."""
        return read_in_units(self._files(), self.documents_label, run_units)

    def estimate(self) -> Size:
        """From a sample of the files."""
        return sampled(self._files())

    def _files(self) -> list[SourceFile]:
        return describe_local(self.config, self._where)

    @property
    def _where(self) -> str:
        return f"corpus.{self.index}"


def find_files(source: FilesSource, where: str) -> list[Path]:
    """The files that the globs of a source match, each real one once, sorted by path.

    Raises:
        UserError: a glob matches no file, or one that this server may not read.
    """
    found: dict[str, Path] = {}
    for pattern in source.paths:
        matched = find_real_files(os.path.expanduser(pattern))
        if not matched:
            raise UserError(
                f"{where}: no file matches {pattern!r}, looked for in {os.getcwd()}. Correct the "
                "source's `paths`. In a config file they are relative to that file; in a preset, "
                "a form or --set to the folder the command is run in."
            )
        check_found(matched, f"{where}.paths")
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
    _refuse_idle_options(source, files, where)
    return in_order(files)


def _refuse_idle_options(source: FilesSource, files: list[SourceFile], where: str) -> None:
    """Refuse what was set and can have no effect on any of the files: it was meant otherwise.

    Raises:
        UserError: names the field.
    """
    if any(file.container != "plain" for file in files):
        return
    idle = {name: "none of the files is an archive" for name in ("include", "exclude")}
    formats = {file.options.format for file in files}
    if formats == {"text"}:
        idle["text_field"] = "all files are plain text, which has no fields"
    if "text" not in formats:
        idle["separator"] = "none of the files is plain text"
    for name, why in idle.items():
        if getattr(source, name) != type(source).model_fields[name].default:
            raise UserError(
                f"{where}.{name}: it has no effect, since {why}. Take it out, or correct `paths` "
                "or `format`."
            )


def _describe(path: Path, options: ReadingOptions) -> SourceFile:
    try:
        stored = outside_file(path)
        return describe(printable(str(path)), stored, options)
    except OSError as problem:
        raise _unreadable(path, problem) from problem


def _unreadable(path: Path, problem: OSError) -> UserError:
    return UserError(
        f"{printable(str(path))}: cannot be read ({problem.strerror or problem}). Make it "
        "readable, or leave it out of the source's `paths`."
    )
