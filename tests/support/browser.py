"""A headless Chromium, driven over its DevTools protocol."""

import base64
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from websockets.sync.client import connect
from websockets.sync.connection import Connection

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_browser() -> str | None:
    """The program, or None."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Page:
    """One page; `problems` collects errors and warnings of its console."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self.problems: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """One command and its answer; events that come in between are kept."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        self._connection.send(json.dumps(message))
        while True:
            answer = json.loads(self._connection.recv(timeout=60))
            if answer.get("id") == number:
                return answer["result"]
            self._note(answer.get("method"), answer.get("params", {}))

    def _note(self, method: str, values: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(values["exceptionDetails"]))
        elif method == "Log.entryAdded" and values["entry"]["level"] == "error":
            self.problems.append(values["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])

    def text_with(self, url: str, *words: str, seconds: float = 60) -> str:
        """Open a page and wait until its text holds all words."""
        self.call("Page.navigate", url=url)
        return self.wait_for(*words, seconds=seconds)

    def click(self, text: str, selector: str = "button, a", seconds: float = 30) -> None:
        """Press what has this text, once it is there and can be pressed."""
        script = f"""(() => {{
            const wanted = {json.dumps(text.lower())};
            const found = [...document.querySelectorAll({json.dumps(selector)})].filter(
                one => one.innerText.trim().toLowerCase() === wanted && one.offsetParent !== null
                       && !one.disabled);
            if (found.length) found[found.length - 1].click();
            return found.length;
        }})()"""
        end = time.monotonic() + seconds
        while not self.call("Runtime.evaluate", expression=script)["result"].get("value"):
            assert time.monotonic() < end, f"nothing to press is called {text!r}"
            time.sleep(0.3)

    def link(self, text: str) -> str:
        """Where the link of this text leads."""
        script = f"""[...document.querySelectorAll("a")].find(
            one => one.innerText.trim() === {json.dumps(text)}).href"""
        return str(self.call("Runtime.evaluate", expression=script)["result"]["value"])

    def wait_for(self, *words: str, seconds: float = 60) -> str:
        """Wait until the page as it is holds all words; its text."""
        end = time.monotonic() + seconds
        while True:
            found = self.call("Runtime.evaluate", expression="document.body?.innerText || ''")
            text = str(found["result"].get("value", ""))
            if all(word.lower() in text.lower() for word in words):
                return text
            assert time.monotonic() < end, f"{words} not in:\n{text}"
            time.sleep(0.3)

    def set_size(self, width: int, height: int) -> None:
        """The window's size in pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def value(self, expression: str) -> Any:
        """What an expression of JavaScript comes to, as plain JSON."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return told["result"].get("value")

    def mouse(self, event: str, x: float, y: float) -> None:
        """One event of the mouse, such as `mouseMoved`."""
        button = "none" if event == "mouseMoved" else "left"
        place = {"x": x, "y": y, "button": button, "clickCount": int(button == "left")}
        self.call("Input.dispatchMouseEvent", type=event, **place)

    def count(self, selector: str) -> int:
        """How many elements a CSS selector finds."""
        expression = f"document.querySelectorAll({json.dumps(selector)}).length"
        return int(self.call("Runtime.evaluate", expression=expression)["result"]["value"])

    def screenshot(self, path: Path) -> None:
        """The whole page as a PNG."""
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))


@contextmanager
def open_page(program: str, profile: Path) -> Iterator[Page]:
    """A browser with one empty page."""
    command = [program, "--headless=new", "--no-sandbox", "--disable-gpu"]
    command += ["--disable-dev-shm-usage", "--window-size=1200,1600"]
    command += [f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            told = profile / "DevToolsActivePort"
            end = time.monotonic() + 60
            while not told.exists() or not told.read_text().strip():
                assert process.poll() is None, "the browser ended at once"
                assert time.monotonic() < end, "the browser did not start"
                time.sleep(0.1)
            port = int(told.read_text().split()[0])
            with urlopen(f"http://127.0.0.1:{port}/json") as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
            address = pages[0]["webSocketDebuggerUrl"]
            with connect(address, max_size=None, proxy=None, ping_interval=None) as connection:
                yield Page(connection)
        finally:
            process.kill()
