"""The rating API: a rater's own items, images byte for byte, and answers that are stored once however often they are sent.

A rater is known by the personal token in the ``Authorization`` header. There is no cookie here, so a foreign page that makes a rater's
browser send something (CSRF) sends it without a name. Texts reach the page as JSON and are shown as text, never as HTML.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Header, HTTPException, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, or_, select
from sqlalchemy.exc import OperationalError

from facesr.bench.study import Study, store
from facesr.bench.study import tables as t
from facesr.bench.study.database import writing
from facesr.dashboard.rating.limits import Limiter
from facesr.dashboard.rating.texts import languages, texts

MAX_BODY = 64 * 1024
MAX_EVENTS = 5000
"""Events kept of one rater: a page that reports without end cannot fill the disk."""

Number = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Whole = Annotated[int, Field(ge=0, le=1_000_000)]
Position = Annotated[int, Path(ge=1, le=1_000_000)]
PLAIN = r"^[^\x00-\x1f\x7f]*$"


class Shown(BaseModel):
    """How the item was on the screen when it was answered."""

    model_config = ConfigDict(extra="forbid")
    shown: Annotated[str, Field(max_length=32, pattern=r"^[0-9T:.Z+-]*$")] | None = None
    dpr: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] | None = None
    device_pixels: Number | None = None
    css_px: Number | None = None
    viewport_width: Whole | None = None
    viewport_height: Whole | None = None
    pinch: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = None
    loaded_ms: Number | None = None
    hidden_ms: Number | None = None
    verified: bool | None = None


class Rating(BaseModel):
    """An answer. ``score`` is null for an example that was seen; ``revision`` counts the corrections of this item."""

    model_config = ConfigDict(extra="forbid")
    score: Annotated[int, Field(ge=0, le=9, strict=True)] | None
    revision: Annotated[int, Field(ge=0, le=1000, strict=True)] = 0
    rt_ms: Number | None = None
    input: Literal["key", "mouse", "touch", ""] = ""
    shown: Shown | None = None


class Stored(BaseModel):
    """``stored``: whether this send was new; ``next``: the position to answer now; ``rest``: seconds to rest before it."""

    stored: bool
    next: int
    rest: float = 0.0


class Consent(BaseModel):
    """Agreement to take part."""

    model_config = ConfigDict(extra="forbid")
    agreed: Literal[True]
    locale: Annotated[str, Field(max_length=12, pattern=r"^[A-Za-z0-9-]*$")] = "en"


class Happening(BaseModel):
    """Something the page saw: hidden, visible, zoom, resize, offline, online, break, resumed."""

    model_config = ConfigDict(extra="forbid")
    kind: Literal["hidden", "visible", "zoom", "resize", "offline", "online", "break", "rest", "resumed", "fractional"]
    position: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    detail: Annotated[str, Field(max_length=200, pattern=PLAIN)] = ""
    at: Annotated[str, Field(max_length=32, pattern=r"^[0-9T:.Z+-]*$")] = ""


class Happenings(BaseModel):
    """A batch of events."""

    model_config = ConfigDict(extra="forbid")
    events: Annotated[list[Happening], Field(max_length=200)]


class Join(BaseModel):
    """Taking a place in a study that is open to a crowd. ``worker``: PROLIFIC_PID or workerId; it is stored as a keyed hash only."""

    model_config = ConfigDict(extra="forbid")
    source: Literal["prolific", "mturk", "open"]
    worker: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_-]*$")] = ""


class Problem(BaseModel):
    """Why a request was not taken."""

    detail: str


@dataclass
class Limits:
    """Requests a second and burst: per rater, and per internet address for joins and wrong tokens (addresses are not stored)."""

    rater: Limiter = field(default_factory=lambda: Limiter(30, 300))
    join: Limiter = field(default_factory=lambda: Limiter(0.5, 30))
    wrong: Limiter = field(default_factory=lambda: Limiter(0.5, 30))


def _answers(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": Problem} for code in (*codes, 400, 413, 429, 503)}


def rating_api(study: Study, limits: Limits | None = None) -> FastAPI:
    """The API of one study, to be mounted at ``/api``."""
    bounds = limits or Limits()
    app = FastAPI(title="FaceSR-Bench rating API", version="1", docs_url=None, redoc_url=None)
    rater = Depends(_identify(study, bounds))
    _guard(app)
    _entry(app, study, bounds)
    _session(app, study, rater)
    _answering(app, study, rater)
    return app


def _identify(study: Study, limits: Limits) -> Callable[..., store.Rater]:
    def identify(request: Request, authorization: Annotated[str, Header(max_length=200)] = "") -> store.Rater:
        address = request.client.host if request.client else ""
        scheme, _, token = authorization.partition(" ")
        rater = store.by_token(study.engine, token.strip()) if scheme.lower() == "bearer" and token.strip() else None
        if rater is None or rater.status == "replaced":
            _limit(limits.wrong, address)
            raise HTTPException(401, "this personal link is not valid", {"WWW-Authenticate": "Bearer"})
        _limit(limits.rater, str(rater.id))
        return rater

    return identify


def _limit(limiter: Limiter, key: str) -> None:
    if wait := limiter.wait(key):
        raise HTTPException(429, "too many requests", {"Retry-After": str(max(1, round(wait)))})


def _small(request: Request) -> bool:
    length = request.headers.get("content-length", "0")
    return length.isdecimal() and int(length) <= MAX_BODY and "transfer-encoding" not in request.headers


def _guard(app: FastAPI) -> None:
    """Refuse large bodies before they are read, and answer 503 where the database is away, so that the page tries again."""

    @app.middleware("http")
    async def headers(request: Request, call_next: Callable[[Request], Any]) -> Response:
        if request.method in {"POST", "PUT", "PATCH"} and not _small(request):
            return Response(
                '{"detail":"the request is too large, or does not say how large it is"}', 413, media_type="application/json"
            )
        response: Response = await call_next(request)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Content-Security-Policy"] = "default-src 'none'"
        return response

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> Response:
        # FastAPI's own answer repeats what was sent, and breaks on NaN, which JSON cannot hold.
        problems = "; ".join(f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()[:5])
        return JSONResponse({"detail": problems}, 422)

    @app.exception_handler(OperationalError)
    async def away(_request: Request, error: OperationalError) -> Response:
        logging.getLogger("facesr.study").error("database: %s", error.orig)
        return Response(
            '{"detail":"the database does not answer, try again"}', 503, {"Retry-After": "2"}, media_type="application/json"
        )


def _entry(app: FastAPI, study: Study, limits: Limits) -> None:
    own = study.path / "texts"

    @app.get("/texts", responses=_answers(422))
    def words(locale: Annotated[str, Query(max_length=35)] = "en") -> dict[str, Any]:
        """The page's words in the language that fits best."""
        chosen, found = texts(locale, own)
        return {"locale": chosen, "languages": languages(own), "texts": found, "join": study.design.join}

    @app.post("/join", responses=_answers(403, 409, 422))
    def join(request: Request, asked: Join) -> dict[str, str]:
        """Take a place, or find the place of a returning worker; answers with a personal token."""
        _limit(limits.join, request.client.host if request.client else "")
        if asked.source != study.design.join:
            raise HTTPException(
                403, "this study is by personal invitation" if study.design.join == "invited" else "not open this way"
            )
        if asked.source != "open" and not asked.worker:
            raise HTTPException(422, "the worker's id is missing")
        alias = store.pseudonym(study.secret, asked.source, asked.worker) if asked.worker else None
        found = store.take_place(study.engine, rows=study.design.raters, source=asked.source, alias=alias)
        if found is None:
            raise HTTPException(409, "full")
        return {"token": found[1]}


