"""Whom a server without a password answers: programs and pages of this machine alone.

A page of any web site may open a websocket to this machine, and a site whose name is made to lead
here (DNS rebinding) has, to the browser, pages of ours. Both have to say who they are: in the
`Origin` header, and in `Host`. Where there is a password, neither knows it.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The names of this machine for itself; no other one can be made to lead here.
_OWN_NAMES = ("127.0.0.1", "::1", "localhost")
_TOLD = (
    "This server has no password, so it answers this machine's own programs and pages alone. "
    "Open it as http://127.0.0.1 with its port; to reach it by another name, or through a proxy, "
    "give it a password (`roberta serve --auth`)."
)


def is_own(headers: Headers) -> bool:
    """Whether a request is by one of this machine's own names, and not of another site's page."""
    host, origin = headers.get("host", ""), headers.get("origin")
    try:
        name = urlsplit(f"//{host}").hostname
        asking = host if origin is None else urlsplit(origin).netloc
    except ValueError:  # brackets that are no address
        return False
    return name in _OWN_NAMES and asking == host


class Callers:
    """ASGI middleware: refuses who is not `is_own`, and lets no other site show our pages.

    Args:
        app: What it stands before.
        own_only: Whether to refuse; without, pages are only kept out of other sites' frames.
    """

    def __init__(self, app: ASGIApp, own_only: bool) -> None:
        self.app, self.own_only = app, own_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif self.own_only and not is_own(Headers(scope=scope)):
            await _refuse(scope, receive, send)
        else:
            await self.app(scope, receive, _unframed(send))


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    else:
        await PlainTextResponse(_TOLD, 403)(scope, receive, send)


def _unframed(send: Send) -> Send:
    """A button under a page that looks like another one is pressed unknowingly."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["X-Frame-Options"] = "SAMEORIGIN"
        await send(message)

    return told
