"""Everything but the rating page is behind a login: one ASGI layer around Streamlit, its WebSocket included."""

from __future__ import annotations

import hashlib
import hmac
import html
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from itsdangerous import BadSignature, TimestampSigner
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facesr.bench.study import Study
from facesr.bench.study import tables as t
from facesr.bench.study.database import later, writing
from facesr.bench.study.store import hashed, log_event
from facesr.dashboard.rating.limits import Limiter

OPEN = ("/api", "/rate")
"""Paths that raters use; they have their own tokens."""

COOKIE = "facesr_admin"
HOURS = 12

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>FaceSR-Bench</title><link rel="icon" href="data:,"><style>
body{{font:1.05rem/1.5 system-ui,sans-serif;display:grid;place-items:center;min-height:90vh;margin:1rem;background:Canvas;color:CanvasText}}
form{{width:min(22rem,100%);display:grid;gap:.8rem}}h1{{font-size:1.4rem;margin:0}}p{{margin:0}}
input,button{{font:inherit;padding:.6rem .8rem;border-radius:.5rem;border:1px solid GrayText}}button{{cursor:pointer;font-weight:600}}
section{{width:min(34rem,100%);margin-bottom:2.5rem}}section h1{{margin-bottom:.7rem}}h2{{font-size:1.15rem;margin:0}}
main{{display:grid;justify-items:start;width:min(34rem,100%)}}
</style></head><body><main>{welcome}<form method="post" action="login"><h2>For the organisers: log in to watch the study</h2>
<p role="alert">{problem}</p><input type="hidden" name="csrf" value="{csrf}">
<label for="password">Password</label><input id="password" name="password" type="password" autocomplete="current-password" required>
<button>Log in</button></form></main></body></html>"""

LOGOUT = (
    PAGE.partition("{welcome}")[0].format()
    + """<form method="post" action="logout"><h1>Log out</h1><p>Pages that are still open end at the next thing they do.</p>
<button>Log out</button><a href="./">Back to the study</a></form></main></body></html>"""
)


LOGGED_OUT = "logged out"
"""The event in the study's log, of no rater."""


def ended_sessions(study: Study) -> set[str]:
    """sha256 of the cookies of sessions that were logged out and have not run out by themselves yet."""
    mine = (t.event.c.kind == LOGGED_OUT) & t.event.c.rater.is_(None) & (t.event.c.at >= later(-60 * HOURS))
    with study.engine.connect() as connection:
        return {json.loads(detail)["session"] for detail in connection.execute(select(t.event.c.detail).where(mine)).scalars()}


