"""People of a study: they come, rate, and look at what they are given; each as an act that a line of the walk can name."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select
from starlette.applications import Starlette
from starlette.routing import Mount

from asgi_client import TestClient, generous
from facesr.bench.study import Study, crowd, database, load_study, store
from facesr.bench.study import tables as t
from facesr.dashboard.rating.api import rating_api


def one_person(folder: Path) -> None:
    """Of three raters one has finished."""
    study = load_study(folder)
    rate_all(study, store.seat_rater(study.engine, rows=3)[0])
    study.close()


def rate_all(study: Study, rater: store.Rater, pause: float = 0) -> list[float]:
    """Everything is rated, ``pause`` minutes apart; the seconds of rest that are asked for after each."""
    store.consent(study.engine, rater, "en")
    with study.engine.connect() as connection:
        plan = connection.execute(select(t.plan).where(t.plan.c.row == rater.row).order_by(t.plan.c.position)).all()
    rests = []
    for item in plan:
        later(pause)
        score = None if item.kind.startswith("anchor") else 1 + item.position % len(study.scores)
        assert store.rate(study.engine, rater, item.position, score, rt_ms=3000).stored
        with study.engine.connect() as connection:
            rests.append(store.rest_until(connection, rater.id, study.design.session_minutes, study.design.rest_minutes))
    return rests


def later(minutes: float) -> None:
    """The study's clock goes on; whoever calls this has put another clock in its place, which is taken away again."""
    if minutes:
        before = database.clock
        database.clock = lambda: before() + timedelta(minutes=minutes)


def come(folder: Path, worker: str, rates: bool = False) -> str:
    """A worker of the platform asks for a place, and may rate everything; what the answer was."""
    study = load_study(folder)
    try:
        joined = crowd.join(study, worker, submission=f"of-{worker}")
        if rates:
            rater = store.by_token(study.engine, joined.token)
            assert rater is not None
            rate_all(study, rater)
            crowd.carry_out_rules(study)
        return joined.rater or f"{joined.refused} {joined.url}"
    finally:
        study.close()


def see_crowd(folder: Path) -> None:
    """Of three places one is rated without looking at the images, which the plan leaves out; then more come, at once and after ten minutes."""
    for worker, rates, wait in (
        ("a", True, 0),
        ("b", False, 0),
        ("c", False, 0),
        ("d", False, 0),
        ("e", False, 10),
        ("w1", False, 0),
    ):
        later(wait)
        print(worker, come(folder, worker, rates))
    study = load_study(folder)
    print("screened:", crowd.depart(study, "r002", "screened", "sees no colours"))
    study.close()


def see_work(folder: Path) -> None:
    """A rater who answers once in two minutes, and the rests that are asked for."""
    study = load_study(folder)
    print(rate_all(study, store.seat_rater(study.engine, rows=3)[0], pause=2))
    study.close()


def see_session(folder: Path) -> None:
    """What a new rater of the study is given, printed, at the beginning and at the end."""
    study = load_study(folder)
    rater, token = store.seat_rater(study.engine, rows=3)
    headers = {"Authorization": f"Bearer {token}"}
    with TestClient(Starlette(routes=[Mount("/api", rating_api(study, generous()))])) as client:
        client.post("/api/consent", json={"agreed": True}, headers=headers)
        found = client.get("/api/session", headers=headers).json()
        words = client.get("/api/texts", headers=headers)
        rate_all(study, rater)
        done = client.get("/api/done", headers=headers)
    found.pop("study", None)
    print(json.dumps(found), words.text, done.text)
    study.close()


ACTS = {"SESSION": see_session, "CROWD": see_crowd, "WORK": see_work}
