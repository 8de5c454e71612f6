"""The workers of a whole run: started when a stage first needs them, and kept for the next."""

from typing import Self

from tasks.config import EngineConfig
from tasks.engine.computing import flush_units
from tasks.engine.executors import Workers, default_workers
from tasks.engine.pools import InlinePool, Pool, ProcessPool


class Workforce:
    """The pools that a run's stages map their units over; a context manager that ends them.

    Args:
        engine: Where units run.
    """

    def __init__(self, engine: EngineConfig) -> None:
        self.engine = engine
        self._workers: dict[int, Workers] = {}

    def workers(self, wanted: int | None, num_units: int) -> Workers:
        """Those for a map of so many units; all maps that want the same have the same.

        `wanted: 1` asks for this process, whatever the engine: it has all of the machine's cores.
        """
        if self.engine.kind == "dask":
            count, limit = wanted or 0, wanted
        else:
            count, limit = wanted or self.engine.workers or default_workers(), None
            count = count if num_units > 1 else 1
        if count not in self._workers:
            pool = InlinePool() if count == 1 else _make_pool(self.engine, count)
            self._workers[count] = Workers(pool, limit, flush_units)
        return self._workers[count]

    def close(self) -> None:
        """End the worker processes; they are started again when needed."""
        for workers in self._workers.values():
            workers.close()
        self._workers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()


def _make_pool(engine: EngineConfig, count: int) -> Pool:
    """The pool that a config asks for.

    Args:
        engine: Which kind.
        count: Processes of a local pool; with one, calls run in this process.

    Raises:
        UserError: its packages are not installed, or its scheduler does not answer.
    """
    if engine.kind == "dask":
        from tasks.engine.dask_pool import DaskPool

        assert engine.address is not None, "the config's own check"
        return DaskPool(engine.address)
    return InlinePool() if count == 1 else ProcessPool(count)
