"""The result pages answer to their own names only."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from facesr.dashboard.hosts import KnownHosts


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8501", 200), ("127.0.0.1:8501", 200), ("[::1]:8501", 200), ("192.168.7.3", 200), ("Lab.Example", 200),
        ("evil.example:8501", 400), ("localhost.evil.example", 400), ("127.0.0.1.evil.example", 400), ("", 400), ("[evil", 400),
    ],
)  # fmt: skip
def test_other_names_are_refused(host: str, status: int) -> None:
    inner = Starlette(routes=[Route("/", lambda request: PlainTextResponse("faces"))])

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(KnownHosts(inner, ["lab.example"]))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/", headers={"host": host})

    answer = asyncio.run(ask())
    assert answer.status_code == status
    assert ("faces" in answer.text) == (status == 200)