@dataclass
class Login:
    """An ASGI app that lets raters through, and asks everyone else for the password first.

    ``welcome``: HTML above the form for people who come without a link, most of them raters: what they do.
    The session cookie is signed with the study's key and the password's hash: it survives a restart and ends with the password. That a session
    was logged out stands in the study's log (the cookie's sha256), so that it survives a restart too.
    """

    app: ASGIApp
    password: str
    study: Study
    welcome: Callable[[Request], str] | None = None
    tries: Limiter = field(default_factory=lambda: Limiter(0.1, 10))

    def __post_init__(self) -> None:
        self._ended = ended_sessions(self.study)
        salt = hashlib.sha256(b"facesr admin" + self.study.secret).digest()
        self._hash = hashlib.scrypt(self.password.encode(), salt=salt, n=2**14, r=8, p=1)
        self._salt = salt
        self._signer = TimestampSigner(self.study.secret + self._hash)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        path = str(scope.get("path", ""))
        if scope["type"] not in {"http", "websocket"} or any(path == p or path.startswith(p + "/") for p in OPEN):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            if self._known(scope):
                await self.app(scope, self._while_logged_in(scope, receive), send)
            else:
                await send({"type": "websocket.close", "code": 1008})
        elif path == "/login":
            await (await self._login(Request(scope, receive)))(scope, receive, send)
        elif path == "/logout":
            await (await run_in_threadpool(self._logout, Request(scope, receive)))(scope, receive, send)
        elif self._known(scope):
            await self.app(scope, receive, send)
        else:
            await RedirectResponse("/login", 303, {"Cache-Control": "no-store"})(scope, receive, send)

    def _cookie(self, scope: Scope, name: str) -> str:
        header = next((v for k, v in scope["headers"] if k == b"cookie"), b"").decode("latin-1")
        try:
            found: SimpleCookie = SimpleCookie(header)
        except CookieError:
            return ""
        return found[name].value if name in found else ""

    def _known(self, scope: Scope) -> bool:
        cookie = self._cookie(scope, COOKIE)
        try:
            return self._signer.unsign(cookie, max_age=HOURS * 3600).startswith(b"admin-") and hashed(cookie) not in self._ended
        except BadSignature:
            return False

    def _while_logged_in(self, scope: Scope, receive: Receive) -> Receive:
        """What a page's open WebSocket sends, until its session is ended."""

        async def checked() -> Message:
            message = await receive()
            return message if self._known(scope) else {"type": "websocket.disconnect", "code": 1008}

        return checked

    async def _login(self, request: Request) -> Response:
        if request.method in {"GET", "HEAD"}:
            return self._form("", 200, self.welcome(request) if self.welcome else "")
        if request.method != "POST":
            return Response(status_code=405)
        address = request.client.host if request.client else ""
        if self.tries.wait(address):
            return self._form("Too many tries: wait a minute.", 429)
        if not _same_origin(request):
            return self._form("This form was sent by another page.", 403)
        body = (await request.body()).decode("utf-8", "replace")  # ``limits.Bounded`` has read it, and bounded it
        try:
            values = parse_qs(body, max_num_fields=8)
        except ValueError:
            return self._form("The form cannot be read: please try again.", 400)
        cookie = self._cookie(request.scope, "facesr_csrf")
        if not cookie or not hmac.compare_digest(cookie.encode(), values.get("csrf", [""])[0].encode()):
            return self._form("The form was too old: please try again.", 403)
        given = hashlib.scrypt(values.get("password", [""])[0].encode(), salt=self._salt, n=2**14, r=8, p=1)
        if not hmac.compare_digest(given, self._hash):
            return self._form("That is not the password.", 401)
        response = RedirectResponse("./", 303)
        self._set(response, request, COOKIE, self._signer.sign(f"admin-{secrets.token_urlsafe(9)}").decode(), HOURS * 3600)
        return response

    def _logout(self, request: Request) -> Response:
        """A page with a button, so that no other page's picture or link logs anybody out; the button ends the session here, too."""
        known = self._known(request.scope)
        if request.method in {"GET", "HEAD"} and known:
            return _page(LOGOUT, 200)
        if request.method != "POST" or not _same_origin(request):
            return (
                RedirectResponse("login", 303)
                if request.method in {"GET", "HEAD"}
                else Response("log out by the page's own button", 405)
            )
        if known:
            session = hashed(self._cookie(request.scope, COOKIE))
            self._ended.add(session)
            with writing(self.study.engine) as connection:
                log_event(connection, LOGGED_OUT, session=session)
        response = RedirectResponse("login", 303)
        response.delete_cookie(COOKIE)
        return response

    def _form(self, problem: str, status: int, welcome: str = "") -> Response:
        csrf = secrets.token_urlsafe(24)
        response = _page(PAGE.format(problem=html.escape(problem), csrf=csrf, welcome=welcome), status)
        response.set_cookie("facesr_csrf", csrf, httponly=True, samesite="strict", max_age=3600)
        return response

    @staticmethod
    def _set(response: Response, request: Request, name: str, value: str, age: int) -> None:
        # SameSite=Strict keeps the cookie away from requests that other pages start; Streamlit's own XSRF check comes on top.
        response.set_cookie(name, value, max_age=age, httponly=True, samesite="strict", secure=request.url.scheme == "https")


def _page(content: str, status: int) -> HTMLResponse:
    response = HTMLResponse(content, status)
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def _same_origin(request: Request) -> bool:
    origin = request.headers.get("origin")
    try:
        return origin is None or urlsplit(origin).netloc == request.headers.get("host")
    except ValueError:  # such as "http://[", which is no address at all
        return False
