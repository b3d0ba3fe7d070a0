"""The proxies' recipes for real: Caddy and nginx, from Debian's packages, in front of a server, with the files that ``study deploy`` writes."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from facesr.bench.study import store
from facesr.bench.study.deploy import deploy
from fake_study import small_study
from servers import Server, free_port


def started(kind: str, folder: Path, port: int, backend: int) -> subprocess.Popen[bytes]:
    """The proxy on ``port``, with the recipe's times cut to a second so that the test need not wait."""
    recipe = folder / {"caddy": "Caddyfile", "nginx": "nginx.conf"}[kind]
    text = recipe.read_text().replace("study:8501", f"127.0.0.1:{backend}").replace("127.0.0.1:8501", f"127.0.0.1:{backend}")
    assert f"127.0.0.1:{backend}" in text
    if kind == "caddy":
        text = text.replace("read_header 10s", "read_header 1s").replace("read_body 20s", "read_body 1s")
        recipe.write_text(text)
        command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(recipe)]
    else:
        text = text.replace("client_header_timeout 10s", "client_header_timeout 1s").replace(
            "client_body_timeout 20s", "client_body_timeout 1s"
        )
        parts = "".join(f"{p}_temp_path {folder}/{p};" for p in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        recipe.write_text(
            f"daemon off; user root; pid {folder}/pid; error_log {folder}/error.log; events {{}} http {{ {parts} {text} }}"
        )
        command = ["nginx", "-e", str(folder / "start.log"), "-c", str(recipe)]
    with (folder / "proxy.log").open("wb") as log:
        made = subprocess.Popen(command, stdout=log, stderr=log, env={"HOME": str(folder), "PATH": "/usr/bin:/usr/sbin:/bin"})
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return made
        assert made.poll() is None, (folder / "proxy.log").read_text()
        time.sleep(0.05)
    raise AssertionError("the proxy did not answer within a minute")


class Site:
    """A study behind a proxy."""

    def __init__(self, kind: str, folder: Path, *, dashboard: bool = False) -> None:
        self.kind, self.port = kind, free_port()
        self.url = f"http://localhost:{self.port}"
        study = small_study(folder, url=self.url)
        self.token = store.seat_rater(study.engine, rows=3)[1]
        deploy(study, folder / "server")
        study.close()
        self.server = Server(study.path, dashboard=dashboard)
        self.proxy = started(kind, folder / "server", self.port, self.server.port)

    def close(self) -> None:
        """End both."""
        self.proxy.terminate()
        self.proxy.wait(20)
        self.server.__exit__()


@pytest.fixture(params=["caddy", "nginx"])
def kind(request: pytest.FixtureRequest) -> str:
    """A proxy that is installed."""
    if shutil.which(str(request.param)) is None:
        pytest.skip(f"{request.param} is not installed (apt install {request.param})")
    return str(request.param)


@pytest.fixture
def site(kind: str, tmp_path: Path) -> Iterator[Site]:
    """Without the pages for organisers."""
    made = Site(kind, tmp_path)
    yield made
    made.close()


def silence(port: int, said: bytes) -> float:
    """Seconds until a connection that says no more is closed."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(said)
        while connection.recv(1000):
            pass
    return time.monotonic() - began


def test_rating_through_the_proxy(site: Site) -> None:
    """Page, API and images pass; large and slow requests do not; a made-up address is not believed; a restart loses no answer."""
    mine = {"Authorization": f"Bearer {site.token}"}
    with httpx.Client(base_url=site.url, timeout=60) as client:
        assert client.get("/rate/").status_code == 200
        assert client.post("/api/consent", json={"agreed": True}, headers=mine).status_code == 200
        items = client.get("/api/session", headers=mine).json()["items"]
        assert client.get(f"/api/stimuli/{items[0]['image']}", headers=mine).headers["content-type"] == "image/png"
        assert client.put("/api/ratings/1", json={"score": None}, headers=mine).json()["stored"] is True
        size = 65_000 if site.kind == "caddy" else 70_000  # above the proxy's limit; the first is below the server's own
        for path in ("/api/join", "/login", "/rate/"):
            with contextlib.suppress(httpx.TransportError):  # the proxy may hang up on what it refuses
                assert client.post(path, content=b"x" * size).status_code in {413, 502}
        assert silence(site.port, b"GET /rate/ HTTP/1.1\r\nHost: localhost\r\nX: ") < 8
        slow = b"POST /api/join HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
        assert silence(site.port, slow) < 8
        codes = [
            client.get("/api/session", headers={"Authorization": "Bearer x", "X-Forwarded-For": f"10.1.1.{k}"}).status_code
            for k in range(40)
        ]
        assert codes[0] == 401
        assert 429 in codes  # all of them are one address
        site.server.kill()
        back = threading.Timer(0.5, site.server.start)
        back.start()
        deadline = time.monotonic() + 90
        answer = client.put("/api/ratings/2", json={"score": None}, headers=mine)
        while answer.status_code >= 500:  # as the page does; Caddy itself waits for half a minute
            assert time.monotonic() < deadline
            time.sleep(0.2)
            answer = client.put("/api/ratings/2", json={"score": None}, headers=mine)
        back.join()
        assert answer.json() == {"stored": True, "next": 3, "rest": 0.0}


@pytest.mark.slow
def test_watching_through_the_proxy(kind: str, tmp_path: Path) -> None:
    """The login, and Streamlit's WebSocket from a page of the remembered address; a page of another address may not open it."""
    site = Site(kind, tmp_path, dashboard=True)
    try:
        with httpx.Client(base_url=site.url, timeout=60) as client:
            client.get("/login")
            form = {"password": "open sesame", "csrf": client.cookies["facesr_csrf"]}
            assert client.post("/login", data=form, headers={"Origin": site.url}).status_code == 303
            cookie = client.cookies["facesr_admin"]
            assert client.get("/_stcore/health").text == "ok"
        for origin, wanted in ((site.url, b"101"), ("http://evil.example", b"403")):
            with socket.create_connection(("127.0.0.1", site.port), timeout=30) as connection:
                connection.sendall(
                    f"GET /_stcore/stream HTTP/1.1\r\nHost: localhost:{site.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: {origin}\r\n"
                    f"Cookie: facesr_admin={cookie}\r\n\r\n".encode()
                )
                assert connection.recv(100).split(b" ")[1] == wanted, origin
    finally:
        site.close()
