"""Sources of type `http`: files are fetched first, each in a unit, and read as local ones are.

What was fetched once stays and is not asked for again, so its bytes are no part of the stage's
key; a digest in the config is.
"""

from urllib.parse import unquote, urlsplit

from tasks.config.corpus import HttpSource
from tasks.engine.units import StoredFile, Unit
from tasks.formats.source_files import describe, endings_file, in_order, reading_options
from tasks.formats.table import refuse_unread
from tasks.sources.fetching import RAW, RetryPolicy, fetch
from tasks.sources.read_files import read_in_units
from tasks.sources.sizes import Size, guessed
from tasks.sources.source import RunUnits, SourceResult, TextSource


class WebFiles(TextSource[HttpSource]):
    """Files at http(s) addresses."""

    def externals(self) -> dict[str, StoredFile]:
        """What endings mean, as the files are not there yet; those of no text are refused now."""
        if self.config.format != "auto":
            return {}
        for remote in self.config.urls:
            refuse_unread(path_of(remote.url), remote.url)
        return {f"{self.prefix} endings": endings_file()}

    def read(self, run_units: RunUnits) -> SourceResult:
        """Fetch, look at, and read them."""
        policy = RetryPolicy.of(self.config)
        policy.access()
        units = [
            Unit(f"fetched/{self.prefix}-{number:05}", {"remote": remote, "patience": policy})
            for number, remote in enumerate(self.config.urls)
        ]
        fetched = run_units(fetch, units, outputs=False)
        options = reading_options(self.config)
        files = in_order(
            describe(remote.url, result.files[RAW], options, path_of(remote.url))
            for remote, result in zip(self.config.urls, fetched, strict=True)
        )
        return read_in_units(files, self.documents_label, run_units)

    def estimate(self) -> Size:
        """By the sizes that the config says."""
        return guessed(sum(file.bytes or 0 for file in self.config.urls))


def path_of(url: str) -> str:
    """The path in an address, whose ending says what the file is: a query is no part of it."""
    return unquote(urlsplit(url).path)
