"""What the command writes to stderr: our own lines, and of libraries only what goes wrong.

Stages say when they start and end at INFO; that is what a person at a terminal, a log file and
the Prefect UI all show. How far they are is told by bars at a terminal, elsewhere by a line a
minute. Prefect's own chatter is for `--verbose`: a failed stage reaches the user as one
paragraph, not as Prefect's traceback.
"""

import logging
import os
import shutil
import sys
from typing import TextIO

from flows.terminal import printable

OURS = (
    *("flows", "tasks.engine", "tasks.formats", "tasks.sources"),
    *("tasks.stages", "tasks.training"),
)
_NOISY = ("httpcore", "asyncio", "aiosqlite", "fsspec", "matplotlib", "websockets")


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to `sys.stderr` as it is now: a progress bar replaces it to stay below the lines.

    Its name begins without `_`: Prefect replaces handlers whose names do by its own.
    """

    @property
    def stream(self) -> TextIO:
        """Where lines go now."""
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        """The base class sets it once; there is nothing to keep."""


class _Verbose(logging.Formatter):
    """All that is known of a line."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _Plain(logging.Formatter):
    """INFO as it is; what is worse begins with its level."""

    def format(self, record: logging.LogRecord) -> str:
        text = printable(record.getMessage())
        return text if record.levelno <= logging.INFO else f"{record.levelname.lower()}: {text}"


def configure_logging(verbose: bool) -> None:
    """Set up the root logger, once, for this process."""
    handler = StderrHandler()
    if sys.stderr.isatty():  # there the bars say it
        handler.addFilter(lambda record: record.name != "tasks.engine.progress")
    if verbose:
        handler.setFormatter(_Verbose("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        for noisy in _NOISY:
            logging.getLogger(noisy).setLevel(logging.INFO)
        # It logs whole addresses, and those that servers redirect to are signed.
        logging.getLogger("httpx").setLevel(logging.WARNING)
    else:
        handler.setFormatter(_Plain())
        handler.addFilter(lambda record: not record.name.startswith("prefect"))
        for ours in OURS:
            logging.getLogger(ours).setLevel(logging.INFO)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, handlers=[handler])


def command_name() -> str:
    """What to type for `roberta` here: its path, as it was typed, where the shell has no such."""
    typed = sys.argv[0]
    if os.path.basename(typed) != "roberta":
        return "roberta"
    found = shutil.which("roberta")
    is_found = found is not None and os.path.realpath(found) == os.path.realpath(typed)
    return "roberta" if is_found else typed
