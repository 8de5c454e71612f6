"""Fetching, rule by rule: waits, limits, digests, and what is known of a partial file."""

import fcntl
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from file_server import BODY, Handler, Server, cut_off, status, whole

from tasks.config.corpus import HttpSource
from tasks.engine.identity import digest_of
from tasks.engine.units import UnitWork
from tasks.errors import StageError, TransientError, UserError
from tasks.sources.fetching import Partial, RetryPolicy, fetch

SHA256 = hashlib.sha256(BODY).hexdigest()


def policy(**options: Any) -> RetryPolicy:
    return RetryPolicy.of(HttpSource(urls=("https://host/a",), **options))


def get(server: Server, folder: Path, known: Any = None, **options: Any) -> bytes:
    """What is fetched; `known` is said of the file, `options` of the source."""
    options = {"attempts": 2, "backoff_seconds": 0, "timeout_seconds": 5, **options}
    source = HttpSource(urls=({"url": server.url(), **(known or {})},), **options)
    work = UnitWork("f", folder / "work")
    report = fetch(work, remote=source.urls[0], patience=RetryPolicy.of(source))
    content = work.path(".raw").read_bytes()
    assert report.summary == {"url": server.url(), "bytes": len(content)}
    return content


def left(folder: Path) -> list[str]:
    """What stays in the cache besides locks."""
    return sorted(
        path.suffix for path in (folder / "cache/http").iterdir() if path.suffix != ".lock"
    )


