"""The server as a process: killed at random while everyone rates, on both databases; its speed; its login."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from facesr.bench.study import load_study, store
from fake_study import small_study
from rating_load import big_study, check_database, cpu_seconds, flat_out, paced
from servers import Server, new_database, postgres  # noqa: F401 - a fixture


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Both databases: None is SQLite in the study's folder."""
    if request.param == "sqlite":
        yield None
    else:
        yield new_database(request.getfixturevalue("postgres"), f"load{time.time_ns()}")


def test_killed_while_six_rate(tmp_path: Path, database: str | None) -> None:
    """6 raters x 16 items, 10 % double sends, a kill (-9) among them: each answer there once, none lost, none changed."""
    study = small_study(tmp_path, database=database, raters=6)
    tokens = [store.seat_rater(study.engine, rows=6)[1] for _ in range(6)]
    study.close()
    with Server(study.path) as server:
        asyncio.run(flat_out(server, tokens, kills=1, over=0.6))
        log = server.log.read_text()
    again = load_study(study.path)
    check_database(again, 6, 16)
    again.close()
    assert "GET /" not in log  # no access log: it would hold addresses
    assert "Traceback" not in log


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_forty_raters_flat_out_and_ten_kills(tmp_path: Path, database: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    """40 raters x 240 items, 10 % double sends, ten kills (-9) of the whole server with Streamlit: exactly 9,600 ratings."""
    study, tokens = big_study(tmp_path, database)
    with Server(study.path, dashboard=True) as server:
        sent, seconds = asyncio.run(flat_out(server, tokens, kills=10, over=60.0))
        log = server.log.read_text()
    again = load_study(study.path)
    check_database(again, 40, 240)
    again.close()
    assert "GET /" not in log
    with capsys.disabled():
        print(f"\n{'SQLite' if database is None else 'PostgreSQL'}: 9,600 ratings, {sent:,} requests, ten kills, {seconds:.0f} s")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_speed_at_twenty_ratings_a_second(tmp_path: Path, database: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    """20 ratings a second for 30 seconds, with Streamlit in the same process: CPU time of a rating, and on an idle machine p95 <= 50 ms."""
    study, tokens = big_study(tmp_path, database)
    busy = os.getloadavg()[0] > (os.cpu_count() or 1)
    with Server(study.path, dashboard=True) as server:
        asyncio.run(paced(server, tokens, rate=20, seconds=4))  # two by each of the 40, not counted
        before = cpu_seconds(server)
        times = asyncio.run(paced(server, tokens, rate=20, seconds=30, first=3))
        cost = (cpu_seconds(server) - before) / len(times)
    p50, p95 = statistics.median(times), statistics.quantiles(times, n=20)[-1]
    with capsys.disabled():
        print(
            f"\n{'SQLite' if database is None else 'PostgreSQL'}: {len(times)} ratings, CPU {1000 * cost:.1f} ms a rating, "
            f"p50 {1000 * p50:.1f} ms, p95 {1000 * p95:.1f} ms{' (other work on this machine)' if busy else ''}"
        )
    assert len(times) == 600
    assert cost <= 0.025  # half a core at 20 a second
    assert busy or p95 <= 0.050


def test_login_stands_before_everything_but_the_rating_page(tmp_path: Path) -> None:
    """Streamlit and its WebSocket only with the password; wrong ones, forged cookies and other pages' forms are refused."""
    study = small_study(tmp_path)
    with Server(study.path, dashboard=True) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        for path in ("/", "/_stcore/health", "/_stcore/host-config", "/static/index.html", "/media/x", "/api/../_stcore/health"):
            response = client.get(path)
            assert response.status_code in {303, 404}, path
            assert response.status_code == 404 or response.headers["location"] == "/login"
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        assert client.get("/_stcore/stream", headers=upgrade).status_code == 403
        assert client.get("/rate/").status_code == 200
        form = client.get("/login")
        csrf = form.text.split('name="csrf" value="')[1].split('"')[0]
        good = {"password": "open sesame", "csrf": csrf}
        assert client.post("/login", data={**good, "csrf": "x"}).status_code == 403
        assert client.post("/login", data=good, headers={"Origin": "https://evil.example"}).status_code == 403
        client.get("/login")
        csrf = client.cookies["facesr_csrf"]
        assert client.post("/login", data={"password": "guess", "csrf": csrf}).status_code == 401
        client.cookies.set("facesr_admin", "admin.forged.signature")
        assert client.get("/").status_code == 303
        client.cookies.delete("facesr_admin")
        csrf = client.cookies["facesr_csrf"]
        response = client.post("/login", data={"password": "open sesame", "csrf": csrf})
        assert response.status_code == 303
        cookie = response.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "<title>" in client.get("/").text
        kept = client.cookies["facesr_admin"]
        assert 'action="logout"' in client.get("/logout").text  # a page with a button: no picture of another page logs anybody out
        assert client.get("/").status_code == 200
        assert client.post("/logout", headers={"Origin": "https://evil.example"}).status_code == 405
        assert client.post("/logout").status_code == 303
        client.cookies.set("facesr_admin", kept)
        assert client.get("/").status_code == 303  # a copy of the cookie is worth nothing any more
        assert client.get("/_stcore/stream", headers=upgrade).status_code == 403
        client.cookies.delete("facesr_admin")
        codes = []
        for _ in range(12):
            client.get("/login")
            codes.append(client.post("/login", data={"password": "guess", "csrf": client.cookies["facesr_csrf"]}).status_code)
        assert codes[-1] == 429