def _session(app: FastAPI, study: Study, identified: Any) -> None:
    @app.get("/session", responses=_answers(401, 422))
    def session(rater: store.Rater = identified) -> dict[str, Any]:
        """Everything the page needs: the rater's own items in order, where to go on, and the design's rules."""
        design = study.design
        with study.engine.connect() as connection:
            plan = connection.execute(select(t.plan).where(t.plan.c.row == rater.row).order_by(t.plan.c.position)).all()
            following = store.next_position(connection, rater.id)
            rest = store.rest_until(connection, rater.id, design.session_minutes, design.rest_minutes)
        kept = ("method", "scale", "zoom", "fractional", "break_every", "contact")
        rules = {k: getattr(design, k) for k in kept}
        return {
            **rules,
            "rater": rater.name,
            "status": rater.status,
            "consented": rater.consent is not None,
            "scores": list(study.scores),
            "items": [_item(row) for row in plan],
            "next": following,
            "rest": rest,
        }

    @app.post("/consent", responses=_answers(401, 422))
    def consent(given: Consent, rater: store.Rater = identified) -> dict[str, bool]:
        """Note that the rater agreed to take part."""
        store.consent(study.engine, rater, given.locale)
        return {"consented": True}

    @app.get("/stimuli/{name}", response_class=Response, responses={**_answers(401, 404, 422), 200: {"content": {"image/png": {}}}})
    def stimulus(
        request: Request, name: Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")], rater: store.Rater = identified
    ) -> Response:
        """The stored PNG, byte for byte, if it is one of the rater's own items."""
        mine = or_(t.plan.c.stimulus == name, t.plan.c.other_stimulus == name)
        with study.engine.connect() as connection:
            known = connection.execute(
                select(t.stimulus.c.sha256).where(
                    t.stimulus.c.name == name, select(t.plan).where(t.plan.c.row == rater.row, mine).exists()
                )
            ).scalar_one_or_none()
        if known is None:
            raise HTTPException(404, "no such image")
        headers = {"ETag": f'"{known}"', "Cache-Control": "private, max-age=86400, immutable"}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        try:
            data = study.stimulus_path(name).read_bytes()
        except OSError:
            raise HTTPException(503, "the image cannot be read") from None
        if hashlib.sha256(data).hexdigest() != known:
            raise HTTPException(503, "the image was changed after the study was frozen")
        return Response(data, media_type="image/png", headers=headers)

    @app.get("/done", responses=_answers(401, 409, 422))
    def done(rater: store.Rater = identified) -> dict[str, str]:
        """The completion code, once every rating has arrived."""
        if rater.status != "done":
            raise HTTPException(409, "there are items left")
        code = (
            study.design.completion_code
            or hmac.new(study.secret, f"done:{rater.id}".encode(), hashlib.sha256).hexdigest()[:8].upper()
        )
        return {"code": code, "url": study.design.completion_url.replace("{code}", code)}


