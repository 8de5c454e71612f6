"""The server's app: Prefect's, and beside it the pages that are ours.

    /roberta/reports                                        the newest of them, with links
    /roberta/reports/<run>                                  the HTML report of a run
    /roberta/reports/<run>/taught                           the page on what it has fine-tuned
    /roberta/reports/<run>/<stage>/<key>/manifest.json      what their figures are from
    /roberta/metrics                                        figures for Prometheus

Ours ask for the same password as the API does, where there is one; where there is none, other
sites' pages are refused, see `callers`.
"""

import base64
import hmac
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from flows.serving.callers import Callers
from flows.serving.metrics import metrics_text
from flows.serving.stores import find_manifest, find_report, reports
from tasks.publishing.templates import template

_MOST_LISTED = 200
# A report has its own styles and scripts in it, and needs nothing and nobody else.
_SANDBOX = (
    "sandbox allow-scripts allow-popups; default-src 'none'; img-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; font-src data:"
)
_SHUT_IN = {"Content-Security-Policy": _SANDBOX, "X-Content-Type-Options": "nosniff"}


def create_app() -> Callers:
    """Prefect's app with our pages before its UI, which answers everything else.

    Who asks is looked at before the app and not in it: the server itself, where an automation
    acts, asks its app by a name of its own, and no web page can.
    """
    from prefect.server.api.server import create_app as prefect_app

    app: FastAPI = prefect_app()
    ours = [
        Route("/roberta/reports", _reports),
        Route("/roberta/reports/{run}", _report),
        Route("/roberta/reports/{run}/{folder}/{key}/manifest.json", _manifest),
        Route("/roberta/reports/{run}/taught", _taught),
        Route("/roberta/metrics", _metrics),
    ]
    app.router.routes[:0] = ours
    return Callers(app, own_only=_password() is None)


def _reports(request: Request) -> Response:
    if (refused := _refused(request)) is not None:
        return refused
    page = template("reports.html.j2").render(runs=reports(_MOST_LISTED), most=_MOST_LISTED)
    return HTMLResponse(page, headers=_SHUT_IN)


def _report(request: Request) -> Response:
    return _page(request, taught=False)


def _taught(request: Request) -> Response:
    return _page(request, taught=True)


def _page(request: Request, *, taught: bool) -> Response:
    if (refused := _refused(request)) is not None:
        return refused
    run = str(request.path_params["run"])
    page = find_report(run, taught=taught)
    if page is None:
        return PlainTextResponse("There is no report of this run in a store served here.", 404)
    return HTMLResponse(_linked(page, "" if taught else f"{run}/"), headers=_SHUT_IN)


def _linked(page: str, below: str) -> str:
    """A page whose links lead on from here: manifests are `below` it, the model is not served."""
    page = page.replace('href="../../', f'href="{below}')
    return page.replace('<a href="model/">model/</a>', "<code>model/</code>")


def _manifest(request: Request) -> Response:
    if (refused := _refused(request)) is not None:
        return refused
    asked = (str(request.path_params[name]) for name in ("run", "folder", "key"))
    found = find_manifest(*asked)
    if found is None:
        return PlainTextResponse("This run has no such manifest in a store served here.", 404)
    return Response(found, media_type="application/json", headers=_SHUT_IN)


def _metrics(request: Request) -> Response:
    return _refused(request) or PlainTextResponse(metrics_text())


def _password() -> str | None:
    from prefect.settings import PREFECT_SERVER_API_AUTH_STRING

    wanted: Any = PREFECT_SERVER_API_AUTH_STRING.value()
    return None if wanted is None else str(wanted)


def _refused(request: Request) -> Response | None:
    """401 without the server's password, where it has one."""
    if (wanted := _password()) is None:
        return None
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    try:
        said = base64.b64decode(given).decode() if scheme.lower() == "basic" else ""
    except ValueError:
        said = ""
    if hmac.compare_digest(said.encode(), wanted.encode()):
        return None
    return PlainTextResponse("A password is needed.", 401, {"WWW-Authenticate": "Basic"})
