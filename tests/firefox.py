"""Firefox for tests, over WebDriver BiDi: the browser itself listens, so that neither a driver nor a patched build is needed.

Playwright drives a Firefox of its own only. ``FirefoxPage`` has those of its page's methods that the tests here use.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
KEYS = {
    "Enter": "\ue007", "Backspace": "\ue003", "Tab": "\ue004", "Escape": "\ue00c", "Space": " ",
    "ArrowLeft": "\ue012", "ArrowUp": "\ue013", "ArrowRight": "\ue014", "ArrowDown": "\ue015",
}  # fmt: skip


class Keyboard:
    """Keys pressed as a person would."""

    def __init__(self, page: FirefoxPage) -> None:
        self.page = page

    def press(self, key: str) -> None:
        """Down and up."""
        value = KEYS.get(key, key)
        acts = [{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]
        self.page.ask("input.performActions", actions=[{"type": "key", "id": "keys", "actions": acts}])


class FirefoxPage:
    """One tab."""

    def __init__(self, socket: Any, context: str) -> None:
        self.socket, self.context, self.number = socket, context, 0
        self.keyboard = Keyboard(self)

    def ask(self, method: str, **values: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events in between are passed over."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": {"context": self.context, **values}}))
        while True:
            answer = json.loads(self.socket.recv(timeout=60))
            if answer.get("id") == self.number:
                assert answer["type"] == "success", answer
                found: dict[str, Any] = answer["result"]
                return found

    def goto(self, url: str) -> None:
        """Open an address; only the part behind '#' may be new, and then nothing is loaded."""
        self.ask("browsingContext.navigate", url=url, wait="complete")

    def set_viewport(self, width: int, height: int, ratio: float = 1) -> None:
        """Size of the window's content in CSS pixels, and device pixels in one of them."""
        self.ask("browsingContext.setViewport", viewport={"width": width, "height": height}, devicePixelRatio=ratio)

    def evaluate(self, script: str, arg: Any = None) -> Any:
        """The value of an expression, or of a function called with ``arg``; promises are awaited."""
        called = f"({script})({json.dumps(arg)})" if re.match(r"\s*(async\s*)?(\([^)]*\)|\w+)\s*=>", script) else f"({script})"
        text = f"(async () => JSON.stringify((await {called}) ?? null))()"
        answer = self.ask("script.evaluate", expression=text, target={"context": self.context}, awaitPromise=True)
        assert answer["type"] == "success", answer.get("exceptionDetails", {}).get("text")
        return json.loads(answer["result"]["value"])

    def add_script(self, source: str) -> None:
        """Run a whole script."""
        answer = self.ask("script.evaluate", expression=source + "\n;0", target={"context": self.context}, awaitPromise=False)
        assert answer["type"] == "success", answer

    def wait_for_function(self, script: str, arg: Any = None) -> None:
        """Until it is true."""
        deadline = time.monotonic() + 60
        while not self.evaluate(f"arg => !!(({script})(arg))", arg):
            assert time.monotonic() < deadline, f"waited in vain for {script}"
            time.sleep(0.03)

    def query_selector(self, selector: str) -> bool:
        """Whether there is such an element."""
        return bool(self.evaluate(f"!!document.querySelector({json.dumps(selector)})"))

    def wait_for_selector(self, selector: str, state: str = "visible") -> None:
        """Until there is one that can be seen, or none (``detached``)."""
        there = f"[...document.querySelectorAll({json.dumps(selector)})].some(e => e.getClientRects().length)"
        self.wait_for_function(f"() => {'!' if state == 'detached' else ''}{there}")

    def inner_text(self, selector: str) -> str:
        """The text that is seen."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def wait_for_timeout(self, ms: float) -> None:
        """Wait."""
        time.sleep(ms / 1000)

    def screenshot(self, path: str) -> None:
        """The viewport as a PNG."""
        Path(path).write_bytes(base64.b64decode(self.ask("browsingContext.captureScreenshot")["data"]))


@contextmanager
def firefox(profile: Path) -> Iterator[FirefoxPage]:
    """A headless Firefox with a new profile, and its tab. Skips with a reason where there is none."""
    if FIREFOX is None:
        pytest.skip("Firefox is not installed (apt install firefox-esr): the page is not tried in it")
    connect = pytest.importorskip("websockets.sync.client", reason="websockets is not installed: Firefox cannot be driven").connect
    profile.mkdir(parents=True, exist_ok=True)
    log = profile / "stderr.log"
    command = [FIREFOX, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0", "about:blank"]
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        deadline = time.monotonic() + 90
        while not (found := re.search(r"WebDriver BiDi listening on (ws://\S+)", log.read_text(errors="replace"))):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")[-1000:]
            time.sleep(0.1)
        with connect(f"{found.group(1)}/session", max_size=None) as socket:
            page = FirefoxPage(socket, "")
            socket.send(json.dumps({"id": 0, "method": "session.new", "params": {"capabilities": {}}}))
            while json.loads(socket.recv(timeout=60)).get("id") != 0:
                pass
            page.number += 1
            socket.send(json.dumps({"id": page.number, "method": "browsingContext.getTree", "params": {}}))
            while (answer := json.loads(socket.recv(timeout=60))).get("id") != page.number:
                pass
            page.context = answer["result"]["contexts"][0]["context"]
            yield page
    finally:
        process.terminate()
        process.wait(30)