def _item(row: Any) -> dict[str, Any]:
    """What a rater may know of an item. Main, repeat and gold items look the same; neither face nor condition is told."""
    task = row.kind if row.kind.startswith("anchor") or row.kind == "attention" else "rate"
    item = {"position": row.position, "task": task, "image": row.stimulus, "other": row.other_stimulus}
    if task == "attention":
        item["wanted"] = row.low
    elif task != "rate":
        item["grade"] = row.low
    return item


def _answering(app: FastAPI, study: Study, identified: Any) -> None:
    design = study.design

    @app.put("/ratings/{position}", responses=_answers(401, 403, 404, 409, 422, 423))
    def rate(position: Position, rating: Rating, rater: store.Rater = identified) -> Stored:
        """Store an answer. Sending it again, or late, changes nothing and says so."""
        if rater.consent is None:
            raise HTTPException(403, "consent comes first")
        if rating.score is not None and rating.score not in study.scores:
            raise HTTPException(422, f"the score must be one of {', '.join(map(str, study.scores))}")
        if design.fractional == "refuse" and rating.shown and fractional(rating.shown):
            raise HTTPException(409, "fractional zoom")
        answer = store.rate(
            study.engine,
            rater,
            position,
            rating.score,
            revision=rating.revision,
            rt_ms=rating.rt_ms,
            input=rating.input,
            shown=rating.shown.model_dump() if rating.shown else None,
        )
        if answer.problem:
            raise HTTPException(_CODES.get(answer.problem, 409), answer.problem)
        rest = 0.0
        if answer.stored and design.session_minutes:
            with study.engine.connect() as connection:
                rest = store.rest_until(connection, rater.id, design.session_minutes, design.rest_minutes)
        return Stored(stored=answer.stored, next=answer.next, rest=rest)

    @app.post("/events", responses=_answers(401, 422))
    def events(batch: Happenings, rater: store.Rater = identified) -> dict[str, int]:
        """Append what the page saw."""
        with writing(study.engine) as connection:
            there = connection.execute(select(func.count()).select_from(t.event).where(t.event.c.rater == rater.id)).scalar_one()
            kept = batch.events[: max(0, MAX_EVENTS - there)]
            for event in kept:
                store.log(connection, event.kind, rater.id, event.position, detail=event.detail, client_time=event.at)
        return {"kept": len(kept)}


_CODES = {
    "no such position": 404,
    "paused": 423,
    "replaced": 401,
    "deleted": 401,
    "a score is missing": 422,
    "anchors are seen, not rated": 422,
}


def fractional(shown: Shown) -> bool:
    """Whether the browser had to interpolate, or may have: a fractional device pixel ratio, or a pinch zoom."""
    ratio = shown.dpr or 1.0
    return abs(ratio - round(ratio)) > 0.01 or abs((shown.pinch or 1.0) - 1) > 0.01
