"""A Prefect server's own process: `python -m flows.server_process [HOST PORT]`.

It prints its port when it is ready and ends when its stdin ends, that is with its parent. Port 0
takes a free one.
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


def end_with_parent() -> None:
    """Wait for the end of stdin, then stop: gracefully, and if that takes long, at once."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(host: str = "127.0.0.1", port: str = "0") -> None:
    """Serve the Prefect API until stdin ends."""
    end_with_parent()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, int(port)), family=family) as listening:
        config = uvicorn.Config(
            "flows.serving.pages:create_app",
            factory=True,
            log_level="error",
            lifespan="on",
            timeout_graceful_shutdown=3,
        )
        _Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main(*sys.argv[1:])
