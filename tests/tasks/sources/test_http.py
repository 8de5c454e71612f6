"""Fetching from real servers that misbehave: every turn ends in the right bytes or a reason."""

import gzip
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from file_server import BODY, Handler, Server, always_whole, cut_off, status, whole

from tasks.config.corpus import HttpSource, RemoteFile
from tasks.engine.units import UnitWork
from tasks.errors import StageError, UserError
from tasks.sources.fetching import RetryPolicy, fetch
from tasks.sources.http_answers import Access

SHA256 = hashlib.sha256(BODY).hexdigest()


def get(url: str, tmp_path: Path, attempts: int = 4, **known: Any) -> bytes:
    source = HttpSource(
        urls=({"url": url, **known},), attempts=attempts, backoff_seconds=0.01, timeout_seconds=2
    )
    work = UnitWork("fetched", tmp_path / f"work-{time.monotonic_ns()}")
    fetch(work, remote=source.urls[0], patience=RetryPolicy.of(source))
    return work.path(".raw").read_bytes()


def test_a_file_is_fetched_whole_and_nothing_stays_in_the_cache(
    server: Server, tmp_path: Path
) -> None:
    """One request, the right bytes, no partial file left."""
    assert get(server.url(), tmp_path, sha256=SHA256, bytes=len(BODY)) == BODY
    assert len(server.requests) == 1
    assert not list((tmp_path / "cache").rglob("*.part"))


@pytest.mark.parametrize("code", [500, 502, 503, 429, 408])
def test_passing_troubles_are_waited_out(code: int, server: Server, tmp_path: Path) -> None:
    """Two refusals, then the file."""
    server.script = [status(code), status(code), whole]
    assert get(server.url(), tmp_path) == BODY
    assert len(server.requests) == 3


def test_a_server_that_never_recovers_ends_in_a_stage_error(server: Server, tmp_path: Path) -> None:
    """Exactly the configured attempts; the message has the address, the count and the cause."""
    server.script = [status(500)]
    with pytest.raises(StageError, match=r"data.txt: given up after 3 attempts.*500 Internal"):
        get(server.url(), tmp_path, attempts=3)
    assert len(server.requests) == 3


def test_retry_after_is_honoured(server: Server, tmp_path: Path) -> None:
    """The server's wish counts when it is longer than our own wait."""
    server.script = [status(503, Retry_After="1"), whole]
    start = time.monotonic()
    assert get(server.url(), tmp_path) == BODY
    assert time.monotonic() - start >= 1.0


def test_a_cut_line_is_resumed_where_it_broke(server: Server, tmp_path: Path) -> None:
    """The second request asks for the rest of the same version only."""
    server.script = [cut_off(300_000), whole]
    assert get(server.url(), tmp_path) == BODY
    assert server.requests[1]["range"] == "bytes=300000-"
    assert server.requests[1]["if-range"] == '"v1"'


def test_a_line_that_breaks_often_but_moves_on_is_not_given_up(
    server: Server, tmp_path: Path
) -> None:
    """Attempts count only while nothing new arrives."""

    def a_little_more(handler: Handler) -> None:
        start = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if not start:
            cut_off(100_000)(handler)
            return
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
        handler.send_header("Content-Length", str(len(BODY) - start))
        handler.end_headers()
        handler.wfile.write(BODY[start : start + 100_000])

    server.script = [a_little_more]
    assert get(server.url(), tmp_path, attempts=2) == BODY
    assert len(server.requests) > 5


def test_a_file_that_changed_meanwhile_is_fetched_from_the_start(
    server: Server, tmp_path: Path
) -> None:
    """Two versions are never joined: If-Range makes the server send all of the new one."""
    server.script = [cut_off(300_000, b"old" * 300_000, '"v0"'), whole]
    assert get(server.url(), tmp_path) == BODY
    assert server.requests[1]["if-range"] == '"v0"'


def test_a_server_without_range_sends_all_again(server: Server, tmp_path: Path) -> None:
    """A 200 to a Range request replaces what had arrived."""
    server.script = [cut_off(300_000), always_whole]
    assert get(server.url(), tmp_path) == BODY


def test_without_proof_of_sameness_nothing_is_joined(server: Server, tmp_path: Path) -> None:
    """No ETag, no date and no digest: the second request is for the whole file."""
    server.script = [cut_off(300_000, etag=None), whole]
    assert get(server.url(), tmp_path) == BODY
    assert "range" not in server.requests[1]


def test_wrong_bytes_are_fetched_once_more_and_then_refused(server: Server, tmp_path: Path) -> None:
    """One wrong copy may be an accident; two are an answer. Nothing wrong stays behind."""
    wrong = lambda handler: handler.send(200, BODY[:-1] + b"X")  # noqa: E731
    server.script = [wrong, whole]
    assert get(server.url(), tmp_path, sha256=SHA256) == BODY
    server.script = [wrong]
    with pytest.raises(StageError, match=r"fetched twice in full, and both times its SHA-256 is"):
        get(server.url(), tmp_path, sha256=SHA256)
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_a_size_that_differs_from_the_configured_one_is_refused(
    server: Server, tmp_path: Path
) -> None:
    """`bytes` is checked even when the server's own length is consistent."""
    with pytest.raises(StageError, match=f"it has {len(BODY):,} bytes instead of 7"):
        get(server.url(), tmp_path, bytes=7)
    assert len(server.requests) == 1, "asking again cannot heal it"


