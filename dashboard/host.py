"""The result pages as an ASGI application: Streamlit, and the route that serves pictures byte for byte."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp

SCRIPT = Path(__file__).with_name("app.py")


def dashboard_app(base: str = "", address: str = "", port: int = 8501) -> ASGIApp:
    """All result pages of ``FACESR_RUNS`` and ``FACESR_STUDIES``.

    ``base``: the path a proxy puts before them; ``address``: the host name readers use, whose pages may open the WebSocket.
    """
    import streamlit as st

    from facesr.dashboard import warm
    from facesr.dashboard.images import routes

    app = st.App(SCRIPT, routes=routes(base))
    apply_settings({"server.baseUrlPath": base, "browser.serverAddress": address or "localhost", "server.port": port})
    warm.start_warming()
    return app


def apply_settings(settings: Mapping[str, Any]) -> None:
    """Settings beside ``.streamlit/config.toml``. As an ASGI application, Streamlit reads no ``STREAMLIT_…`` variables: a user's own
    global settings could turn usage statistics on again, so that one is set here too.
    """
    from streamlit import config

    for key, value in {"browser.gatherUsageStats": False, **settings}.items():
        config.set_option(key, value)


def serve_on(app: ASGIApp, listener: socket.socket) -> None:
    """Serve on an open socket until stopped; no access log, which would hold readers' addresses."""
    import uvicorn

    # Streamlit sets up logging anew when it starts; WebSocket lines would hold addresses again.
    for name in ("uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).addFilter(lambda record: record.levelno >= logging.WARNING)
    server = uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning", server_header=False))
    server.run(sockets=[listener])
