"""A web server with one file, which fails as often as it is told to."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "HttpSource"

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server asks for
        source, self.close_connection = self.server, True
        how = source.next_failure()
        if how == "500":
            self.send_response(500)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        body = source.body[start:]
        self.send_response(206 if start else 200)
        if start:
            span = f"bytes {start}-{len(source.body) - 1}/{len(source.body)}"
            self.send_header("Content-Range", span)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"v1"')
        self.end_headers()
        if how is None:
            self.wfile.write(body)
            return
        self.wfile.write(body[: int(len(body) * source.share)])
        self.wfile.flush()
        if how == "silent":
            source.ended.wait(source.seconds)
        elif how == "reset":
            # Lingering for zero seconds makes the kernel send RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def finish(self) -> None:
        """A connection that was reset cannot be flushed."""
        if self.connection.fileno() >= 0:
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


class HttpSource(ThreadingHTTPServer):
    """Serves one body under every address.

    Attributes:
        body: What it serves.
        share: How much of it is sent before a failure.
        seconds: How long it is silent where that is the failure.
        num_failures: How often it has failed.
    """

    daemon_threads = True

    def __init__(self, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body, self.share, self.seconds = body, 1.0, 0.0
        self.ended = threading.Event()
        self.num_failures = 0
        self._failures: list[str] = []
        self._lock = threading.Lock()

    def url(self) -> str:
        """The address of its file."""
        return f"http://127.0.0.1:{self.server_port}/letters.jsonl"

    def fail(self, how: str, times: int, share: float, seconds: float) -> None:
        """Fail at the next so many requests."""
        with self._lock:
            self._failures = [how] * times
            self.share, self.seconds, self.num_failures = share, seconds, 0

    def next_failure(self) -> str | None:
        """How to fail now, or None."""
        with self._lock:
            if not self._failures:
                return None
            self.num_failures += 1
            return self._failures.pop()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is part of it."""


@contextmanager
def http_source(body: bytes) -> Iterator[HttpSource]:
    """A running one."""
    source = HttpSource(body)
    thread = threading.Thread(target=source.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield source
    finally:
        source.ended.set()
        source.shutdown()
        thread.join()
        source.server_close()
