"""Files read as the download stage reads them: found, described, and written as documents."""

from pathlib import Path
from typing import Any

from tasks.config.corpus import FilesSource
from tasks.documents import read_documents
from tasks.engine.units import UnitReport, UnitWork
from tasks.formats.source_files import SourceFile
from tasks.sources.local_files import describe_local
from tasks.sources.read_files import read_files


def describe(paths: Path | list[Path], **options: Any) -> list[SourceFile]:
    """The files that paths stand for, with how they will be read."""
    names = [str(path) for path in (paths if isinstance(paths, list) else [paths])]
    return describe_local(FilesSource(paths=tuple(names), **options), "corpus.0")


def read(paths: Path | list[Path], out: Path, **options: Any) -> tuple[list[str], UnitReport]:
    """The texts in files, and what the unit that read them said; its ledger balances."""
    files = describe(paths, **options)
    work = UnitWork("documents/00-00000", out / "unit")
    report = read_files(work, files=files)
    report.ledger.check("test")
    return [document.text for document in read_documents(work.path(".arrow"))], report
