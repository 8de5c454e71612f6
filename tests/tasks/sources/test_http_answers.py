"""What each answer of a server means, and what may be asked of whom, rule by rule."""

import email.utils
import time
from threading import Thread

import httpx
import pytest
from file_server import BODY, Handler, Server, status

from tasks.errors import UserError
from tasks.sources.http_answers import (
    Access,
    Answer,
    StartOver,
    TryAgain,
    _is_barred,
    _retry_after,
    _understand,
    _validator,
    open_answer,
)

PLAIN = Access({}, {}, 5.0)
URL = "https://host/a"


def answer(code: int, offset: int = 0, **headers: str) -> Answer:
    response = httpx.Response(code, headers={k.replace("_", "-"): v for k, v in headers.items()})
    return _understand(response, URL, offset, PLAIN)


def test_a_whole_file_begins_at_zero_whatever_was_asked_for() -> None:
    found = answer(200, 5, Content_Length="9", ETag='"a"')
    assert (found.offset, found.total, found.validator) == (0, 9, '"a"')
    assert not found.is_complete
    assert answer(200).total is None


def test_a_part_says_how_large_the_whole_is() -> None:
    """Its own length is that of the rest."""
    found = answer(206, 5, Content_Range="bytes 5-8/9", Content_Length="4")
    assert (found.offset, found.total, found.is_complete) == (5, 9, False)
    assert answer(206, 5, Content_Range="bytes 5-8/*").total is None


@pytest.mark.parametrize(
    "span", ["bytes 4-8/9", "bytes 6-8/9", "bytes 0-8/9", "", "5-8/9", "bytes 5-8/9, 10-11/12"]
)
def test_another_part_than_was_asked_for_is_of_no_use(span: str) -> None:
    with pytest.raises(StartOver):
        answer(206, 5, Content_Range=span)


def test_nothing_beyond_the_end_means_complete_only_for_just_that_size() -> None:
    found = answer(416, 9, Content_Range="bytes */9")
    assert (found.offset, found.total, found.is_complete) == (9, 9, True)
    for span in ("bytes */8", "bytes */10", "bytes */*", ""):
        with pytest.raises(StartOver):
            answer(416, 9, Content_Range=span)


def test_a_server_that_has_no_part_of_a_file_from_zero_refuses_it() -> None:
    with pytest.raises(UserError, match="answered 416"):
        answer(416, 0, Content_Range="bytes */0")


@pytest.mark.parametrize("code", [408, 425, 429, 500, 501, 503, 599])
def test_troubles_that_may_pass(code: int) -> None:
    with pytest.raises(TryAgain, match=str(code)) as caught:
        answer(code, Retry_After="7")
    assert caught.value.retry_after == 7
    assert not isinstance(caught.value, StartOver)


@pytest.mark.parametrize("code", [204, 304, 400, 401, 403, 404, 410, 451, 499])
def test_all_other_answers_are_refusals(code: int) -> None:
    with pytest.raises(UserError, match=f"answered {code}") as caught:
        answer(code)
    assert ("headers_from_env" in str(caught.value)) == (code in (401, 403))


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"etag": '"a"', "last-modified": "Mon"}, '"a"'),
        ({"etag": 'W/"a"', "last-modified": "Mon"}, "Mon"),
        ({"last-modified": "Mon"}, "Mon"),
        ({"etag": 'W/"a"'}, None),
        ({"etag": ""}, None),
        ({}, None),
    ],
)
def test_a_strong_tag_proves_sameness_else_the_date(
    headers: dict[str, str], validator: str | None
) -> None:
    """A weak tag is the same for bytes that are not."""
    assert _validator(httpx.Response(200, headers=headers)) == validator


def test_the_wish_to_wait_is_a_number_or_a_date_and_never_below_zero() -> None:
    def wish(text: str) -> float | None:
        return _retry_after(httpx.Response(503, headers={"retry-after": text}))

    assert [wish(text) for text in ("12", " 12 ", "soon", "", "-3")] == [12, 12, None, None, None]
    later = wish(email.utils.formatdate(time.time() + 1000, usegmt=True))
    assert later is not None
    assert 900 < later <= 1000
    assert wish(email.utils.formatdate(time.time() - 1000, usegmt=True)) == 0


def test_secrets_of_either_kind_are_secrets() -> None:
    header, query = Access({"X": "s3cret"}, {}, 1.0), Access({}, {"sig": "s3cret"}, 1.0)
    assert [access.has_secrets for access in (header, query, PLAIN)] == [True, True, False]
    for access in (header, query):
        assert "s3cret" not in repr(access)
        assert access.redacted(f"a s3cret, again s3cret: {URL}") == f"a ***, again ***: {URL}"


def test_a_secret_is_hidden_however_an_address_spells_it() -> None:
    access = Access({"X": "a b/c"}, {"sig": "d+e"}, 1.0)
    assert access.redacted("a b/c a%20b%2Fc a+b%2Fc d+e d%2Be") == "*** *** *** *** ***"


