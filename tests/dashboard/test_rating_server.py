"""The server as a process: killed at random while everyone rates, on both databases; its speed; its login."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from facesr.bench.study import Study, load, store
from facesr.bench.study import tables as t
from facesr.bench.study.create import create
from fake_study import fake_run, small_study
from servers import Server, new_database, postgres  # noqa: F401 - a fixture


def grade(rater: int, position: int) -> int:
    """What rater ``rater`` answers at ``position``: known, so that the database can be checked answer by answer."""
    return 1 + (7 * rater + 3 * position) % 5


async def rate_everything(client: httpx.AsyncClient, token: str, number: int, rng: random.Random, double: float) -> int:
    """One rater without pauses; what fails is sent again until it is acknowledged. Returns the number of requests sent."""
    headers = {"Authorization": f"Bearer {token}"}
    sent = 0

    async def until_answered(method: str, path: str, body: object = None) -> httpx.Response:
        nonlocal sent
        while True:
            try:
                sent += 1
                response = await client.request(method, path, json=body, headers=headers)
            except httpx.TransportError:
                await asyncio.sleep(0.05)
                continue
            if response.status_code == 429 or response.status_code >= 500:
                await asyncio.sleep(0.2)
                continue
            return response

    await until_answered("POST", "/api/consent", {"agreed": True})
    items = (await until_answered("GET", "/api/session")).json()["items"]
    for item in items:
        path = f"/api/ratings/{item['position']}"
        rated = not item["task"].startswith("anchor")
        body = {"score": grade(number, item["position"]) if rated else None, "rt_ms": 100.0, "input": "key", "shown": {"dpr": 1.0}}
        response = await until_answered("PUT", path, body)
        assert response.status_code == 200, response.text
        if rng.random() < double:  # a second send, with another grade: it must change nothing
            other = {**body, "score": 1 + grade(number, item["position"]) % 5} if rated else body
            again = await until_answered("PUT", path, other)
            assert again.json()["stored"] is False
    return sent


async def flat_out(server: Server, tokens: list[str], kills: int, double: float = 0.1, over: float = 4.0) -> tuple[int, float]:
    """All raters at once, while the server is killed ``kills`` times over ``over`` seconds; returns requests sent and seconds."""
    rng = random.Random(1)
    began = time.perf_counter()

    async def killer() -> None:
        for _ in range(kills):
            await asyncio.sleep(rng.uniform(0.2, 1.8) * over / kills)
            server.kill()
            await asyncio.to_thread(server.start)

    limits = httpx.Limits(max_connections=len(tokens))
    async with httpx.AsyncClient(base_url=server.url, timeout=10, limits=limits) as client:
        raters = [rate_everything(client, token, k, random.Random(k), double) for k, token in enumerate(tokens)]
        *sent, _ = await asyncio.gather(*raters, killer())
    return sum(sent), time.perf_counter() - began


def check_database(study: Study, raters: int, items: int) -> None:
    """Exactly one row for each rater and position, each with the answer that was acknowledged first."""
    with study.engine.connect() as connection:
        rows = connection.execute(
            select(t.rater.c.name, t.rating.c.position, t.rating.c.score, t.plan.c.kind)
            .join(t.rater, t.rater.c.id == t.rating.c.rater)
            .join(t.plan, (t.plan.c.row == t.rater.c.row) & (t.plan.c.position == t.rating.c.position))
        ).all()
        done = connection.execute(select(func.count()).select_from(t.rater).where(t.rater.c.status == "done")).scalar_one()
    assert len(rows) == raters * items
    assert len({(r.name, r.position) for r in rows}) == raters * items
    for r in rows:
        wanted = None if r.kind.startswith("anchor") else grade(int(r.name[1:]) - 1, r.position)
        assert r.score == wanted, r
    assert done == raters


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
    tokens = [store.invite(study.engine, rows=6)[1] for _ in range(6)]
    study.close()
    with Server(study.path) as server:
        asyncio.run(flat_out(server, tokens, kills=1, over=0.6))
        log = server.log.read_text()
    again = load(study.path)
    check_database(again, 6, 16)
    again.close()
    assert "GET /" not in log  # no access log: it would hold addresses
    assert "Traceback" not in log


def big_study(folder: Path, database: str | None) -> tuple[Study, list[str]]:
    """40 raters x 240 items: 40 faces in six conditions."""
    run = fake_run(folder / "run", faces=40, methods=("bicubic", "fsrnet", "pix2pixhd", "pulse", "psp"))
    study = create(run, folder / "study", options={"anchors": 0, "session_minutes": 0.0}, database=database)
    tokens = [store.invite(study.engine, rows=40)[1] for _ in range(40)]
    study.close()
    return study, tokens


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_forty_raters_flat_out_and_ten_kills(tmp_path: Path, database: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    """40 raters x 240 items, 10 % double sends, ten kills (-9) of the whole server with Streamlit: exactly 9,600 ratings."""
    study, tokens = big_study(tmp_path, database)
    with Server(study.path, dashboard=True) as server:
        sent, seconds = asyncio.run(flat_out(server, tokens, kills=10, over=60.0))
        log = server.log.read_text()
    again = load(study.path)
    check_database(again, 40, 240)
    again.close()
    assert "GET /" not in log
    with capsys.disabled():
        print(f"\n{'SQLite' if database is None else 'PostgreSQL'}: 9,600 ratings, {sent:,} requests, ten kills, {seconds:.0f} s")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_speed_at_twenty_ratings_a_second(tmp_path: Path, database: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    """p95 of a rating at most 50 ms at 20 ratings a second for 30 seconds, with Streamlit in the same process, on two cores."""
    cores = os.cpu_count() or 1
    if os.getloadavg()[0] > cores:
        pytest.skip(
            f"this machine is busy with other work (load {os.getloadavg()[0]:.1f} on {cores} cores): times would be about that"
        )
    study, tokens = big_study(tmp_path, database)
    with Server(study.path, dashboard=True) as server:
        times = asyncio.run(paced(server, tokens, rate=20, seconds=30))
    p50, p95 = statistics.median(times), statistics.quantiles(times, n=20)[-1]
    with capsys.disabled():
        print(
            f"\n{'SQLite' if database is None else 'PostgreSQL'}: {len(times)} ratings, p50 {1000 * p50:.1f} ms, p95 {1000 * p95:.1f} ms"
        )
    assert len(times) == 600
    assert p95 <= 0.050


async def paced(server: Server, tokens: list[str], rate: float, seconds: float) -> list[float]:
    """Ratings at a steady rate, spread over all raters; returns the time of each."""
    times: list[float] = []
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        for token in tokens:
            await client.post("/api/consent", json={"agreed": True}, headers={"Authorization": f"Bearer {token}"})

        async def one(k: int) -> None:
            headers = {"Authorization": f"Bearer {tokens[k % len(tokens)]}"}
            began = time.perf_counter()
            response = await client.put(f"/api/ratings/{1 + k // len(tokens)}", json={"score": 3}, headers=headers)
            times.append(time.perf_counter() - began)
            assert response.json()["stored"] is True

        start = time.perf_counter()
        tasks = []
        for k in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, start + k / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(one(k)))
        await asyncio.gather(*tasks)
    return times


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
