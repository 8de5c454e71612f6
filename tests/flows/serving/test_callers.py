"""Whom a server without a password answers: this machine's own programs and pages, no others."""

import http.client
import json
import subprocess
import sys
from typing import Any

import pytest
from receiver import receiver
from served import Served
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from flows.serving.callers import Callers

OWN = [
    {"Host": "127.0.0.1:4200"},
    {"Host": "localhost:4200", "Origin": "http://localhost:4200"},
    {"Host": "[::1]:4200", "Origin": "http://[::1]:4200"},
    {"Host": "localhost:8000", "Origin": "http://localhost:8000"},  # a tunnel's end
]
OTHERS = [
    {"Host": "127.0.0.1:4200", "Origin": "http://evil.example"},
    {"Host": "127.0.0.1:4200", "Origin": "http://127.0.0.1:3000"},
    {"Host": "127.0.0.1:4200", "Origin": "null"},
    {"Host": "evil.example:4200"},
    {"Host": "evil.example:4200", "Origin": "http://evil.example:4200"},
    {"Host": "127.0.0.1.evil.example"},
    {"Host": "localhost@evil.example"},
    {"Host": "[::1"},
    {"Host": ""},
]


async def page(request: Any) -> PlainTextResponse:
    return PlainTextResponse("the API")


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("an event")


def client(own_only: bool) -> TestClient:
    app = Starlette(routes=[Route("/api", page), WebSocketRoute("/api/events/out", socket)])
    app.add_middleware(Callers, own_only=own_only)
    return TestClient(app)


@pytest.mark.parametrize("headers", OWN, ids=str)
def test_own_programs_and_pages_are_answered(headers: dict[str, str]) -> None:
    """By any of this machine's names for itself; no other site may show them in a frame."""
    answer = client(own_only=True).get("/api", headers=headers)
    assert answer.text == "the API"
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    with client(own_only=True).websocket_connect("/api/events/out", headers=headers) as opened:
        assert opened.receive_text() == "an event"


@pytest.mark.parametrize("headers", OTHERS, ids=str)
def test_other_sites_are_refused(headers: dict[str, str]) -> None:
    """Pages and websockets alike, and those whose name was made to lead here."""
    answer = client(own_only=True).get("/api", headers=headers)
    assert answer.status_code == 403
    assert "roberta serve --auth" in answer.text
    with (
        pytest.raises(WebSocketDisconnect),
        client(own_only=True).websocket_connect("/api/events/out", headers=headers),
    ):
        pass


def test_with_a_password_any_name_will_do() -> None:
    """It may stand behind a proxy; the password is asked for elsewhere."""
    answer = client(own_only=False).get("/api", headers={"Host": "roberta.example"})
    assert answer.text == "the API"


def test_the_server_answers_no_other_site(serving: Served) -> None:
    """The real one: not even what needs no token, by another name, or to another site's page."""
    address = serving.origin.removeprefix("http://")
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }

    def status(path: str, **headers: str) -> int:
        connection = http.client.HTTPConnection(address, timeout=30)
        connection.request("GET", path, headers={"Host": address, **headers})
        try:
            return connection.getresponse().status
        finally:
            connection.close()

    assert json.loads(serving.request("/api/health")[1]) is True
    assert status("/api/health", Origin=serving.origin) == 200
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        for path in ("/", "/api/csrf-token?client=x", "/roberta/metrics"):
            assert status(path, **headers) == 403, (path, headers)
        for path in ("/api/events/out", "/api/events/in", "/api/logs/out"):
            assert status(path, **headers, **upgrade) == 403, (path, headers)
    assert status("/api/events/out", Origin=serving.origin, **upgrade) == 101


ACT = """
import sys
from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.events import emit_event
from prefect.events.actions import CallWebhook
from prefect.events.schemas.automations import EventTrigger, Posture

block = Webhook(url=sys.argv[1]).save("heard", overwrite=True)
resource = {"prefect.resource.id": "roberta.test"}
trigger = EventTrigger(posture=Posture.Reactive, expect={"tried"}, match=resource, threshold=1)
action = CallWebhook(block_document_id=block, payload='{"said": "it acted"}')
Automation(name="acting", trigger=trigger, actions=[action]).create()
emit_event("tried", resource)
"""


def test_an_automation_can_act(serving: Served) -> None:
    """For that the server asks its own app, by a name that is none of this machine's."""
    with receiver() as (address, got):
        environment = serving.command.environment() | {"PREFECT_API_URL": f"{serving.origin}/api"}
        subprocess.run([sys.executable, "-c", ACT, address], env=environment, check=True)
        serving.until(lambda: got, 60)
    assert got == [{"said": "it acted"}]
