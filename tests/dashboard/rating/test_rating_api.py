"""The rating API: what a rater may see and do, byte-exact images, and attempts to get at more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from asgi_client import TestClient, generous
from facesr.bench.study import Study, store
from facesr.bench.study import tables as t
from facesr.dashboard.rating.api import Limits, rating_api
from facesr.dashboard.rating.limits import Limiter
from fake_study import small_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """A partial design: two of eight faces a rater, so that raters see different images."""
    made = small_study(
        tmp_path_factory.mktemp("api"),
        faces=14,
        images=8,
        faces_per_rater=4,
        raters=6,
        gold=1,
        attention=1,
        repeats=1,
        contact="<b>Ada</b>",
    )
    yield made
    made.close()


def newcomer(study: Study, client: TestClient, *, consent: bool = True) -> tuple[str, dict[str, str]]:
    """A rater's name and headers."""
    rater, token = store.seat_rater(study.engine, rows=6)
    headers = {"Authorization": f"Bearer {token}"}
    if consent:
        assert client.post("/api/consent", json={"agreed": True}, headers=headers).status_code == 200
    return rater.name, headers


def session(client: TestClient, headers: dict[str, str]) -> dict[str, Any]:
    """The session, which must be had."""
    response = client.get("/api/session", headers=headers)
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found


def put(client: TestClient, headers: dict[str, str], position: int, score: int | None, **more: Any) -> httpx.Response:
    """Send a rating."""
    return client.put(f"/api/ratings/{position}", json={"score": score, **more}, headers=headers)


def finish(client: TestClient, headers: dict[str, str]) -> None:
    """Rate what is left."""
    for item in session(client, headers)["items"]:
        response = put(client, headers, item["position"], None if item["task"].startswith("anchor") else item.get("wanted", 3))
        assert response.status_code == 200, response.text


# --- the way through ---------------------------------------------------------------------------------------------------------------------


def test_a_whole_session(study: Study, client: TestClient) -> None:
    """Consent, every item in order, progress after each, a completion code at the end and not before."""
    name, headers = newcomer(study, client, consent=False)
    before = session(client, headers)
    assert (before["consented"], before["next"], before["status"]) == (False, 1, "invited")
    assert put(client, headers, 1, None).status_code == 403
    client.post("/api/consent", json={"agreed": True, "locale": "de"}, headers=headers)
    assert client.get("/api/done", headers=headers).status_code == 409
    shown = {
        "dpr": 2.0,
        "device_pixels": 4,
        "css_px": 128.0,
        "viewport_width": 800,
        "viewport_height": 600,
        "pinch": 1.0,
        "hidden_ms": 12.5,
        "verified": True,
    }
    items = before["items"]
    for item in items:
        rated = not item["task"].startswith("anchor")
        answer = put(client, headers, item["position"], 4 if rated else None, rt_ms=812.5, input="key", shown=shown)
        assert answer.json() == {"stored": True, "next": item["position"] + 1, "rest": 0}
    code = client.get("/api/done", headers=headers).json()["code"]
    assert len(code) == 8
    assert client.get("/api/done", headers=headers).json()["code"] == code
    table = study.ratings(excluded=True).query("rater == @name")
    assert len(table) == len(items)
    assert (table["rt_ms"] == 812.5).all()
    assert (table["device_pixels"] == 4).all()
    with study.engine.connect() as connection:
        kept = connection.execute(select(t.rater.c.locale).where(t.rater.c.name == name)).scalar_one()
    assert kept == "de"


def test_sending_twice_late_and_ahead(study: Study, client: TestClient) -> None:
    """A repeated send answers 200 and stored=false; a correction counts at once; ahead of the item or too late is 409."""
    _, headers = newcomer(study, client)
    assert put(client, headers, 1, None).json()["stored"] is True
    assert put(client, headers, 1, None).json() == {"stored": False, "next": 2, "rest": 0}
    assert put(client, headers, 9, 3).status_code == 409
    for position in (2, 3, 4):
        put(client, headers, position, None)
    put(client, headers, 5, 2)
    assert put(client, headers, 5, 5, revision=1).json()["stored"] is True
    put(client, headers, 6, 2)
    assert put(client, headers, 5, 1, revision=2).status_code == 409
    assert put(client, headers, 10_000, 1).status_code == 404


@pytest.mark.parametrize(
    "body", [{"score": 6}, {"score": 0}, {"score": 3.5}, {"score": "5"}, {}, {"score": 3, "extra": 1}, {"score": 3, "rt_ms": -1}]
)
def test_impossible_answers_are_refused(study: Study, client: TestClient, body: dict[str, Any]) -> None:
    """Off the scale, not whole, missing, with unknown fields, negative times."""
    _, headers = newcomer(study, client)
    for position in range(1, 5):
        put(client, headers, position, None)
    assert client.put("/api/ratings/5", json=body, headers=headers).status_code == 422
    assert session(client, headers)["next"] == 5


