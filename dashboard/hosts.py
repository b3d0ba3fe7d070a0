"""Which host names a server answers to, so that no web page elsewhere can read it by pointing a name of its own at it (DNS rebinding)."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send


class KnownHosts:
    """ASGI middleware: requests under another name get 400. An address in figures is let through: nobody can point it elsewhere."""

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()) -> None:
        """``names``: host names beside ``localhost`` and this machine's own, such as the public one behind a proxy."""
        self.app = app
        self.names = {"localhost", socket.gethostname().lower(), *(name.lower() for name in names if name)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] == "lifespan" or self._known(scope):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            text = b"This server is not known by that name: open it by its address, or name it with --url.\n"
            await send({"type": "http.response.start", "status": 400, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": text})

    def _known(self, scope: Scope) -> bool:
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(given) != 1:
            return False
        host = given[0].strip().lower()
        host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        if host.rstrip(".") in self.names:
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True
