"""Download: every source's text as documents files, each record accounted for.

    files ──────────────────────────┐
    http ──▶ fetched/00-00000.raw ──┼──▶ documents/00-00000.arrow, 00-00001.arrow, 01-00000 ...
    hub, docs ──────────────────────┘

Files of a source are numbered in the order of their digests, so a renamed file changes
nothing. Many small files share a unit; which ones follows from each file's own digest, so one
more file leaves all other units as they are.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.config import Config
from tasks.config.corpus import DocstringsSource, FilesSource, HttpSource, HubSource, source_names
from tasks.engine.identity import digest_of
from tasks.engine.ledger import Ledger
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.units import StoredFile, Unit, UnitResult
from tasks.errors import UserError
from tasks.formats.table import endings_digest, refuse_unread
from tasks.sources.docstrings import plan_groups, read_docstrings
from tasks.sources.fetching import RAW, RetryPolicy, fetch, path_of
from tasks.sources.grouping import group_files
from tasks.sources.hub import describe_folder, num_parts, read_dataset
from tasks.sources.installed_modules import installed_modules
from tasks.sources.local_files import describe_local
from tasks.sources.read_files import read_files
from tasks.sources.source_files import SourceFile, describe, in_order, reading_options
from tasks.sources.summaries import SourceSummary

log = logging.getLogger(__name__)

AnySource = FilesSource | HttpSource | HubSource | DocstringsSource


@dataclass(frozen=True)
class CorpusSlice:
    """The part of the config that download depends on: how sources are read."""

    sources: tuple[AnySource, ...]

    def identity(self) -> dict[str, Any]:
        """All of each source but what belongs to later stages, and its name if it was given one.

        A name is told in the summary and is no part of any unit: another one reads nothing anew.
        A name made of paths is no identity either, as paths are none.
        """
        return {
            "corpus": [source.reading_identity() | {"name": source.name} for source in self.sources]
        }


def corpus_slice(config: Config) -> CorpusSlice:
    """Download's slice of the config.

    Raises:
        UserError: two sources have the same name.
    """
    counts = Counter(source_names(config.corpus))
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise UserError(
            f"corpus: {counts[twice[0]]} sources are named {twice[0]!r}. Give each its own `name`: "
            "the accounts of a run tell them apart by it."
        )
    return CorpusSlice(tuple(config.corpus))


def outside_files(corpus: CorpusSlice) -> dict[str, StoredFile]:
    """What the stage reads from this machine, by content; labels say how it is read."""
    found: dict[str, StoredFile] = {}
    for index, source in enumerate(corpus.sources):
        if isinstance(source, FilesSource):
            files = describe_local(source, f"corpus.{index}")
            if any(file.options.format == "auto" for file in files):
                found |= _endings(index)
            for number, file in enumerate(files):
                how = f"{file.container}/{file.options.format}"
                if isinstance(file.options.encoding, str):
                    how += f"/{file.options.encoding}"
                found[f"{index:02}-{number:05} {how}"] = file.file
        elif isinstance(source, HttpSource) and source.format == "auto":
            for remote in source.urls:
                refuse_unread(path_of(remote.url), remote.url)
            found |= _endings(index)
        elif isinstance(source, HubSource):
            folder = describe_folder(source)
            found |= {f"{index:02} {name}": file for name, file in folder.items()}
        elif isinstance(source, DocstringsSource):
            groups, _ = plan_groups(installed_modules(source), source.max_bytes)
            modules = [module for group in groups for module in group]
            found[f"{index:02} modules"] = StoredFile("", digest_of(modules), 0)
    return found


def _endings(index: int) -> dict[str, StoredFile]:
    """What names' endings mean, where files are read by names that are not known yet."""
    return {f"{index:02} endings": StoredFile("", endings_digest(), 0)}


