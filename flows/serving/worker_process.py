"""The worker's own process: `python -m flows.serving.worker_process POOL NAME`.

A Prefect process worker: it asks for runs that are due and starts each as a process. It prints a
line when it is at work and ends when its stdin ends, that is with its parent; the runs it has
started then write a checkpoint and end too.
"""

import signal
import sys

import anyio

from flows.server_process import end_with_parent


async def _work(pool: str, name: str) -> None:
    from prefect.workers.process import ProcessWorker

    worker = ProcessWorker(work_pool_name=pool, name=name, create_pool_if_not_found=False)
    async with anyio.create_task_group() as group:
        group.start_soon(_until_told, group.cancel_scope)
        await worker.start(printer=lambda line: print(line, flush=True))
        group.cancel_scope.cancel()


async def _until_told(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as told:
        async for _ in told:
            scope.cancel()
            return


def main(pool: str, name: str) -> None:
    """Work until stdin ends or a signal comes."""
    end_with_parent()
    anyio.run(_work, pool, name)


if __name__ == "__main__":
    main(*sys.argv[1:])
