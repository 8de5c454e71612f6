"""The source types: which class reads each. One table, and nothing beside it."""

from collections.abc import Sequence
from typing import Any

from tasks.config.corpus import AnySource
from tasks.sources.docstrings import InstalledDocstrings
from tasks.sources.hub import HubDataset
from tasks.sources.local_files import LocalFiles
from tasks.sources.sizes import Size
from tasks.sources.source import TextSource
from tasks.sources.web_files import WebFiles

# By the name that the config's `type` calls it; its fields are in `tasks/config/corpus.py`.
SOURCES: dict[str, type[TextSource[Any]]] = {
    "files": LocalFiles,
    "http": WebFiles,
    "hub": HubDataset,
    "docstrings": InstalledDocstrings,
}


def open_sources(corpus: Sequence[AnySource]) -> list[TextSource[Any]]:
    """The sources of a corpus in its order, ready to be read."""
    return [SOURCES[source.type](source, index) for index, source in enumerate(corpus)]


def estimate_corpus(corpus: Sequence[AnySource]) -> Size:
    """Estimated documents and UTF-8 bytes of text of all sources together.

    Remote sources of unknown size count as nothing.

    Raises:
        UserError: a local file is missing or cannot be read as configured.
    """
    sizes = [source.estimate() for source in open_sources(corpus)]
    return {measure: sum(size[measure] for size in sizes) for measure in ("documents", "bytes")}


def try_out_corpus(corpus: Sequence[AnySource]) -> None:
    """Read the beginnings of some of the files, so that a wrong field is told before any work.

    Raises:
        UserError: a local file cannot be read as configured.
    """
    for source in open_sources(corpus):
        source.try_out()