@pytest.mark.parametrize(
    ("code", "advice"), [(404, "Correct the address"), (403, "headers_from_env"), (401, "key")]
)
def test_refusals_are_the_users_mistake_at_once(
    code: int, advice: str, server: Server, tmp_path: Path
) -> None:
    """No retry can help, so there is none."""
    server.script = [status(code)]
    with pytest.raises(UserError, match=rf"answered {code} .*{advice}"):
        get(server.url(), tmp_path)
    assert len(server.requests) == 1


def test_a_dead_host_ends_in_a_stage_error(tmp_path: Path) -> None:
    """Nobody listens: the cause is named after the attempts."""
    with pytest.raises(StageError, match=r"given up after 2 attempts.*ConnectError"):
        get("http://127.0.0.1:9/x", tmp_path, attempts=2)


def test_a_secret_that_is_repeated_is_not_shown_however_it_is_spelled() -> None:
    """A server that quotes the address it was asked for quotes what was in its query."""
    secret = "p/w &é+"
    access = Access({}, {"key": secret}, 5.0)
    for spelled in (secret, quote(secret, safe=""), quote_plus(secret)):
        assert access.redacted(f"no such file: /a?key={spelled}") == "no such file: /a?key=***"


def test_secrets_reach_their_host_only_and_are_shown_nowhere(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The header is sent, dropped on a redirect to another host, and no error repeats it."""
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    other = f"http://localhost:{server.server_port}/elsewhere"
    server.script = [lambda handler: handler.send(302, Location=other), status(403)]
    source = HttpSource(urls=(server.url(),), headers_from_env={"X-Key": "MY_TOKEN"})
    with pytest.raises(UserError) as caught:
        fetch(UnitWork("f", tmp_path / "w"), remote=source.urls[0], patience=RetryPolicy.of(source))
    assert [request.get("X-Key") for request in server.requests] == ["s3cret", None]
    assert "s3cret" not in str(caught.value) + repr(RetryPolicy.of(source))
    monkeypatch.delenv("MY_TOKEN")
    with pytest.raises(UserError, match="environment variable MY_TOKEN is not set"):
        RetryPolicy.of(source).access()


def test_redirects_to_other_schemes_are_refused(server: Server, tmp_path: Path) -> None:
    """A server must not be able to point at this machine's files."""
    server.script = [lambda handler: handler.send(302, Location="file:///etc/passwd")]
    with pytest.raises(UserError, match="redirects to file:"):
        get(server.url(), tmp_path)


def test_compressed_bodies_are_kept_as_sent(server: Server, tmp_path: Path) -> None:
    """A `.gz` file that a server labels as encoded is stored as the file it is."""
    packed = gzip.compress(BODY, mtime=0)
    server.script = [lambda handler: handler.send(200, packed, Content_Encoding="gzip")]
    assert get(server.url("/data.txt.gz"), tmp_path) == packed


KILLED = """
import sys
from pathlib import Path
from tasks.config.corpus import HttpSource
from tasks.engine.units import UnitWork
from tasks.sources.fetching import RetryPolicy, fetch
source = HttpSource(urls=(sys.argv[1],))
fetch(UnitWork("f", Path(sys.argv[2])), remote=source.urls[0], patience=RetryPolicy.of(source))
"""


def test_a_killed_fetch_goes_on_in_the_next_process(server: Server, tmp_path: Path) -> None:
    """The partial file outlives `kill -9`; only the rest is asked for."""
    half_sent = threading.Event()

    def stall(handler: Handler) -> None:
        cut_off(500_000)(handler)
        handler.wfile.flush()
        half_sent.set()
        time.sleep(3)

    server.script = [stall, whole]
    script = [sys.executable, "-c", KILLED, server.url(), str(tmp_path / "killed")]
    partial = tmp_path / "cache" / "http"
    with subprocess.Popen(script, cwd=Path(__file__).parents[3], env=dict(os.environ)) as process:
        assert half_sent.wait(30)
        while not any(path.stat().st_size == 500_000 for path in partial.glob("*.part")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert get(server.url(), tmp_path) == BODY
    assert server.requests[1]["range"] == "bytes=500000-"


def test_a_complete_partial_file_needs_no_further_byte(server: Server, tmp_path: Path) -> None:
    """Killed between the last byte and the move: the server's 416 says that it is whole."""
    server.script = [cut_off(len(BODY), BODY + b"x"), whole]
    assert get(server.url(), tmp_path) == BODY
    assert server.requests[1]["range"] == f"bytes={len(BODY)}-"


def test_an_address_with_a_password_is_refused_without_showing_it() -> None:
    """Manifests hold addresses, so secrets have no place in them."""
    with pytest.raises(ValueError, match="headers_from_env"):
        HttpSource(urls=(RemoteFile(url="https://me:s3cret@host/x"),))
