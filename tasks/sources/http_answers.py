"""One request for a file or the rest of it, and what the server's answer means.

Redirects are followed by hand, because secret headers must not travel to another host.
"""

import email.utils
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from tasks.errors import UserError

_MOST_REDIRECTS = 10
_WORTH_ANOTHER_TRY = (408, 425, 429)


class TryAgain(Exception):  # noqa: N818 - a turn of events, handled by whoever asks again
    """The attempt failed in a way that may pass; `retry_after` is the server's wish, in s."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class StartOver(TryAgain):
    """What has arrived is of no use to this server; ask again for the whole file."""


@dataclass(frozen=True)
class Answer:
    """A body to write from `offset` on.

    `total` is the size of the whole file if the server says; `validator` what If-Range takes;
    `is_complete` that nothing is missing and there is no body.
    """

    response: httpx.Response
    offset: int
    total: int | None
    validator: str | None
    is_complete: bool = False


@contextmanager
def open_answer(
    url: str,
    secrets: Mapping[str, str],
    offset: int,
    validator: str | None,
    timeout_seconds: float,
) -> Iterator[Answer]:
    """Ask for a file from `offset` on, provided it is still the version `validator` names.

    The body is `answer.response.iter_raw()`; failures while it is read count like others.

    Raises:
        UserError: the server refuses for good, or the address leads elsewhere than http(s).
        TryAgain: the server or the line failed.
        StartOver: it must be asked for from the start.
    """
    headers = {"accept-encoding": "identity"}
    if offset:
        headers["range"] = f"bytes={offset}-"
        if validator:
            headers["if-range"] = validator
    try:
        with httpx.Client(timeout=timeout_seconds, follow_redirects=False) as client:
            response = _follow(client, url, headers, secrets)
            try:
                yield _understand(response, url, offset)
            finally:
                response.close()
    except httpx.InvalidURL as problem:
        raise UserError(f"{url}: this is no address ({problem}). Correct it.") from None
    except httpx.TransportError as problem:
        raise TryAgain(f"{type(problem).__name__}: {problem}") from problem


def _follow(
    client: httpx.Client, url: str, headers: Mapping[str, str], secrets: Mapping[str, str]
) -> httpx.Response:
    place = httpx.URL(url)
    home = (place.scheme, place.host, place.port)
    for _ in range(_MOST_REDIRECTS):
        at_home = (place.scheme, place.host, place.port) == home
        request = client.build_request(
            "GET", place, headers={**headers, **(secrets if at_home else {})}
        )
        response = client.send(request, stream=True)
        if not response.has_redirect_location:
            return response
        response.close()
        place = place.join(response.headers["location"])
        if place.scheme not in ("http", "https"):
            raise UserError(
                f"{url}: the server redirects to {place.scheme}:, and only http and https are "
                "followed. Correct the address."
            )
    raise UserError(f"{url}: more than {_MOST_REDIRECTS} redirects. Correct the address.")


def _understand(response: httpx.Response, url: str, offset: int) -> Answer:
    status = response.status_code
    validator = _validator(response)
    if status == 200:
        return Answer(response, 0, _number(response.headers.get("content-length")), validator)
    if status == 206:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("content-range", ""))
        if span is None or int(span[1]) != offset:
            raise StartOver("the server sent another part than the one asked for")
        return Answer(response, offset, _number(span[2]), validator)
    if status == 416 and offset:
        total = _number(response.headers.get("content-range", "").rpartition("/")[2])
        if total == offset:
            return Answer(response, offset, total, validator, is_complete=True)
        raise StartOver("the file is shorter now than what had arrived of it")
    if status >= 500 or status in _WORTH_ANOTHER_TRY:
        raise TryAgain(
            f"the server answered {status} {response.reason_phrase}", _retry_after(response)
        )
    raise UserError(_refusal(response, url))


def _refusal(response: httpx.Response, url: str) -> str:
    status = response.status_code
    if status in (401, 403):
        advice = (
            "It wants a key or refuses the one it got: put the key into an environment variable "
            "and name that in the source's `headers_from_env`, such as {Authorization: MY_TOKEN}."
        )
    else:
        advice = "Correct the address, or take it out of the source's `urls`."
    return f"{url}: the server answered {status} {response.reason_phrase}. {advice}"


def _validator(response: httpx.Response) -> str | None:
    """What proves sameness in If-Range: a strong ETag, else the date."""
    etag = response.headers.get("etag")
    if etag and not etag.startswith("W/"):
        return str(etag)
    date = response.headers.get("last-modified")
    return None if date is None else str(date)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _retry_after(response: httpx.Response) -> float | None:
    """Retry-After in seconds, given as a number or as a date."""
    text = response.headers.get("retry-after", "").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
