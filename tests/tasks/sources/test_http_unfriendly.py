"""Servers and addresses that mean no good: secrets stay secret, downloads end, networks closed."""

import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from file_server import BODY, Handler, Server, status

from tasks.config.corpus import HttpSource
from tasks.config.load import load_config
from tasks.engine.stores import open_store
from tasks.engine.units import UnitWork
from tasks.errors import RobertaError, StageError, UserError
from tasks.sources import private_addresses
from tasks.sources.fetching import RetryPolicy, fetch
from tasks.sources.http_answers import Access, _check_redirect


def get(url: str, tmp_path: Path, known: Any = None, **options: Any) -> bytes:
    options = {"attempts": 2, "backoff_seconds": 0.01, "timeout_seconds": 2, **options}
    source = HttpSource(urls=({"url": url, **(known or {})},), **options)
    work = UnitWork("f", tmp_path / "work")
    fetch(work, remote=source.urls[0], patience=RetryPolicy.of(source))
    return work.path(".raw").read_bytes()


@pytest.mark.parametrize(
    "value", ["s3cret\nX-Other: 1", "s3cret\r\n\r\nGET", "s3crét", "\x00s3c", ""]
)
@pytest.mark.parametrize("field", ["headers_from_env", "query_from_env"])
def test_a_secret_that_cannot_be_sent_is_refused_and_not_shown(
    value: str, field: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is asked; a library would have told it to a log and to a record."""
    # A NUL cannot be set from within, and yet may come from outside.
    monkeypatch.setattr(os, "environ", {**os.environ, "MY_TOKEN": value})
    with pytest.raises(UserError, match=f"MY_TOKEN, which the source's `{field}` names") as caught:
        get(server.url(), tmp_path, **{field: {"X-Key": "MY_TOKEN"}})
    assert "s3c" not in str(caught.value)
    assert not server.requests


def test_secrets_are_sent_without_the_line_end_of_their_file(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    r"""`export T=$(cat token)` loses it, an env file's `T="…\n"` does not."""
    monkeypatch.setenv("MY_TOKEN", "Bearer a&b \n")
    names = {"headers_from_env": {"X-Key": "MY_TOKEN"}, "query_from_env": {"sig": "MY_TOKEN"}}
    paths: list[str] = []

    def answer(handler: Handler) -> None:
        paths.append(handler.path)
        handler.send(200, BODY)

    server.script = [answer]
    assert get(server.url("/data.txt?part=2"), tmp_path, **names) == BODY
    assert server.requests[0]["X-Key"] == "Bearer a&b"
    assert paths in (["/data.txt?part=2&sig=Bearer+a%26b"], ["/data.txt?part=2&sig=Bearer%20a%26b"])


def test_a_server_that_repeats_a_secret_is_not_quoted(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reason is shown, the secret in it is not."""
    monkeypatch.setenv("MY_TOKEN", "s3cret")

    def repeat(handler: Handler) -> None:
        handler.send_response(403, "no, s3cret is wrong")
        handler.end_headers()

    server.script = [repeat]
    with pytest.raises(UserError, match=r"403 no, \*\*\* is wrong"):
        get(server.url(), tmp_path, headers_from_env={"X-Key": "MY_TOKEN"})


@pytest.mark.parametrize(
    "url",
    [
        "https://h/x?part=2&X-Amz-Signature=s3cret",
        "https://h/x?sv=1&sig=s3cret",
        "https://h/x?access_token=s3cret",
        "https://h/x?key=s3cret0123456789abc",
        "https://me:s3cret@h/x",
        "https://s3cret@h/x",
    ],
)
def test_an_address_with_a_secret_is_refused_and_not_shown(url: str, tmp_path: Path) -> None:
    """Records and manifests hold addresses."""
    config = tmp_path / "c.yaml"
    config.write_text(f"corpus: [{{type: http, urls: ['{url}']}}]\n")
    with pytest.raises(UserError, match=r"corpus\.0.*urls\.0 carries a .*_from_env") as caught:
        load_config(str(config))
    assert "s3cret" not in str(caught.value)


def test_names_in_an_address_that_are_no_secrets_are_taken() -> None:
    """What a file is called is no secret."""
    HttpSource(urls=("https://h/x?key=a.txt&token=&page=2&id=0123456789abcdef0123",))


@pytest.mark.parametrize(
    "store", ["s3://ME:s3cret@bucket/a", "https://h/a?sig=s3cret", "sftp://u:s3cret@h/a"]
)
def test_a_store_with_a_secret_is_refused_and_not_shown(store: str) -> None:
    """Whether it is from a config or from `--store`."""
    with pytest.raises(UserError, match="carries a secret") as caught:
        open_store(store)
    assert "s3cret" not in str(caught.value)


def test_a_secret_in_place_of_a_variable_is_refused_and_not_shown(tmp_path: Path) -> None:
    """`Authorization: Bearer …` in the config itself."""
    config = tmp_path / "c.yaml"
    for field in ("headers_from_env", "query_from_env"):
        config.write_text(
            f"corpus: [{{type: http, urls: ['https://h/x'], {field}: {{A: 'Bearer s3cret'}}}}]\n"
        )
        with pytest.raises(UserError, match=f"{field} names environment variables") as caught:
            load_config(str(config))
        assert "s3cret" not in str(caught.value)


def endless(handler: Handler) -> None:
    """Says nothing of a length, and sends for as long as somebody listens."""
    handler.send_response(200)
    handler.end_headers()
    block = bytes(1 << 16)
    for _ in range(10_000):
        handler.wfile.write(block)


@pytest.mark.parametrize(
    ("known", "options", "kind", "words"),
    [
        ({"bytes": 10}, {}, StageError, r"more than [\d,]+ bytes instead of 10"),
        ({}, {"max_file_bytes": 100_000}, UserError, "larger than 100,000 bytes"),
    ],
)
def test_a_download_ends_when_more_than_it_may_be_has_come(
    known: Any, options: Any, kind: type[RobertaError], words: str, server: Server, tmp_path: Path
) -> None:
    """At once and without another try; nothing of it stays."""
    server.script = [endless]
    with pytest.raises(kind, match=words):
        get(server.url(), tmp_path, known, **options)
    assert len(server.requests) == 1
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_a_length_that_is_too_much_is_refused_before_a_byte_is_taken(
    server: Server, tmp_path: Path
) -> None:
    """The server says it in its headers."""
    server.script = [lambda handler: handler.send(200, Content_Length=str(1 << 50))]
    with pytest.raises(UserError, match="max_file_bytes"):
        get(server.url(), tmp_path)
    with pytest.raises(StageError, match="instead of 9"):
        get(server.url(), tmp_path, {"bytes": 9})


def pretend(monkeypatch: pytest.MonkeyPatch, **hosts: str) -> None:
    """Give hosts other addresses than they have."""
    real = private_addresses.resolve
    monkeypatch.setattr(
        private_addresses, "resolve", lambda host: [hosts[host]] if host in hosts else real(host)
    )


def redirect(to: str) -> Any:
    return lambda handler: handler.send(302, Location=to)


def test_a_public_server_does_not_lead_into_a_private_network(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where the config says so, or where it names a private server itself."""
    inside = f"http://127.0.0.1:{server.server_port}/inside"
    outside = f"http://localhost:{server.server_port}/data.txt"
    server.script = [redirect(inside), lambda handler: handler.send(200, BODY)]
    assert get(outside, tmp_path) == BODY

    pretend(monkeypatch, localhost="93.184.216.34")
    server.requests.clear()
    with pytest.raises(UserError, match=r"redirects to 127\.0\.0\.1, .*`private_redirects`"):
        get(outside, tmp_path)
    assert len(server.requests) == 1, "it was not even asked"
    server.requests.clear()
    assert get(outside, tmp_path, private_redirects=True) == BODY


def test_a_name_that_means_a_private_address_a_moment_later_is_seen(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is who was connected to."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    outside = f"http://localhost:{server.server_port}/data.txt"
    server.script = [redirect(f"http://127.0.0.1:{server.server_port}/inside"), status(200)]
    pretend(monkeypatch, localhost="93.184.216.34", **{"127.0.0.1": "93.184.216.35"})
    with pytest.raises(UserError, match="in this machine's own network"):
        get(outside, tmp_path)
    assert len(server.requests) == 2


@pytest.mark.parametrize("to", ["169.254.169.254", "10.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0"])
def test_every_kind_of_private_address_is_known(to: str) -> None:
    """Loopback, link-local with a cloud's metadata, private networks, and other spellings."""
    assert private_addresses.is_private(httpx.URL(f"http://{to}/"))
    assert not private_addresses.is_private(httpx.URL("http://1.1.1.1/"))


def test_secrets_never_go_from_https_to_http() -> None:
    """Not even at the same host."""
    secret, none = Access({"X": "s3cret"}, {}, 1.0, True), Access({}, {}, 1.0, True)
    first, place = httpx.URL("https://h/a"), httpx.URL("http://h/a")
    with pytest.raises(UserError, match="from https to http") as caught:
        _check_redirect("https://h/a", first, place, secret)
    assert "s3cret" not in str(caught.value) + repr(secret)
    _check_redirect("https://h/a", first, place, none)


def test_a_planted_lock_does_not_empty_what_it_leads_to(server: Server, tmp_path: Path) -> None:
    """The cache may be shared, and its names are known beforehand."""
    get(server.url(), tmp_path)
    (lock,) = (tmp_path / "cache/http").glob("*.lock")
    (tmp_path / "precious").write_text("precious")
    lock.unlink()
    lock.symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"):
        get(server.url(), tmp_path)
    assert (tmp_path / "precious").read_text() == "precious"
