"""A real S3 server on loopback, and faults on the way to it.

    store ── s3fs ── HTTP ──▶ proxy ── HTTP ──▶ moto, in a process of its own
                              │ throttle  503 SlowDown, the request is not passed on
                              │ error     500 InternalError, not passed on
                              │ cut       half of the request is read, then the connection ends
                              │ lost      passed on, then the connection ends without an answer
                              │ torn      passed on; half of the answer's body, then the end
                              └ slow      passed on; the answer's body in pieces, with pauses

Moto looks whether a file is there and then writes it, so two conditional puts could both win.
S3 takes one after the other; here the proxy does.
"""

import http.client
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BUCKET = "artifacts"
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
KINDS = ("throttle", "error", "cut", "lost", "torn", "slow")

Fault = Callable[[str, str], str | None]

_ERROR = (
    "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code>"
    "<Message>{message}</Message><RequestId>1</RequestId></Error>"
)
_SLOW_PIECES, _SLOW_SECONDS = 4, 0.05


def no_fault(method: str, path: str) -> str | None:
    """Everything passes."""
    return None


class S3Server:
    """The proxy and what lies behind it.

    Attributes:
        fault: Called with method and path of each request; the kind of fault it meets, or None.
        met: The faults that were met, in order.
    """

    def __init__(self, port: int) -> None:
        self.fault: Fault = no_fault
        self.met: list[str] = []
        self.requests = 0
        self.conditional = threading.Lock()
        handler = type("Handler", (_Handler,), {"owner": self, "behind": port})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def settings(self) -> dict[str, str]:
        """The environment of a process that uses this server."""
        return {**SETTINGS, "AWS_ENDPOINT_URL": self.endpoint}

    @contextmanager
    def faults(self, fault: Fault) -> Iterator[list[str]]:
        """Let requests meet faults inside the `with` block; yields those that were met."""
        self.met, self.fault = [], fault
        try:
            yield self.met
        finally:
            self.fault = no_fault

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: S3Server
    behind: int
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nothing to say."""

    def _any(self) -> None:
        owner = self.owner
        owner.requests += 1
        fault = owner.fault(self.command, self.path)
        if fault is not None:
            owner.met.append(fault)
        size = int(self.headers.get("Content-Length", 0))
        if fault == "cut":
            self.rfile.read(size // 2)
            self._end()
            return
        body = self.rfile.read(size)
        if fault == "throttle":
            self._refuse(503, "SlowDown", "Please reduce your request rate.")
        elif fault == "error":
            self._refuse(500, "InternalError", "We encountered an internal error.")
        else:
            self._pass_on(body, fault)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _any  # noqa: N815

    def _end(self) -> None:
        self.close_connection = True

    def _refuse(self, status: int, code: str, message: str) -> None:
        content = _ERROR.format(code=code, message=message).encode()
        if self.command == "HEAD":
            content = b""
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _ask(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.behind, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name != "Expect"}
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def _pass_on(self, body: bytes, fault: str | None) -> None:
        if self.headers.get("If-None-Match"):
            with self.owner.conditional:
                answer, content = self._ask(body)
        else:
            answer, content = self._ask(body)
        if fault == "lost":
            self._end()
            return
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        size = answer.getheader("Content-Length") if self.command == "HEAD" else len(content)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        if fault == "torn":
            self.wfile.write(content[: len(content) // 2])
            self._end()
        elif fault == "slow":
            piece = max(1, -(-len(content) // _SLOW_PIECES))
            for start in range(0, len(content), piece):
                time.sleep(_SLOW_SECONDS)
                self.wfile.write(content[start : start + piece])
        else:
            self.wfile.write(content)


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Start moto and the proxy, with one empty bucket."""
    moto = subprocess.Popen(
        [sys.executable, "-c", "from moto.server import main; main()", "-p", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert moto.stderr is not None
    try:
        for line in moto.stderr:
            if found := re.search(r"Running on http://127.0.0.1:(\d+)", line):
                break
        else:
            raise AssertionError("moto did not start")
        threading.Thread(target=_drain, args=(moto.stderr,), daemon=True).start()
        server = S3Server(int(found[1]))
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]))
        connection.request("PUT", f"/{BUCKET}")
        assert connection.getresponse().status == 200
        connection.close()
        yield server
        server.close()
    finally:
        moto.kill()
        moto.wait()
        with suppress(OSError):
            moto.stderr.close()


def _drain(stream: Any) -> None:
    with suppress(ValueError, OSError):
        for _ in stream:
            pass
