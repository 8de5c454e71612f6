"""The files a source of type `files` names: found, looked at, and known by content."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tasks.config.corpus import FilesSource, ReadingOptions
from tasks.engine.digests import outside_file
from tasks.errors import UserError
from tasks.formats.archives import printable
from tasks.sources.globs import find_real_files
from tasks.sources.source_files import SourceFile, describe, in_order, reading_options


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


def _describe(path: Path, options: ReadingOptions) -> SourceFile:
    try:
        stored = outside_file(path)
        return describe(printable(str(path)), stored, options)
    except OSError as problem:
        raise UserError(
            f"{printable(str(path))}: cannot be read ({problem.strerror or problem}). Make it "
            "readable, or leave it out of the source's `paths`."
        ) from problem