def run(context: StageContext[CorpusSlice]) -> StageReport:
    """Read every source; raises `UserError` if no text was found at all."""
    corpus = context.config
    names = source_names(corpus.sources)
    results: list[UnitResult] = []
    described: list[dict[str, Any]] = []
    files: list[dict[str, Any]] = []
    for index, (source, name) in enumerate(zip(corpus.sources, names, strict=True)):
        found, origins = _read_source(context, index, name, source)
        ledger = Ledger.total(unit.ledger for unit in found)
        described.append(SourceSummary.of_units(name, source.type, found).to_json())
        files += origins
        results += found
        log.info("download: %s: %s", name, ledger.to_json())
        if not ledger["documents"].kept:
            log.warning("download: the source %s has no text", name)
    total = Ledger.total(unit.ledger for unit in results)
    if not total["documents"].kept:
        raise UserError(
            f"the corpus is empty: {total['documents'].taken:,} records were found and none "
            "holds text. Check the sources' `paths`, `text_field` and `separator`."
        )
    return StageReport(total, {"sources": described, "files": files})


def _read_source(
    context: StageContext[CorpusSlice], index: int, name: str, source: AnySource
) -> tuple[list[UnitResult], list[dict[str, Any]]]:
    """A source's units, and where their records come from."""
    if isinstance(source, FilesSource):
        return _read_files(context, index, name, describe_local(source, f"corpus.{index}"))
    if isinstance(source, HttpSource):
        return _read_files(context, index, name, _fetch_all(context, index, source))
    if isinstance(source, HubSource):
        return _read_hub(context, index, source), []
    return _read_docs(context, index, source), []


def _label(index: int, number: int) -> str:
    return f"documents/{index:02}-{number:05}"


def _read_files(
    context: StageContext[CorpusSlice], index: int, name: str, files: Sequence[SourceFile]
) -> tuple[list[UnitResult], list[dict[str, Any]]]:
    groups = group_files(files)
    units = [Unit(_label(index, number), {"files": group}) for number, group in enumerate(groups)]
    results = context.map(read_files, units)
    origins = [
        _origin(result, name, file, parts)
        for result, group in zip(results, groups, strict=True)
        for file, parts in zip(group, result.summary["parts"], strict=True)
    ]
    return results, origins


def _origin(
    result: UnitResult, name: str, file: SourceFile, parts: Sequence[Sequence[Any]]
) -> dict[str, Any]:
    """One file in the stage's summary; its records begin at `first_record` of the unit."""
    return {
        "label": result.label,
        "source": name,
        "name": file.name,
        "sha256": file.file.sha256,
        "bytes": file.file.bytes,
        "first_record": parts[0][0] if parts else None,
    }


def _fetch_all(
    context: StageContext[CorpusSlice], index: int, source: HttpSource
) -> list[SourceFile]:
    policy = RetryPolicy.of(source)
    policy.headers()
    units = [
        Unit(f"fetched/{index:02}-{number:05}", {"remote": remote, "patience": policy})
        for number, remote in enumerate(source.urls)
    ]
    results = context.map(fetch, units, outputs=False)
    options = reading_options(source)
    return in_order(
        describe(remote.url, result.files[RAW], options, path_of(remote.url))
        for remote, result in zip(source.urls, results, strict=True)
    )


def _read_hub(
    context: StageContext[CorpusSlice], index: int, source: HubSource
) -> list[UnitResult]:
    folder: Mapping[str, StoredFile] = describe_folder(source)
    total = num_parts(source)
    same = {"hub": _without_later(source), "folder": folder, "num_parts": total}
    units = [Unit(_label(index, part), same | {"part": part}) for part in range(total)]
    return context.map(read_dataset, units)


def _without_later(source: HubSource) -> HubSource:
    """The source as units may know it: a new name or held-out share must not read it again."""
    return HubSource.model_validate(source.reading_identity())


def _read_docs(
    context: StageContext[CorpusSlice], index: int, source: DocstringsSource
) -> list[UnitResult]:
    groups, max_bytes = plan_groups(installed_modules(source), source.max_bytes)
    units = [
        Unit(
            _label(index, number),
            {
                "modules": group,
                "as_prose": source.prose,
                "min_characters": source.min_characters,
                "max_bytes": max_bytes,
            },
        )
        for number, group in enumerate(groups)
    ]
    return context.map(read_docstrings, units)


DOWNLOAD = Stage(
    name="download",
    number=1,
    version=3,
    needs=(),
    config=corpus_slice,
    run=run,
    externals=outside_files,
    libraries=("charset-normalizer", "unicode", "pyarrow"),
)
