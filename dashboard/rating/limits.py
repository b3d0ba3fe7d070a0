"""Limits of a server on the open internet: requests a second, size and slowness of a request. One process serves a study, so memory will do."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 64 * 1024
"""Bytes of the largest request: everything raters and organisers send is small."""

BODY_SECONDS = 20.0
"""Time in which a request must have arrived."""


@dataclass
class Bounded:
    """Reads each request whole, up to ``most`` bytes and for ``seconds`` at most, before the application sees any of it.

    Counted as it arrives: a length that is not told, or told wrong, changes nothing.
    """

    app: ASGIApp
    most: int = MAX_BODY
    seconds: float = BODY_SECONDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] != "http" or scope.get("facesr.bounded"):
            await self.app(scope, receive, send)
            return
        told = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if told.isdigit() and int(told) <= self.most:
            try:
                async with asyncio.timeout(self.seconds):
                    body = await self._read(receive)
            except TimeoutError:
                await self._refuse(scope, receive, send, 408, "the request came too slowly")
                return
            if body is not None:
                await self._pass_on(scope, receive, send, body)
                return
        await self._refuse(scope, receive, send, 413, f"the request is too large: at most {self.most} bytes")

    async def _read(self, receive: Receive) -> bytes | None:
        """The body; None where it is too large or the client went away."""
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += bytes(message.get("body", b""))
            if len(body) > self.most:
                return None
            if not message.get("more_body", False):
                return body

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app({**scope, "facesr.bounded": True}, replay, send)

    @staticmethod
    async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, why: str) -> None:
        # The rest of the body is not read: the connection ends here.
        await JSONResponse({"detail": why}, status, {"Connection": "close"})(scope, receive, send)


@dataclass
class Limiter:
    """A token bucket per key: ``rate`` requests a second on average, ``burst`` at once. Keys at rest are forgotten."""

    rate: float
    burst: float
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, key: str, now: float | None = None) -> float:
        """Take one request from the key's bucket: 0 when it may go ahead, else the seconds to wait (nothing is taken then)."""
        moment = time.monotonic() if now is None else now
        with self._lock:
            if len(self._buckets) > 10_000:
                full = [k for k, (left, at) in self._buckets.items() if left + (moment - at) * self.rate >= self.burst]
                for k in full:
                    del self._buckets[k]
            left, at = self._buckets.get(key, (self.burst, moment))
            left = min(self.burst, left + (moment - at) * self.rate)
            if left < 1:
                self._buckets[key] = (left, moment)
                return (1 - left) / self.rate
            self._buckets[key] = (left - 1, moment)
            return 0.0
