"""Strangers at the door: bodies without end, heads without end, silence, broken addresses. The server stays small and goes on serving."""

from __future__ import annotations

import http.client
import multiprocessing
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from facesr.bench.study import store
from facesr.dashboard.rating import patience
from facesr.dashboard.rating.limits import MAX_BODY
from fake_study import small_study
from servers import free_port


def door(folder: str, number: int) -> None:
    """The study's whole application, login included, as ``serve`` runs it; a head must arrive within a second."""
    import uvicorn

    from facesr.bench.study import load_study
    from facesr.dashboard.rating.limits import Bounded
    from facesr.dashboard.rating.login import Login
    from facesr.dashboard.serve import study_app

    study = load_study(folder)
    patience.HEAD_SECONDS = 1.0
    app = Bounded(Login(study_app(study, password="open sesame", streamlit=False), "open sesame", study))
    uvicorn.run(app, host="127.0.0.1", port=number, log_level="critical", access_log=False, http=patience.Patient)


@dataclass
class Door:
    """A server in a process of its own, whose memory is its own."""

    port: int
    pid: int

    def peak(self) -> float:
        """The most memory the process ever held, MiB: the kernel's own record, which never falls."""
        told = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line for line in told.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """``door`` with a study of one rater."""
    study = small_study(tmp_path_factory.mktemp("door"))
    store.seat_rater(study.engine, rows=3)
    study.close()
    number = free_port()
    process = multiprocessing.get_context("spawn").Process(target=door, args=(str(study.path), number), daemon=True)
    process.start()
    deadline = time.monotonic() + 120
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{number}/api/alive")
            break
        except httpx.TransportError:
            assert process.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert process.pid is not None
    yield Door(number, process.pid)
    process.kill()
    process.join(10)


@pytest.fixture
def port(server: Door) -> int:
    """Where it listens."""
    return server.port


def flood(port: int, path: str, megabytes: int) -> int:
    """Send a chunked body until the server answers or ends the connection; returns the status, 0 where it just hung up."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest("POST", path)
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    block = b"%x\r\n" % 65536 + b"x" * 65536 + b"\r\n"
    try:
        for _ in range(megabytes * 16):
            connection.send(block)
        return connection.getresponse().status
    except (BrokenPipeError, ConnectionResetError):
        return 0
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/login", "/logout", "/api/join", "/api/events", "/rate/", "/nowhere"])
def test_a_body_without_end_is_cut_off(server: Door, path: str) -> None:
    """64 MB in chunks to every kind of route, told or not: refused after 64 KiB, and the server's peak has not grown by them."""
    port, before = server.port, server.peak()
    assert flood(port, path, 64) in {0, 413}
    assert server.peak() - before < 16
    told = httpx.post(f"http://127.0.0.1:{port}{path}", content=b"x" * (MAX_BODY + 1))
    assert told.status_code == 413


@pytest.mark.parametrize("said", [b"", b"GET /rate/ HTTP/1.1\r\nHost: x\r\nX: ", b"POST /login HT"])
def test_silence_is_not_waited_for(port: int, said: bytes) -> None:
    """An idle connection and a head that never ends are closed; others are served meanwhile."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as idle:
        idle.sendall(said)
        assert httpx.get(f"http://127.0.0.1:{port}/api/alive").text == "ok"
        started = time.monotonic()
        while idle.recv(1000):
            pass
        assert time.monotonic() - started < 5


def test_broken_origins_are_refused(port: int) -> None:
    """``http://[`` is no address: the form is refused, the server does not fall over it."""
    for origin in ("http://[", "http://[::1", "http://a]b", "null", "http://evil.example"):
        answer = httpx.post(f"http://127.0.0.1:{port}/login", headers={"Origin": origin}, data={"password": "x"})
        assert answer.status_code == 403


def test_a_slow_body_is_refused(tmp_path: Path) -> None:
    """The body must be there in time, told length or not."""
    import asyncio
    from typing import Any

    from facesr.dashboard.rating.limits import Bounded

    async def never(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError("the application must not see it")

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b"x", "more_body": True}

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Bounded(never, seconds=0.3)({"type": "http", "headers": [], "method": "POST", "path": "/"}, receive, send))
    assert sent[0]["status"] == 408
