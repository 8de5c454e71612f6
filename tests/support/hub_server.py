"""A hub on loopback that takes a repository and commits to it, as huggingface.co's API does."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import pytest


class Hub:
    """What it was asked for.

    Attributes:
        url: Where it listens.
        made: The requests that make a repository.
        files: What was committed, by path.
        parents: Of each commit the one that it says it follows.
        revisions: Of which its files were read.
        tokens: With which it was asked.
        refuses: Whether it takes no commit.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.made: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.parents: list[str | None] = []
        self.revisions: set[str] = set()
        self.tokens: set[str | None] = set()
        self.refuses = False

    @property
    def commit(self) -> str:
        """The newest one."""
        return str(len(self.parents)) * 40

    def answer(self, path: str, body: bytes) -> tuple[int, Any]:
        """Status and JSON of the answer to a request."""
        if path == "/api/repos/create":
            self.made.append(json.loads(body))
            return 200, {"url": f"{self.url}/us/model", "name": "us/model", "id": "1"}
        if "/preupload/" in path:
            asked = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": "regular"} for f in asked]
            return 200, {"files": [{**mode, "shouldIgnore": False} for mode in modes]}
        if "/commit/" in path:
            if self.refuses:
                return 403, {"error": "no"}
            for line in map(json.loads, body.decode().splitlines()):
                value = line["value"]
                if line["key"] == "header":
                    if value.get("parentCommit") not in (None, self.commit):
                        return 412, {"error": "somebody was here before"}
                    self.parents.append(value.get("parentCommit"))
                elif line["key"] == "file":
                    self.files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "deletedFile":
                    del self.files[value["path"]]
            return 200, {"commitUrl": f"{self.url}/us/model/commit/1", "commitOid": "1"}
        siblings = [{"rfilename": name, "size": len(self.files[name])} for name in self.files]
        return 200, {"id": "us/model", "sha": self.commit, "siblings": siblings, "name": "us"}


@contextmanager
def hub_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that the library takes for the real one while the block runs."""
    from huggingface_hub import constants

    hub = Hub("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hub.tokens.add(self.headers.get("authorization"))
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, kind = 200, "application/octet-stream"
            _, *asked = re.split(f"/resolve/(main|{hub.commit})/", self.path)
            if asked:
                revision, name = asked
                hub.revisions.add(revision)
                content = hub.files[unquote(name)]
            else:
                status, value = hub.answer(self.path, body)
                content, kind = json.dumps(value).encode(), "application/json"
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            self.send_header("x-repo-commit", hub.commit)
            self.send_header("etag", hashlib.sha1(content).hexdigest())
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