def test_pause_and_replacement(study: Study, client: TestClient) -> None:
    """A paused rater gets 423 and loses nothing; a replaced one's link is dead."""
    name, headers = newcomer(study, client)
    put(client, headers, 1, None)
    store.set_status(study.engine, name, "paused")
    assert put(client, headers, 2, None).status_code == 423
    assert put(client, headers, 1, None).json()["stored"] is False
    store.set_status(study.engine, name, "active")
    assert put(client, headers, 2, None).status_code == 200
    store.replace(study.engine, name, "gone")
    assert put(client, headers, 3, None).status_code == 401


def test_events_are_kept_and_bounded(study: Study, client: TestClient) -> None:
    """What the page saw goes into the log; too much at once, or an unknown kind, is refused."""
    name, headers = newcomer(study, client)
    batch = [{"kind": "hidden", "position": 3, "detail": "", "at": "2026-01-01T00:00:00.000Z"}, {"kind": "zoom", "detail": "1.25"}]
    assert client.post("/api/events", json={"events": batch}, headers=headers).json() == {"kept": 2}
    from facesr.bench.study.reading import events

    log = events(study)
    mine = log[log["rater"] == name]
    assert {"hidden", "zoom", "consent", "invited"} <= set(mine["kind"])
    assert client.post("/api/events", json={"events": batch * 200}, headers=headers).status_code == 422
    assert client.post("/api/events", json={"events": [{"kind": "drop table"}]}, headers=headers).status_code == 422


# --- images ------------------------------------------------------------------------------------------------------------------------------


