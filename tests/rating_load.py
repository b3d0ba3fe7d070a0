"""Raters as a load on a server: everyone at once, with kills in between, or at a steady rate. What each answers is known beforehand."""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import httpx
from sqlalchemy import func, select

from facesr.bench.study import Study, store
from facesr.bench.study import tables as t
from facesr.bench.study.create import create
from fake_study import fake_run
from servers import Server


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


def big_study(folder: Path, database: str | None) -> tuple[Study, list[str]]:
    """40 raters x 240 items: 40 faces in six conditions."""
    run = fake_run(folder / "run", faces=40, methods=("bicubic", "fsrnet", "pix2pixhd", "pulse", "psp"))
    study = create(run, folder / "study", options={"anchors": 0, "session_minutes": 0.0}, database=database)
    tokens = [store.seat_rater(study.engine, rows=40)[1] for _ in range(40)]
    study.close()
    return study, tokens


async def paced(server: Server, tokens: list[str], rate: float, seconds: float, first: int = 1) -> list[float]:
    """Ratings at a steady rate, spread over all raters, each from position ``first`` on; returns the time of each."""
    times: list[float] = []
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        for token in tokens:
            await client.post("/api/consent", json={"agreed": True}, headers={"Authorization": f"Bearer {token}"})

        async def one(k: int, before: asyncio.Task[None] | None) -> None:
            if before is not None:
                await before  # a rater answers one item after the other, however slow the machine is
            headers = {"Authorization": f"Bearer {tokens[k % len(tokens)]}"}
            began = time.perf_counter()
            response = await client.put(f"/api/ratings/{first + k // len(tokens)}", json={"score": 3}, headers=headers)
            times.append(time.perf_counter() - began)
            assert response.json()["stored"] is True

        start = time.perf_counter()
        tasks: list[asyncio.Task[None]] = []
        for k in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, start + k / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(one(k, tasks[k - len(tokens)] if k >= len(tokens) else None)))
        await asyncio.gather(*tasks)
    return times


def cpu_seconds(server: Server) -> float:
    """CPU time of the server's process so far: what a rating costs, however busy the machine is."""
    assert server.process is not None
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
