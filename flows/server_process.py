"""The embedded Prefect server's own process: `python -m flows.server_process`.

It prints its port when it is ready and ends when its stdin ends, that is with its parent.
"""

import os
import signal
import socket
import sys
import threading
import time

import uvicorn

_GRACE_SECONDS = 10.0


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            print(sockets[0].getsockname()[1], flush=True)


def _end_with_parent() -> None:
    """Wait for the end of stdin, then stop: gracefully, and if that takes long, at once."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    os._exit(1)


def main() -> None:
    """Serve the Prefect API on a free port of this machine until stdin ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(
            "prefect.server.api.server:create_app",
            factory=True,
            log_level="error",
            lifespan="on",
            timeout_graceful_shutdown=3,
        )
        _Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