def test_bytes_shown_are_bytes_on_disk(study: Study, client: TestClient) -> None:
    """Every image of a rater: the file's bytes, its sha256 as ETag and in the design; asked again, 304."""
    _, headers = newcomer(study, client)
    frozen = {s.name: s.sha256 for s in study.design.stimuli}
    names = {item["image"] for item in session(client, headers)["items"] if item["image"]}
    assert len(names) > 10
    for name in names:
        response = client.get(f"/api/stimuli/{name}", headers=headers)
        assert response.headers["content-type"] == "image/png"
        assert response.content == study.stimulus_path(name).read_bytes()
        assert response.headers["etag"] == f'"{frozen[name]}"' == f'"{hashlib.sha256(response.content).hexdigest()}"'
        again = client.get(f"/api/stimuli/{name}", headers={**headers, "If-None-Match": response.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_a_changed_image_is_not_shown(tmp_path: Path) -> None:
    """Bytes that are not the frozen ones are withheld."""
    study = small_study(tmp_path)
    with TestClient(rating_api(study, generous())) as client:
        _, token = store.seat_rater(study.engine, rows=3)
        headers = {"Authorization": f"Bearer {token}"}
        name = client.get("/session", headers=headers).json()["items"][0]["image"]
        file = study.stimulus_path(name)
        file.write_bytes(file.read_bytes()[:-1])
        assert client.get(f"/stimuli/{name}", headers=headers).status_code == 503
        file.unlink()
        assert client.get(f"/stimuli/{name}", headers=headers).status_code == 503
    study.close()


def test_nothing_tells_the_condition(study: Study, client: TestClient) -> None:
    """Neither face, condition, method nor kind of item is in anything a rater receives; repeats and gold look like any other item."""
    _, headers = newcomer(study, client)
    found = session(client, headers)
    text = json.dumps(found)
    assert not any(word in text for word in ("bicubic", "psp", "nearest", "gold", "repeat", *study.design.faces))
    assert {item["task"] for item in found["items"]} == {"anchor_low", "anchor_high", "rate", "attention"}
    keys = {frozenset(item) for item in found["items"] if item["task"] == "rate"}
    assert keys == {frozenset({"position", "task", "image", "other"})}


def test_raters_see_only_their_own(study: Study, client: TestClient) -> None:
    """Another rater's image is 404, like one that does not exist; without a token nothing is there."""
    _, first = newcomer(study, client)
    _, second = newcomer(study, client)
    mine = {i["image"] for i in session(client, first)["items"] if i["image"]}
    other = {i["image"] for i in session(client, second)["items"] if i["image"]} - mine
    assert other
    for name in (*other, "0" * 32):
        assert client.get(f"/api/stimuli/{name}", headers=first).status_code == 404
    for path in ("/api/session", "/api/done", f"/api/stimuli/{next(iter(mine))}"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"Authorization": "Bearer guess"}).status_code == 401
        assert client.get(path, headers={"Authorization": f"Basic {first['Authorization'][7:]}"}).status_code == 401
        assert client.get(path, headers={"Cookie": f"token={first['Authorization'][7:]}"}).status_code == 401


# --- attempts ----------------------------------------------------------------------------------------------------------------------------

TRAVERSALS = [
    "../study.json",
    "..%2f..%2fstudy.json",
    "%2e%2e/%2e%2e/ratings.db",
    "....//study.json",
    "/etc/passwd",
    "..\\study.json",
    "x%00.png",
]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_path_traversal(study: Study, client: TestClient, path: str) -> None:
    """No name of a request becomes a path."""
    _, headers = newcomer(study, client)
    for prefix in ("/api/stimuli/", "/rate/", "/api/texts?locale="):
        response = client.get(prefix + path, headers=headers)
        assert response.status_code in {200, 400, 404, 422}
        for secret in (study.digest, "SQLite format", "root:"):
            assert secret not in response.text
        assert response.status_code != 200 or "texts" in prefix


def test_cross_site_requests_carry_no_name(study: Study, client: TestClient) -> None:
    """CSRF: the API knows raters by a header that other sites cannot set; no cookie is ever set; no CORS header invites anyone."""
    _, headers = newcomer(study, client)
    finish(client, headers)
    evil = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
    assert client.put("/api/ratings/1", content='{"score": 1}', headers=evil).status_code == 401
    assert client.post("/api/consent", content='{"agreed": true}', headers=evil).status_code == 401
    preflight = client.options(
        "/api/ratings/1",
        headers={**evil, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"},
    )
    assert preflight.status_code == 405
    for response in (preflight, client.get("/api/session", headers={**headers, **evil}), client.get("/rate/")):
        assert "set-cookie" not in response.headers
        assert not any(k.startswith("access-control") for k in response.headers)


def test_cross_site_scripting(study: Study, client: TestClient) -> None:
    """The page has no place where a script could be put: a strict policy, no inline script, and the API answers JSON that is not sniffed."""
    page = client.get("/rate/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "<script>" not in page.text
    assert "onclick" not in page.text
    scripts = "".join(client.get(f"/rate/{name}").text for name in ("rate.js", "queue.js", "show.js"))
    for way_in in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert way_in not in scripts
    _, headers = newcomer(study, client)
    response = client.get("/api/session", headers=headers)
    assert response.json()["contact"] == "<b>Ada</b>"  # shown by textContent, as it is
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"
    reflected = client.get("/api/texts?locale=<script>alert(1)</script>")
    assert "<script>" not in reflected.text


def test_large_and_broken_bodies(study: Study, client: TestClient) -> None:
    """Too large, of unstated length, not JSON, deeply nested, with NaN or a NUL: a plain refusal each time."""
    _, headers = newcomer(study, client)
    json_headers = {**headers, "Content-Type": "application/json"}
    assert client.post("/api/events", content=b"x" * 70_000, headers=json_headers).status_code == 413
    assert (
        client.post("/api/events", content=iter([b"x" * 40_000] * 2), headers=json_headers).status_code == 413
    )  # of unstated length
    assert client.post("/api/login", content=iter([b"x" * 40_000] * 2)).status_code == 413  # whatever the route
    for body in (b"", b"{", b"[" * 5000, b'{"score": NaN}', b"\xff\xfe", b'{"score": 1e999}', b'{"events": "\\u0000"}'):
        assert client.put("/api/ratings/1", content=body, headers=json_headers).status_code in {400, 422}
        assert client.post("/api/events", content=body, headers=json_headers).status_code in {400, 422}
    nul = {"events": [{"kind": "zoom", "detail": "a\x00b"}]}
    assert client.post("/api/events", json=nul, headers=headers).status_code == 422


def test_rate_limits(tmp_path: Path) -> None:
    """A rater who floods, and an address that guesses tokens, get 429 with Retry-After; others are not touched."""
    study = small_study(tmp_path)
    limits = Limits(Limiter(1, 5), Limiter(1, 2), Limiter(1, 3))
    with TestClient(rating_api(study, limits)) as client:
        _, token = store.seat_rater(study.engine, rows=3)
        _, other = store.seat_rater(study.engine, rows=3)
        headers = {"Authorization": f"Bearer {token}"}
        codes = [client.get("/session", headers=headers).status_code for _ in range(8)]
        assert codes[:5] == [200] * 5
        assert codes[-1] == 429
        assert int(client.get("/session", headers=headers).headers["retry-after"]) >= 1
        assert client.get("/session", headers={"Authorization": f"Bearer {other}"}).status_code == 200
        guesses = [client.get("/session", headers={"Authorization": f"Bearer guess{k}"}).status_code for k in range(6)]
        assert guesses[:3] == [401] * 3
        assert guesses[-1] == 429
    study.close()


def test_limiter_refills() -> None:
    """Two a second, four at once."""
    limiter = Limiter(2, 4)
    assert [limiter.wait("a", 0.0) for _ in range(5)] == [0, 0, 0, 0, 0.5]
    assert limiter.wait("b", 0.0) == 0
    assert limiter.wait("a", 0.5) == 0
    assert limiter.wait("a", 0.5) == 0.5


def test_invited_studies_cannot_be_joined(client: TestClient) -> None:
    """By personal invitation means just that."""
    assert client.post("/api/join", json={"source": "open"}).status_code == 403


def test_the_language_that_fits(client: TestClient) -> None:
    """English, German, and English for whoever reads neither; with the sha256 that consent names."""
    german = client.get("/api/texts?locale=de-AT").json()
    assert (german["locale"], german["languages"], len(german["sha256"])) == ("de", ["de", "en"], 64)
    assert client.get("/api/texts?locale=xx").json()["locale"] == "en"
