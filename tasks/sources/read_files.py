"""Source files become documents files, in units of one large file or many small ones.

Records are numbered over the whole unit, so that (unit, record) finds a document's origin.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from tasks.engine.outside import check_unchanged
from tasks.engine.units import Unit, UnitReport, UnitResult, UnitWork
from tasks.formats.damage import explained
from tasks.formats.members import MemberReader
from tasks.formats.records import too_long
from tasks.formats.source_files import SourceFile
from tasks.sources.grouping import group_files
from tasks.sources.parts import DocumentParts
from tasks.sources.sink import DocumentSink
from tasks.sources.source import RunUnits, SourceResult

MAX_NAMED_MEMBERS = 5000


def read_in_units(
    files: Sequence[SourceFile], label: Callable[[int], str], run_units: RunUnits
) -> SourceResult:
    """Read files of a source, in order of their contents; `label` names the unit of a number.

    Which files share a unit follows from each one's own digest, so one more file leaves all
    other units as they are.
    """
    groups = group_files(files)
    units = [Unit(label(number), {"files": group}) for number, group in enumerate(groups)]
    results = run_units(read_files, units)
    origins = [
        _origin(result, file, parts)
        for result, group in zip(results, groups, strict=True)
        for file, parts in zip(group, result.summary["parts"], strict=True)
    ]
    return SourceResult(results, origins)


def _origin(result: UnitResult, file: SourceFile, parts: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Where a file's records are: they begin at `first_record` of the unit."""
    return {
        "label": result.label,
        "name": file.name,
        "sha256": file.file.sha256,
        "bytes": file.file.bytes,
        "first_record": parts[0][0] if parts else None,
    }


def read_files(work: UnitWork, *, files: Sequence[SourceFile]) -> UnitReport:
    """Read source files into `<label>.arrow`.

    The summary's `parts` lists (first record, member name or None) of every file and archive
    member, by file.

    Raises:
        UserError: a record cannot be read; names file, record and what to do.
        StageError: a file changed while it was being read.
    """
    encodings: Counter[str] = Counter()
    parts: list[list[list[Any]]] = []
    with DocumentParts(work) as writer:
        sink = DocumentSink(writer, files[0].options.errors)
        for file in files:
            reader = MemberReader(file, work.folder, encodings)
            parts.append(_read_file(reader, sink))
    return sink.report(parts=parts, encodings=dict(encodings))


def _read_file(reader: MemberReader, sink: DocumentSink) -> list[list[Any]]:
    """Read one file; returns (first record in the unit, member name) of its members."""
    parts: list[list[Any]] = []
    number, limit = 0, reader.file.options.max_document_bytes
    where = reader.file.name
    try:
        for where, member, records in reader.members():
            if len(parts) < MAX_NAMED_MEMBERS:
                parts.append([sink.num_records, member])
            for text in records:
                size = sink.add(text, f"{where}, record {number:,}")
                if size > limit:
                    raise too_long(where, number, limit)
                number += 1
    except Exception as problem:
        raise explained(problem, where, number) from problem
    check_unchanged(reader.file.file)
    return parts
