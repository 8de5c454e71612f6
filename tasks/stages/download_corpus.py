"""Download: every source's text as documents files, each record accounted for.

    files ──────────────────────────┐
    http ──▶ fetched/00-00000.raw ──┼──▶ documents/00-00000.arrow, 00-00001.arrow, 01-00000 ...
    hub, docstrings ────────────────┘

How each type of source is read is told in `tasks/sources/`. Files of a source are numbered in
the order of their digests, so a renamed file changes nothing.
"""

import logging
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tasks.config import Config
from tasks.config.corpus import AnySource, source_names
from tasks.costs import CorpusSize, Estimate, cost_of_text
from tasks.engine.ledger import Ledger
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.units import StoredFile, UnitResult
from tasks.errors import UserError
from tasks.sources.summaries import SourceSummary
from tasks.sources.table import open_sources

log = logging.getLogger(__name__)


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


def check_sources(config: Config) -> None:
    """Refuse a corpus of which a source's files are not there.

    Raises:
        UserError: says which.
    """
    for source in open_sources(config.corpus):
        source.check()


def outside_files(corpus: CorpusSlice) -> dict[str, StoredFile]:
    """What all sources read from outside, by content; labels say how it is read."""
    found: dict[str, StoredFile] = {}
    for source in open_sources(corpus.sources):
        found |= source.externals()
    return found


def run(context: StageContext[CorpusSlice]) -> StageReport:
    """Read every source; raises `UserError` if no text was found at all."""
    corpus = context.config.sources
    results: list[UnitResult] = []
    described: list[dict[str, Any]] = []
    files: list[dict[str, Any]] = []
    for source, name in zip(open_sources(corpus), source_names(corpus), strict=True):
        found = source.read(context.map)
        ledger = Ledger.total(unit.ledger for unit in found.units)
        described.append(SourceSummary.of_units(name, source.config.type, found.units).to_json())
        files += [file | {"source": name} for file in found.files]
        results += found.units
        log.debug("download: %s: %s", name, ledger.to_json())
        if not ledger["documents"].kept:
            log.warning("download: the source %s has no text", name)
    total = Ledger.total(unit.ledger for unit in results)
    if not total["documents"].kept:
        raise UserError(
            f"the corpus is empty: {total['documents'].taken:,} records were found and none "
            "holds text. Check the sources' `paths`, `text_field` and `separator`."
        )
    return StageReport(total, {"sources": described, "files": files}, headline=_headline(total))


def _headline(ledger: Ledger) -> str:
    return f"{ledger['documents'].kept:,} documents, {ledger['bytes'].kept:,} bytes"


def estimate(config: Config, size: CorpusSize) -> Estimate:
    """Documents are kept compressed."""
    return cost_of_text(size, config, mb_per_second=8.0, disk_share=0.45)


DOWNLOAD = Stage(
    name="download",
    number=1,
    version=4,
    needs=(),
    config=corpus_slice,
    run=run,
    externals=outside_files,
    check=check_sources,
    estimate=estimate,
    libraries=("charset-normalizer", "unicode", "pyarrow"),
)
