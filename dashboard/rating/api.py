"""The rating API: a rater's own items, images byte for byte, and answers that are stored once however often they are sent.

A rater is known by the personal token in the ``Authorization`` header. There is no cookie here, so a foreign page that makes a rater's
browser send something (CSRF) sends it without a name. Texts reach the page as JSON and are shown as text, never as HTML.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, FastAPI, Header, HTTPException, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import func, or_, select
from sqlalchemy.exc import OperationalError

from facesr.bench.errors import FaceSRError
from facesr.bench.study import Study, closing, crowd, ending, store, wording
from facesr.bench.study import tables as t
from facesr.bench.study.adaptive import assign
from facesr.bench.study.database import writing
from facesr.bench.study.design import Design
from facesr.bench.study.given import keep, steps_done
from facesr.bench.study.order import Trial
from facesr.bench.study.payments import completion_code
from facesr.dashboard.rating.limits import Bounded, Limiter
from facesr.dashboard.rating.messages import (
    Consent,
    Given,
    Happenings,
    Join,
    Leaving,
    Position,
    Problem,
    Rating,
    Stored,
    Unfit,
    interpolated,
)

MAX_EVENTS = 5000
"""Events kept of one rater: a page that reports without end cannot fill the disk."""


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
            why = (rater.departed if rater else None) or "this personal link is not valid"
            raise HTTPException(401, why, {"WWW-Authenticate": "Bearer"})
        _limit(limits.rater, str(rater.id))
        return rater

    return identify


def _limit(limiter: Limiter, key: str) -> None:
    if wait := limiter.wait(key):
        raise HTTPException(429, "too many requests", {"Retry-After": str(max(1, round(wait)))})


def _guard(app: FastAPI) -> None:
    """Headers of every answer, one sentence for what cannot be read, and 503 where the database is away, so that the page tries again."""
    app.add_middleware(Bounded)

    @app.middleware("http")
    async def headers(request: Request, call_next: Callable[[Request], Any]) -> Response:
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
    @app.get("/texts", responses=_answers(422))
    def words(locale: Annotated[str, Query(max_length=35)] = "en") -> dict[str, Any]:
        """The page's words in the language offered that fits best; ``sha256`` is what a rater agrees to."""
        chosen, found = study.words(locale)
        offered = sorted(study.design.texts) or [chosen]
        agreed = wording.words_digest(study.design.texts.get(chosen, found))
        return {"locale": chosen, "languages": offered, "texts": found, "sha256": agreed, "join": study.design.join}

    @app.post("/join", responses=_answers(403, 409, 422, 423))
    def join(request: Request, asked: Join) -> Response:
        """Take a place, or find the place of a returning worker; answers with a personal token, or with why not and where to go."""
        _limit(limits.join, request.client.host if request.client else "")
        if asked.source != study.design.join:
            raise HTTPException(
                403, "this study is by personal invitation" if study.design.join == "invited" else "not open this way"
            )
        try:
            worker = crowd.clean_id(asked.source, asked.worker) if asked.source != "open" or asked.worker.strip() else ""
            submission = crowd.clean_id(asked.source, asked.submission, "submission id") if asked.submission.strip() else ""
        except FaceSRError as error:
            raise HTTPException(422, str(error)) from None
        found = crowd.join(study, worker, submission=submission, device=asked.device)
        if found.refused:
            code = 423 if found.refused == "paused" else 409
            return JSONResponse({"detail": found.refused, "url": found.url}, code)
        return JSONResponse({"token": found.token})


def _session(app: FastAPI, study: Study, identified: Any) -> None:
    practice = [_practised(study.design, trial) for trial in study.design.practised()]
    practised = {item[side] for item in practice for side in ("image", "other")}

    @app.get("/session", responses=_answers(401, 422))
    def session(rater: store.Rater = identified) -> dict[str, Any]:
        """Everything the page needs: the rater's own items in order, where to go on, and the design's rules."""
        design = study.design
        assign(study, rater)
        with study.engine.connect() as connection:
            plan = connection.execute(select(t.plan).where(t.plan.c.row == rater.row).order_by(t.plan.c.position)).all()
            following = store.next_position(connection, rater.id)
            rest = store.rest_until(connection, rater.id, design.session_minutes, design.rest_minutes)
        kept = (
            "method",
            "scale",
            "zoom",
            "fractional",
            "break_every",
            "contact",
            "screen",
            "screen_failed",
            "distance_cm",
            "comment",
        )
        rules = {k: getattr(design, k) for k in kept}
        return {
            **rules,
            "study": study.digest[:16],
            "closed": closing.seal_of(study) is not None or (rater.consent is None and study.ended is not None),
            "rater": rater.name,
            "status": rater.status,
            "consented": rater.consent is not None,
            "scores": list(study.scores),
            "items": [_item(row) for row in plan],
            "practice": practice,
            "questions": [asdict(question) for question in design.questionnaire],
            "steps": steps_done(study.engine, rater.id),
            "largest": [max(s.width for s in design.stimuli), max(s.height for s in design.stimuli)],
            "next": following,
            "rest": rest,
        }

    @app.post("/consent", responses=_answers(401, 409, 410, 422))
    def consent(given: Consent, rater: store.Rater = identified) -> dict[str, bool]:
        """Note that the rater agreed to take part, and to which texts."""
        chosen, found = study.words(given.locale or "en")
        if given.locale and given.locale != chosen:
            raise HTTPException(422, f"this study is not offered in the language {given.locale!r}")
        agreed = wording.words_digest(study.design.texts.get(chosen, found))
        if given.sha256 and given.sha256 != agreed:
            raise HTTPException(409, "these are not the study's texts: please load the page again")
        _begin(study, rater)
        store.consent(study.engine, rater, chosen, agreed)
        return {"consented": True}

    @app.post("/withdraw", responses=_answers(401, 409, 422))
    def withdraw(leaving: Leaving, rater: store.Rater = identified) -> dict[str, str]:
        """Give the place back, and on request have everything removed; answers with the address to go to."""
        return {"url": _depart(study, rater, "returned", "the rater withdrew", erase=leaving.erase)}

    @app.post("/screened", responses=_answers(401, 409, 422))
    def screened(unfit: Unfit, rater: store.Rater = identified) -> dict[str, str]:
        """Free the place of someone who may not take part; answers with the address to go to."""
        return {"url": _depart(study, rater, "screened", unfit.reason, erase=False)}

    @app.get("/stimuli/{name}", response_class=Response, responses={**_answers(401, 404, 422), 200: {"content": {"image/png": {}}}})
    def stimulus(
        request: Request, name: Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")], rater: store.Rater = identified
    ) -> Response:
        """The stored PNG, byte for byte, if it is one of the rater's own items or is practised on."""
        query = select(t.stimulus.c.sha256).where(t.stimulus.c.name == name)
        if name not in practised:
            mine = or_(t.plan.c.stimulus == name, t.plan.c.other_stimulus == name)
            query = query.where(select(t.plan).where(t.plan.c.row == rater.row, mine).exists())
        with study.engine.connect() as connection:
            known = connection.execute(query).scalar_one_or_none()
        if known is None:
            raise HTTPException(404, "no such image")
        store.note_sent(study.engine, rater, name)
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
        code = completion_code(study, rater.id)
        return {"code": code, "url": study.design.completion_url.replace("{code}", code)}


