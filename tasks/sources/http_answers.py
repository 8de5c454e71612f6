"""One request for a file or the rest of it, and what the server's answer means.

Redirects are followed by hand, because secrets must not travel to another host, nor in the
clear, and a public server must not lead into a private network.
"""

import email.utils
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import quote, quote_plus

import httpx

from tasks.errors import UserError
from tasks.sources.private_addresses import connected_to_private, is_private

_MOST_REDIRECTS = 10
_WORTH_ANOTHER_TRY = (408, 425, 429)


class TryAgain(Exception):  # noqa: N818 - a turn of events, handled by whoever asks again
    """The attempt failed in a way that may pass; `retry_after` is the server's wish, in s."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class StartOver(TryAgain):
    """What has arrived is of no use to this server; ask again for the whole file."""


_SPELLINGS: tuple[Callable[[str], str], ...] = (str, partial(quote, safe=""), quote_plus)


@dataclass(frozen=True)
class Access:
    """How a server is asked: the secrets that it gets, and what is not done for it.

    `headers` and `query` hold secret values: nothing shows them, see `redacted`.
    """

    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    timeout_seconds: float
    private_redirects: bool = False

    @property
    def has_secrets(self) -> bool:
        """Whether there is anything that others must not read on the way."""
        return bool(self.headers or self.query)

    def redacted(self, text: object) -> str:
        """What a server or a library says, without any secret that it repeats."""
        told = str(text)
        # Of `Bearer abc` the server may repeat the second word alone.
        secrets = {*self.headers.values(), *self.query.values()}
        secrets |= {secret.partition(" ")[2] for secret in self.headers.values()} - {""}
        spellings = {spell(secret) for secret in secrets for spell in _SPELLINGS}
        # One may be the beginning of another.
        for spelling in sorted(spellings, key=len, reverse=True):
            told = told.replace(spelling, "***")
        return told


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
def open_answer(url: str, access: Access, offset: int, validator: str | None) -> Iterator[Answer]:
    """Ask for a file from `offset` on, provided it is still the version `validator` names.

    The body is `answer.response.iter_raw()`; failures while it is read count like others.

    Raises:
        UserError: the server refuses for good, or redirects to where we do not follow.
        TryAgain: the server or the line failed.
        StartOver: it must be asked for from the start.
    """
    headers = {"accept-encoding": "identity"}
    if offset:
        headers["range"] = f"bytes={offset}-"
        if validator:
            headers["if-range"] = validator
    try:
        with httpx.Client(timeout=access.timeout_seconds, follow_redirects=False) as client:
            response = _follow(client, url, headers, access)
            try:
                yield _understand(response, url, offset, access)
            finally:
                response.close()
    except httpx.InvalidURL as problem:
        told = access.redacted(problem)
        raise UserError(f"{url}: this is no address ({told}). Correct it.") from None
    except httpx.TransportError as problem:
        # Not `from problem`: a traceback in a run's log would repeat what it says.
        raise TryAgain(f"{type(problem).__name__}: {access.redacted(problem)}") from None


def _follow(
    client: httpx.Client, url: str, headers: Mapping[str, str], access: Access
) -> httpx.Response:
    first = httpx.URL(url)
    home = (first.scheme, first.host, first.port)
    place = first.copy_merge_params(dict(access.query)) if access.query else first
    for number in range(_MOST_REDIRECTS):
        at_home = (place.scheme, place.host, place.port) == home
        request = client.build_request(
            "GET", place, headers={**headers, **(access.headers if at_home else {})}
        )
        response = client.send(request, stream=True)
        if number and _is_barred(first, place, access) and connected_to_private(response, place):
            response.close()
            raise _leads_inside(url, place)
        if not response.has_redirect_location:
            return response
        response.close()
        place = place.join(response.headers["location"])
        _check_redirect(url, first, place, access)
    raise UserError(f"{url}: more than {_MOST_REDIRECTS} redirects. Correct the address.")


def _check_redirect(url: str, first: httpx.URL, place: httpx.URL, access: Access) -> None:
    if place.scheme not in ("http", "https"):
        raise UserError(
            f"{url}: the server redirects to {place.scheme}:, and only http and https are "
            "followed. Correct the address."
        )
    if access.has_secrets and first.scheme == "https" and place.scheme == "http":
        raise UserError(
            f"{url}: the server redirects from https to http ({place.host}), which anybody on the "
            "way can read and change, and this source has secrets. Give an address that stays "
            "with https."
        )
    if _is_barred(first, place, access) and is_private(place):
        raise _leads_inside(url, place)


def _is_barred(first: httpx.URL, place: httpx.URL, access: Access) -> bool:
    """Whether a redirect may lead to public addresses only.

    Who names a private server in the config has its network's servers in mind.
    """
    if access.private_redirects or place.host == first.host:
        return False
    return not is_private(first)


def _leads_inside(url: str, place: httpx.URL) -> UserError:
    return UserError(
        f"{url}: the server redirects to {place.host}, which is in this machine's own network. "
        "Nothing was taken from there. Correct the address, or set the source's "
        "`private_redirects` if you trust the server."
    )


def _understand(response: httpx.Response, url: str, offset: int, access: Access) -> Answer:
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
        reason = access.redacted(response.reason_phrase)
        raise TryAgain(f"the server answered {status} {reason}", _retry_after(response))
    raise UserError(_refusal(response, url, access))


def _refusal(response: httpx.Response, url: str, access: Access) -> str:
    status = response.status_code
    if status in (401, 403):
        advice = (
            "It wants a key or refuses the one it got: put the key into an environment variable "
            "and name that in the source's `headers_from_env`, such as {Authorization: MY_TOKEN}, "
            "or `query_from_env`."
        )
    else:
        advice = "Correct the address, or take it out of the source's `urls`."
    return (
        f"{url}: the server answered {status} {access.redacted(response.reason_phrase)}. {advice}"
    )


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
