"""Log lines of every stage in the Prefect UI, whichever server there is and however it was started.

Prefect sends its own loggers' lines, and those of PREFECT_LOGGING_EXTRA_LOGGERS, which must be
set before it is imported: by whom, with a worker? So a run brings a handler of its own.
"""

import contextlib
import logging
from collections.abc import Iterator
from uuid import UUID

from prefect.context import TaskRunContext
from prefect.logging.handlers import APILogHandler

from flows.console import OURS

# Warnings come from anywhere in our packages; what tells how it goes, from some of them.
_ROOTS = ("flows", "tasks", "roberta_model")


class RunLogHandler(APILogHandler):
    """Sends our lines as lines of one run, and of its task where that is known."""

    def __init__(self, run: UUID) -> None:
        super().__init__()
        self.run = run
        self.addFilter(_is_not_sent_yet)

    def emit(self, record: logging.LogRecord) -> None:
        """Add what run and task it belongs to; threads of ours know neither."""
        record.flow_run_id = str(self.run)
        if (task := TaskRunContext.get()) is not None:
            record.task_run_id = str(task.task_run.id)
        super().emit(record)


def _is_not_sent_yet(record: logging.LogRecord) -> bool:
    """Whether none of Prefect's own handlers is on a line's way."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None:
        for handler in logger.handlers:
            if isinstance(handler, APILogHandler) and not isinstance(handler, RunLogHandler):
                return False
        logger = logger.parent if logger.propagate else None
    return True


@contextlib.contextmanager
def lines_of_run(run: UUID) -> Iterator[None]:
    """Send the log lines that a terminal would show to the run's page while the block runs."""
    handler = RunLogHandler(run)
    before = {name: logging.getLogger(name).level for name in OURS}
    for name in OURS:
        if logging.getLogger(name).getEffectiveLevel() > logging.INFO:
            logging.getLogger(name).setLevel(logging.INFO)
    for name in _ROOTS:
        logging.getLogger(name).addHandler(handler)
    try:
        yield
    finally:
        for name in _ROOTS:
            logging.getLogger(name).removeHandler(handler)
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
