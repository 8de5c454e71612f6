"""Units on a Dask cluster: a plain `dask scheduler`, and `dask worker`s that come and go.

    driver ── batches ──▶ scheduler ──▶ worker: computes, checks, hashes, puts into the store
       ▲                                   │
       └── what was computed (no bytes) ───┘

Dask gives a task whose worker died to another worker by itself, up to its own
`distributed.scheduler.allowed-failures` times. A task that took so many workers with it comes
back as `KilledWorker`: a lost worker like any other, so its calls run once more, alone.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any

from tasks.engine.pools import WorkerDiedError
from tasks.errors import StageError, UserError

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 15
_LOOK_SECONDS = 1.0


class DaskPool:
    """A connection to a scheduler; see `Pool`.

    Args:
        address: Such as `tcp://10.0.0.1:8786`.

    Raises:
        UserError: distributed is not installed, or nothing answers there.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._client, self._lost = _connect(address)
        self._executor = self._client.get_executor(pure=False)
        self._slots, self._looked = 0, 0.0
        if not self._threads():
            log.warning("no worker is connected to %s yet; waiting for one", address)

    def _threads(self) -> int:
        """The threads of all workers now, from a look at most a second old."""
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            with contextlib.suppress(OSError, TimeoutError):  # a lost scheduler ends the calls
                self._slots = sum(self._client.nthreads().values())
            self._looked = time.monotonic()
        return self._slots

    def slots(self) -> int:
        """The threads of all workers; at least one, for the worker that may come."""
        return max(1, self._threads())

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Hand a call to the scheduler."""
        future: Future[Any] = self._executor.submit(function, *arguments)
        return future

    def problem(self, future: "Future[Any]") -> BaseException | None:
        """What the call raised; calls that killed their workers are lost."""
        try:
            problem = future.exception()
        except CancelledError:
            return StageError(
                f"the Dask scheduler at {self.address} ended or cannot be reached any more. "
                "Finished units are kept; start it again and run the same command again."
            )
        return WorkerDiedError(str(problem)) if isinstance(problem, self._lost) else problem

    def close(self) -> None:
        """Leave the scheduler; its workers are not ours."""
        self._client.close()

    def kill(self) -> None:
        """Call off what waits. What runs may end: it can put its files, but records nothing."""
        self._executor.shutdown(wait=False)
        self._executor = self._client.get_executor(pure=False)


def _connect(address: str) -> tuple[Any, type[BaseException]]:
    try:
        from distributed import Client, KilledWorker
    except ImportError as problem:
        raise UserError(
            "engine.kind: dask needs the package distributed, which is not installed here. "
            "Install it with `make setup EXTRAS=dask` or `pip install distributed`, or leave "
            "engine.kind at local."
        ) from problem
    try:
        return Client(address, timeout=_CONNECT_SECONDS, set_as_default=False), KilledWorker
    except (OSError, TimeoutError, ValueError) as problem:
        raise UserError(
            f"engine.address: no Dask scheduler answers at {address}: {problem}. Start one with "
            "`dask scheduler` and workers with `dask worker ADDRESS --nthreads 1`, both from "
            "this environment, and give the address that the scheduler prints."
        ) from problem