def _begin(study: Study, rater: store.Rater) -> None:
    """Once the plan's stopping rule is met, who has begun may finish, and nobody begins."""
    if rater.consent is None and study.ended is not None:
        raise HTTPException(410, "the study is closed")


def _depart(study: Study, rater: store.Rater, why: str, reason: str, *, erase: bool) -> str:
    try:
        url = crowd.depart(study, rater.name, why, reason)
        if erase:
            store.delete_rater(study.engine, rater.name)
    except FaceSRError as error:
        raise HTTPException(409, str(error)) from None
    return url


def _practised(design: Design, trial: Trial) -> dict[str, Any]:
    """A practice image, with the grades that fit: the page says after the answer whether it did."""
    names = [found.name for c in (trial.condition, trial.other) if c and (found := design.stimulus(trial.face, c))]
    return {"image": names[0], "other": names[1] if len(names) > 1 else None, "low": trial.low, "high": trial.high}


def _item(row: Any) -> dict[str, Any]:
    """What a rater may know of an item. Main, repeat and gold items look the same; neither face nor condition is named."""
    task = row.kind if row.kind.startswith("anchor") or row.kind == "attention" else "rate"
    item = {"position": row.position, "task": task, "image": row.stimulus, "other": row.other_stimulus}
    if task == "attention":
        item["wanted"] = row.low
    elif task != "rate":
        item["grade"] = row.low
    return item


def _answering(app: FastAPI, study: Study, identified: Any) -> None:
    design = study.design

    @app.post("/answers", responses=_answers(401, 403, 409, 410, 422))
    def answers(sent: Given, rater: store.Rater = identified) -> dict[str, bool]:
        """Keep what the rater gave beside ratings: questionnaire, screen, practice, comment. Sending it again changes nothing."""
        if rater.consent is None:
            raise HTTPException(403, "consent comes first")
        try:
            problem = keep(study.engine, design, rater, sent.step, sent.mark, sent.values)
        except FaceSRError as error:
            raise HTTPException(422, str(error)) from None
        if problem:
            raise HTTPException(_CODES.get(problem, 409), problem)
        return {"kept": True}

    @app.put("/ratings/{position}", responses=_answers(401, 403, 404, 409, 410, 422, 423))
    def rate(position: Position, rating: Rating, after: BackgroundTasks, rater: store.Rater = identified) -> Stored:
        """Store an answer. Sending it again, or late, changes nothing and says so."""
        if rater.consent is None:
            raise HTTPException(403, "consent comes first")
        if rating.score is not None and rating.score not in study.scores:
            raise HTTPException(422, f"the score must be one of {', '.join(map(str, study.scores))}")
        if design.fractional == "refuse" and rating.shown and interpolated(rating.shown):
            raise HTTPException(409, "pixels are not whole")
        answer = store.rate(
            study.engine,
            rater,
            position,
            rating.score,
            revision=rating.revision,
            rt_ms=rating.rt_ms,
            input=rating.input,
            shown=rating.shown.model_dump() if rating.shown else None,
            keep_minutes=0.0 if design.join == "invited" else design.reserve_minutes,
        )
        if answer.problem:
            raise HTTPException(_CODES.get(answer.problem, 409), answer.problem)
        if answer.finished:
            crowd.carry_out_rules(study, [rater.name])
            after.add_task(ending.carry_out, study)  # a look may take seconds: the rater does not wait for it
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
                store.log_event(connection, event.kind, rater.id, event.position, detail=event.detail, client_time=event.at)
        return {"kept": len(kept)}


_CODES = {
    "no such position": 404,
    "paused": 423,
    "replaced": 401,
    "deleted": 401,
    "the study is closed": 410,
    "a score is missing": 422,
    "anchors are seen, not rated": 422,
}
