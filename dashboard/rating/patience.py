"""Connections that say nothing, or say it endlessly slowly, are closed: each one that waits costs a file and memory."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""Time in which the head of a request must have arrived, from the connection's or the request's first byte on."""

MOST_CONNECTIONS = 2000
"""Connections and requests at once, beyond which 503 is answered."""


class Patient(H11Protocol):
    """uvicorn's HTTP/1.1 with a limit on the time a request's head may take; uvicorn itself waits for ever."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A connection without a request is on time from now on."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """A complete head stops the clock; the first bytes of the next request start it again."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        elif self._timer is None and not self.transport.is_closing():
            self._wait()

    def handle_websocket_upgrade(self, event: Any) -> None:
        """A WebSocket stays open."""
        self._stop()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Between two requests uvicorn's own keep-alive limit holds."""
        self._stop()
        super().on_response_complete()

    def _wait(self) -> None:
        self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
