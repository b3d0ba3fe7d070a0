"""The rating page's files, served as they are, with headers that leave a script of someone else nothing to do."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from facesr.dashboard.rating.notices import Pages

FOLDER = Path(__file__).parent / "page"
SCRIPTS = ("rate", "page", "item", "steps", "screen", "sight", "enter", "queue", "show")
FILES = {
    "": ("index.html", "text/html; charset=utf-8"),
    **{f"{name}.js": (f"{name}.js", "text/javascript; charset=utf-8") for name in SCRIPTS},
    **{f"{name}.css": (f"{name}.css", "text/css; charset=utf-8") for name in ("rate", "steps")},
}
"""Only these names exist; nothing of a request ever becomes a path."""


def headers(frame_ancestors: str) -> dict[str, str]:
    """Security headers. ``frame_ancestors``: who may show the page in a frame ('none', or the crowd platform that does)."""
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; base-uri 'none'; "
        f"form-action 'self' https://www.mturk.com https://workersandbox.mturk.com; frame-ancestors {frame_ancestors}"
    )
    return {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
        "Cache-Control": "no-cache",
    }


def rating_routes(source: str, lost: Pages) -> list[Route]:
    """Routes for ``/rate`` and its files; a study on MTurk may be framed by MTurk, any other by nobody. ``lost``: for names that are none."""
    framed = "https://www.mturk.com https://workersandbox.mturk.com" if source == "mturk" else "'none'"

    async def page(request: Request) -> Response:
        name, media = FILES.get(request.path_params.get("name", ""), ("", ""))
        if not name:
            return lost(request)
        return FileResponse(FOLDER / name, media_type=media, headers=headers(framed))

    async def slash(request: Request) -> Response:
        # The page's addresses are relative, so that a proxy may serve it below any path; the query (a crowd worker's id) goes along.
        return RedirectResponse(f"rate/?{request.url.query}" if request.url.query else "rate/", 307)

    return [Route("/rate", slash), Route("/rate/", page), Route("/rate/{name:path}", page)]
