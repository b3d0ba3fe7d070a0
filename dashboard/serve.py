"""One process for a study: the rating page and its API beside Streamlit, which shows the watching page and the result pages.

Streamlit's script is ``dashboard/app.py``. It learns what to show from the environment: ``FACESR_RUNS`` and ``FACESR_STUDIES``, folders
separated by ``os.pathsep``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from facesr.bench.study import Study
from facesr.bench.study import tables as t
from facesr.bench.study.database import trouble
from facesr.dashboard.host import SCRIPT, apply_settings
from facesr.dashboard.images import routes as pictures
from facesr.dashboard.rating.api import Limits, rating_api
from facesr.dashboard.rating.limits import Bounded
from facesr.dashboard.rating.login import Login
from facesr.dashboard.rating.notices import front_page, lost_page, welcome
from facesr.dashboard.rating.pages import rating_routes

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp


def _alive(study: Study) -> Route:
    def alive(_request: Request) -> Response:
        try:
            with study.engine.connect() as connection:
                connection.execute(select(t.study.c.id)).first()
        except SQLAlchemyError as error:
            return PlainTextResponse(trouble(error), 503)
        return PlainTextResponse("ok")

    return Route("/api/alive", alive)


def study_app(
    study: Study,
    *,
    password: str,
    runs: Sequence[Path] = (),
    limits: Limits | None = None,
    streamlit: bool = True,
    address: str = "",
    port: int = 8501,
) -> ASGIApp:
    """The ASGI application of one study. ``streamlit=False`` leaves the pages for organisers out: rating page and API only.

    ``address``: the host name by which organisers reach the pages through a proxy; Streamlit opens its WebSocket to pages from there.
    """
    nowhere = lost_page(study)
    routes = [_alive(study), *rating_routes(study.design.join, nowhere), Mount("/api", rating_api(study, limits))]
    if not streamlit:
        from starlette.applications import Starlette

        async def missing(request: Request, _error: Exception) -> Response:
            return nowhere(request)

        async def root(request: Request) -> Response:
            return front_page(study)(request)

        return Bounded(Starlette(routes=[*routes, Route("/", root)], exception_handlers={404: missing}))
    os.environ["FACESR_STUDIES"] = str(study.path.resolve())
    os.environ["FACESR_RUNS"] = os.pathsep.join(str(Path(r).resolve()) for r in runs)
    import streamlit as st

    from facesr.dashboard import warm

    app = st.App(SCRIPT, routes=[*routes, *pictures()])
    apply_settings({"browser.serverAddress": address or "localhost", "server.port": port, "client.toolbarMode": "minimal"})
    warm.start_warming()
    return Bounded(Login(app, password, study, lambda request: welcome(study, request)))


def serve(app: ASGIApp, host: str, port: int, *, proxies: str = "127.0.0.1") -> None:
    """Run until stopped. ``proxies``: addresses whose X-Forwarded headers are believed. No access log: it would hold raters' addresses."""
    import logging

    import uvicorn

    from facesr.dashboard.rating.patience import MOST_CONNECTIONS, Patient

    # access_log=False is not enough: Streamlit sets up logging anew when it starts, and addresses would be in the log again.
    for name in ("uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).addFilter(lambda record: record.levelno >= logging.WARNING)
    uvicorn.run(
        app,
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        forwarded_allow_ips=proxies,
        server_header=False,
        http=Patient,
        limit_concurrency=MOST_CONNECTIONS,
        ws_max_size=1024 * 1024,
    )