def test_the_longest_secret_goes_first_and_a_scheme_may_be_left_out() -> None:
    access = Access({"A": "abc", "B": "Bearer s3cret"}, {"k": "abcdef"}, 1.0)
    assert access.redacted("abcdef, abc; s3cret or Bearer s3cret") == "***, ***; *** or ***"


@pytest.mark.parametrize(
    ("first", "place", "barred"),
    [
        ("http://1.1.1.1/", "http://8.8.8.8/", True),
        ("http://1.1.1.1/", "http://1.1.1.1:8080/", False),
        ("http://127.0.0.1/", "http://10.0.0.1/", False),
    ],
)
def test_a_public_servers_redirects_are_barred_but_to_itself(
    first: str, place: str, barred: bool
) -> None:
    """A private one that the config names knows its own network."""
    assert _is_barred(httpx.URL(first), httpx.URL(place), PLAIN) == barred
    trusting = Access({}, {}, 1.0, private_redirects=True)
    assert not _is_barred(httpx.URL(first), httpx.URL(place), trusting)


def test_headers_go_to_the_very_server_and_port_alone(server: Server) -> None:
    """Another port of the same machine may be another's; a way back home has them again."""
    secret = Access({"X-Key": "s3cret"}, {"sig": "s3cret"}, 5.0)
    other = Server()
    try:
        asked: list[str] = []

        def note(handler: Handler) -> None:
            asked.append(handler.path)
            handler.send(302, Location=other.url("/b"))

        server.script = [note, lambda handler: handler.send(200, b"x")]
        other.script = [lambda handler: handler.send(302, Location=server.url("/c"))]
        thread = Thread(target=other.handle_request)
        thread.start()
        with open_answer(server.url("/a?n=1"), secret, 0, None) as found:
            assert b"".join(found.response.iter_raw()) == b"x"
        thread.join()
    finally:
        other.server_close()
    assert asked == ["/a?n=1&sig=s3cret"]
    assert [request.get("X-Key") for request in server.requests] == ["s3cret", "s3cret"]
    assert [request.get("X-Key") for request in other.requests] == [None]


def redirects(server: Server, count: int) -> None:
    hop = lambda handler: handler.send(302, Location="/on")  # noqa: E731
    server.requests.clear()
    server.script = [*[hop] * count, lambda handler: handler.send(200, b"there")]


def test_nine_redirects_are_followed_and_ten_are_not(server: Server) -> None:
    redirects(server, 9)
    with open_answer(server.url(), PLAIN, 0, None) as found:
        assert found.response.status_code == 200
    redirects(server, 10)
    with (
        pytest.raises(UserError, match="more than 10 redirects"),
        open_answer(server.url(), PLAIN, 0, None),
    ):
        pass
    assert len(server.requests) == 10


def test_a_request_says_what_is_wanted_and_nothing_more(server: Server) -> None:
    """Bytes as they are stored; the rest of a version only where there is something of it."""
    for offset, validator in ((0, '"v1"'), (7, '"v1"'), (7, None)):
        with open_answer(server.url(), PLAIN, offset, validator) as found:
            assert found.total == len(BODY)
    requests = [{name.lower(): value for name, value in r.items()} for r in server.requests]
    assert [request["accept-encoding"] for request in requests] == ["identity"] * 3
    assert [request.get("range") for request in requests] == [None, "bytes=7-", "bytes=7-"]
    assert [request.get("if-range") for request in requests] == [None, '"v1"', None]


def test_what_a_library_says_of_a_broken_line_holds_no_secret() -> None:
    """A name that is not found is told with the name; one that is no address is a mistake."""
    access = Access({}, {"key": "127.0.0.1"}, 1.0)
    with (
        pytest.raises(TryAgain, match="ConnectError"),
        open_answer("http://127.0.0.1:9/", access, 0, None),
    ):
        pass
    with (
        pytest.raises(UserError, match="this is no address"),
        open_answer("http://host:port/", access, 0, None),
    ):
        pass


def test_a_transport_errors_words_are_redacted(server: Server) -> None:
    """Also those of a server that breaks the protocol and repeats what it got."""
    access = Access({"X-Key": "s3cret"}, {}, 5.0)

    def nonsense(handler: Handler) -> None:
        handler.wfile.write(b"s3cret is no status line\r\n\r\n")

    server.script = [nonsense]
    with pytest.raises(TryAgain) as caught, open_answer(server.url(), access, 0, None):
        pass
    assert "s3cret" not in str(caught.value)

    def busy(handler: Handler) -> None:
        handler.send_response(503, "busy s3cret")
        handler.end_headers()

    server.script = [busy]
    with (
        pytest.raises(TryAgain, match=r"503 busy \*\*\*"),
        open_answer(server.url(), access, 0, None),
    ):
        pass


def test_a_body_that_is_refused_is_never_an_answer(server: Server) -> None:
    server.script = [status(404)]
    with pytest.raises(UserError, match="answered 404"), open_answer(server.url(), PLAIN, 0, None):
        raise AssertionError("there was an answer")
