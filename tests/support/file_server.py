"""A real HTTP server on loopback that serves one file, well or in a scripted bad way."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BODY = b"".join(b"line %d of the remote file\n" % n for n in range(40_000))


class Handler(BaseHTTPRequestHandler):
    """Answers each request by the next step of the server's script, the last one for ever."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server asks for
        server = self.server
        server.requests.append(dict(self.headers))
        step = server.script[min(len(server.requests), len(server.script)) - 1]
        self.close_connection = True
        step(self)

    def log_message(self, format: str, *args: Any) -> None:
        """Tests stay quiet."""

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        headers.setdefault("Content_Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Callable[[Handler], None]] = [whole]
        self.requests: list[dict[str, str]] = []

    def url(self, path: str = "/data.txt") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is part of these tests."""


def whole(handler: Handler) -> None:
    """A good server, which honours Range and If-Range."""
    wanted = handler.headers.get("Range")
    if wanted and handler.headers.get("If-Range", '"v1"') == '"v1"':
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(BODY):
            handler.send(416, Content_Range=f"bytes */{len(BODY)}", ETag='"v1"')
            return
        span = f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
        handler.send(206, BODY[start:], Content_Range=span, ETag='"v1"')
    else:
        handler.send(200, BODY, ETag='"v1"')


def status(code: int, **headers: str) -> Callable[[Handler], None]:
    return lambda handler: handler.send(code, b"sorry", **headers)


def cut_off(size: int, body: bytes = BODY, etag: str | None = '"v1"') -> Callable[[Handler], None]:
    """Promises the whole file and closes the line after `size` bytes."""

    def step(handler: Handler) -> None:
        headers = {"ETag": etag} if etag else {}
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body[:size])

    return step


def always_whole(handler: Handler) -> None:
    """A server that knows nothing of Range."""
    handler.send(200, BODY)


@contextmanager
def running_server() -> Iterator[Server]:
    """A server while the block runs."""
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield running
    finally:
        running.shutdown()
        running.server_close()
        thread.join()