def test_waits_double_from_the_first_up_to_a_minute() -> None:
    patient = policy(backoff_seconds=1.0)
    waits = [patient.wait_seconds(failures, None) for failures in range(1, 9)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_the_servers_wish_counts_where_it_is_longer_up_to_ten_minutes() -> None:
    patient = policy(backoff_seconds=4.0)
    wishes = (0.0, 3.0, 5.0, 600.0, 601.0, 1e9)
    assert [patient.wait_seconds(1, wish) for wish in wishes] == [4, 4, 5, 600, 600, 600]


def test_how_a_file_is_asked_for_is_no_part_of_what_it_is() -> None:
    identities = [digest_of(policy(attempts=attempts)) for attempts in (1, 2)]
    assert identities[0] == identities[1]


def test_the_values_of_variables_are_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without white space around them, as files of secrets have it."""
    monkeypatch.setenv("MY_KEY", " \tBearer a~ b!\r\n")
    monkeypatch.setenv("MY_SIG", "s")
    access = policy(
        headers_from_env={"X-Key": "MY_KEY"},
        query_from_env={"sig": "MY_SIG"},
        timeout_seconds=7,
        private_redirects=True,
    ).access()
    assert access.headers == {"X-Key": "Bearer a~ b!"}
    assert access.query == {"sig": "s"}
    assert (access.timeout_seconds, access.private_redirects) == (7, True)


@pytest.mark.parametrize("value", [" ", "a\x7fb", "a\nb", "a\x1fb", "aéb", "\u2028"])
def test_what_no_header_can_carry_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(UserError, match="MY_KEY, which the source's `headers_from_env` names"):
        policy(headers_from_env={"X-Key": "MY_KEY"}).access()


@pytest.mark.parametrize("most", [len(BODY), len(BODY) - 1])
@pytest.mark.parametrize("says_its_length", [True, False])
def test_a_file_may_be_of_just_the_largest_size(
    most: int, says_its_length: bool, server: Server, tmp_path: Path
) -> None:
    def unsaid(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(BODY)

    server.script = [whole if says_its_length else unsaid]
    if most == len(BODY):
        assert get(server, tmp_path, max_file_bytes=most) == BODY
        return
    with pytest.raises(UserError, match=f"larger than {most:,} bytes"):
        get(server, tmp_path, max_file_bytes=most)
    assert left(tmp_path) == []


def test_a_file_whose_size_is_known_may_be_larger_than_others(
    server: Server, tmp_path: Path
) -> None:
    assert get(server, tmp_path, {"bytes": len(BODY)}, max_file_bytes=1) == BODY


@pytest.mark.parametrize("off", [-1, 1])
def test_a_length_that_is_not_the_known_one_is_refused_before_a_byte_is_taken(
    off: int, server: Server, tmp_path: Path
) -> None:
    """Less is as wrong as more."""
    server.script = [lambda handler: handler.send(200, BODY[:10], Content_Length="10")]
    with pytest.raises(StageError, match=f"it has 10 bytes instead of {10 + off}"):
        get(server, tmp_path, {"bytes": 10 + off})
    assert len(server.requests) == 1


def body_of(content: bytes) -> Any:
    """An answer that says nothing of its length."""

    def step(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("ETag", '"v1"')
        handler.end_headers()
        handler.wfile.write(content)

    return step


def test_a_body_shorter_than_the_known_size_is_no_whole_file(
    server: Server, tmp_path: Path
) -> None:
    """The server does not say that anything is missing."""
    server.script = [body_of(BODY[:100]), whole]
    assert get(server, tmp_path, {"bytes": len(BODY)}) == BODY
    assert [request.get("range") for request in server.requests] == [None, "bytes=100-"]


def test_a_body_shorter_than_the_server_says_is_no_whole_file(
    server: Server, tmp_path: Path
) -> None:
    """Though nothing is known of it beforehand, and the line ends in good order."""

    def short(handler: Handler) -> None:
        start = len(BODY) // 2
        span = f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
        handler.send(206, BODY[start : start + 5], Content_Range=span, ETag='"v1"')

    server.script = [cut_off(len(BODY) // 2), short, whole]
    assert get(server, tmp_path) == BODY
    assert len(server.requests) == 3


def test_a_digest_is_compared_in_full(server: Server, tmp_path: Path) -> None:
    """One that differs in its last digit is another; both times it is told."""
    other = SHA256[:-1] + ("0" if SHA256[-1] != "0" else "1")
    with pytest.raises(StageError, match=f"its SHA-256 is {SHA256} instead of {other}"):
        get(server, tmp_path, {"sha256": other})
    assert len(server.requests) == 2
    assert left(tmp_path) == []


def test_a_wrong_file_is_forgotten_before_it_is_asked_for_again(
    server: Server, tmp_path: Path
) -> None:
    """Else the second try would only be told that nothing is missing."""
    server.script = [lambda handler: handler.send(200, BODY[:-1] + b"X", ETag='"v1"'), whole]
    assert get(server, tmp_path, {"sha256": SHA256}) == BODY
    assert "Range" not in server.requests[1]
    assert "range" not in server.requests[1]


def test_with_a_digest_a_file_is_gone_on_with_though_nothing_names_its_version(
    server: Server, tmp_path: Path
) -> None:
    server.script = [cut_off(300_000, etag=None), whole]
    assert get(server, tmp_path, {"sha256": SHA256}) == BODY
    assert server.requests[1]["range"] == "bytes=300000-"
    assert "if-range" not in server.requests[1]


def test_an_answer_of_no_use_leaves_nothing_behind(server: Server, tmp_path: Path) -> None:
    """What had arrived is forgotten, and asked for from the start."""
    wrong = lambda handler: handler.send(206, b"x", Content_Range="bytes 5-5/6")  # noqa: E731
    server.script = [cut_off(300_000), wrong, whole]
    assert get(server, tmp_path, attempts=4) == BODY
    assert [request.get("range") for request in server.requests] == [None, "bytes=300000-", None]


def test_what_arrived_counts_against_the_limit(server: Server, tmp_path: Path) -> None:
    """A server that sends the rest of a larger file than it said."""
    half = len(BODY) // 2
    rest = lambda handler: handler.send(  # noqa: E731
        206, BODY, Content_Range=f"bytes {half}-{len(BODY) - 1}/*", ETag='"v1"'
    )
    server.script = [cut_off(half), rest]
    with pytest.raises(StageError, match="more than"):
        get(server, tmp_path, {"bytes": len(BODY)})


def sends(sizes: Sequence[int]) -> list[Any]:
    """Answers after which so many bytes have arrived; each begins at the beginning."""
    return [cut_off(size, etag=None) for size in sizes]


def test_only_getting_further_than_ever_is_progress(server: Server, tmp_path: Path) -> None:
    """One that breaks nearer and nearer to the beginning, or at one place, is given up."""
    server.script = sends([500_000, 300_000, 400_000, 350_000])
    with pytest.raises(TransientError, match="given up after 3 attempts in a row"):
        get(server, tmp_path, attempts=3)
    assert len(server.requests) == 3
    server.requests.clear()
    server.script = [*sends([500_000] * 3), whole]
    with pytest.raises(TransientError, match="given up after 3 attempts in a row"):
        get(server, tmp_path, attempts=3)
    server.requests.clear()
    server.script = [*sends([500_001, 600_000, 700_000]), whole]
    assert get(server, tmp_path, attempts=2) == BODY


def test_with_a_single_attempt_there_is_a_single_request(server: Server, tmp_path: Path) -> None:
    server.script = [status(500)]
    with pytest.raises(TransientError, match="given up after 1 attempts"):
        get(server, tmp_path, attempts=1)
    assert len(server.requests) == 1


def test_what_was_fetched_leaves_neither_bytes_nor_notes(server: Server, tmp_path: Path) -> None:
    """A note of an old version would vouch for the bytes of a new one."""
    assert get(server, tmp_path) == BODY
    assert left(tmp_path) == []


def test_addresses_that_differ_anywhere_share_no_partial_file() -> None:
    addresses = ["https://h/a", "https://h/a?part=1", "https://h/a?part=2", "http://h/a"]
    assert len({Partial(address).path for address in addresses}) == len(addresses)
    assert Partial(addresses[0]).path == Partial(addresses[0]).path


def test_a_partial_file_is_one_processs_alone() -> None:
    with Partial.locked("https://h/a") as partial:
        lock = partial.path.with_suffix(".lock")
        with lock.open("ab") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with lock.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_partial_file_is_gone_on_with_where_something_proves_its_version() -> None:
    partial = Partial("https://h/a")
    assert partial.resume_point(digest_known=True) == (0, None)
    partial.begin('"v1"')
    assert partial.size() == 0
    partial.path.write_bytes(b"12345")
    assert partial.resume_point(digest_known=False) == (5, '"v1"')
    partial.begin(None)
    assert not partial.path.exists()
    partial.path.write_bytes(b"123")
    assert partial.resume_point(digest_known=False) == (0, None)
    assert partial.resume_point(digest_known=True) == (3, None)
    partial.remove()
    assert partial.resume_point(digest_known=True) == (0, None)


@pytest.mark.parametrize("notes", ["", "{", "[]", '"v1"', "{}"])
def test_notes_that_say_nothing_prove_nothing(notes: str) -> None:
    partial = Partial("https://h/a")
    partial.begin('"v1"')
    partial.path.write_bytes(b"12345")
    partial.path.with_suffix(".json").write_text(notes)
    assert partial.resume_point(digest_known=False) == (0, None)


def test_a_link_in_place_of_a_partial_file_is_not_written_through(
    server: Server, tmp_path: Path
) -> None:
    """The cache may be shared, and its names are known beforehand."""
    (tmp_path / "precious").write_bytes(b"precious")
    partial = Partial(server.url())
    partial.begin('"v1"')
    os.symlink(tmp_path / "precious", partial.path)
    with pytest.raises(OSError, match="symbolic links"):
        get(server, tmp_path)
    assert (tmp_path / "precious").read_bytes() == b"precious"
