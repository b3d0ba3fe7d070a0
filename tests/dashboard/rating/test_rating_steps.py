"""The page's steps before and after rating, by their API; its words and files; pages for people without a link. No browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from asgi_client import TestClient, generous
from facesr.bench.study import Study, given, reading, store, wording
from facesr.dashboard.rating.login import Login
from facesr.dashboard.rating.notices import welcome
from facesr.dashboard.rating.pages import FILES, FOLDER
from facesr.dashboard.serve import study_app
from fake_study import small_study

EVERYTHING: dict[str, Any] = {
    "questionnaire": "standard", "screen": ["card", "brightness", "colour", "acuity"], "practice": 2, "comment": True, "contact": "<b>Ada</b>",
}  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """A study with every step."""
    made = small_study(tmp_path_factory.mktemp("steps"), raters=20, **EVERYTHING)
    yield made
    made.close()


def newcomer(study: Study, client: TestClient) -> tuple[str, dict[str, str]]:
    """A rater who agreed: name and headers."""
    rater, token = store.seat_rater(study.engine, rows=20)
    headers = {"Authorization": f"Bearer {token}"}
    assert client.post("/api/consent", json={"agreed": True}, headers=headers).status_code == 200
    return rater.name, headers


def test_what_raters_give_is_kept_once(study: Study, client: TestClient) -> None:
    """Consent first; what the step lacks is refused; the same sending again changes nothing; the session says what is done."""
    rater, token = store.seat_rater(study.engine, rows=20)
    headers = {"Authorization": f"Bearer {token}"}
    body = {"step": "questionnaire", "mark": "visit-1", "values": {"age_band": "18-29", "room": None}}
    assert client.post("/api/answers", json=body).status_code == 401
    assert client.post("/api/answers", json=body, headers=headers).status_code == 403
    client.post("/api/consent", json={"agreed": True}, headers=headers)
    for _ in range(2):
        assert client.post("/api/answers", json=body, headers=headers).json() == {"kept": True}
    for wrong in (
        {**body, "values": {"age_band": "0-17"}},
        {**body, "step": "screen", "values": {"card_px": "wide"}},
        {**body, "step": "rating"},
        {**body, "mark": ""},
        {**body, "step": "comment", "values": {"comment": "a\x00b"}},
        {**body, "more": 1},
    ):
        assert client.post("/api/answers", json=wrong, headers=headers).status_code == 422, wrong
    assert (
        client.post("/api/answers", content=b'{"step":"screen","mark":"m","values":{"dpr":NaN}}', headers=headers).status_code
        == 422
    )
    comment = {"step": "comment", "mark": "visit-2", "values": {"comment": "Two lines\nof <b>text</b>"}}
    assert client.post("/api/answers", json=comment, headers=headers).status_code == 200
    table = given.given(study)
    table = table[table["rater"] == rater.name]
    assert list(zip(table["name"], table["value"], strict=True)) == [
        ("answered", "yes"), ("age_band", "18-29"), ("comment", "Two lines\nof <b>text</b>"),
    ]  # fmt: skip
    found = client.get("/api/session", headers=headers).json()
    assert found["steps"] == ["comment", "questionnaire"]
    assert found["largest"] == [64, 64]
    assert (found["screen"], found["screen_failed"], found["distance_cm"]) == (EVERYTHING["screen"], "record", 60)


def test_practice_images_are_sent_and_never_rated(study: Study, client: TestClient) -> None:
    """They are no items: their names are in no plan, and they leave no rating; images of others stay closed."""
    name, headers = newcomer(study, client)
    found = client.get("/api/session", headers=headers).json()
    assert len(found["practice"]) == 2
    assert sorted((p["low"], p["high"]) for p in found["practice"]) == [(1, 2), (4, 5)]
    for trial in found["practice"]:
        assert trial["image"] not in {i["image"] for i in found["items"]}
        assert (
            client.get(f"/api/stimuli/{trial['image']}", headers=headers).content
            == study.stimulus_path(trial["image"]).read_bytes()
        )
    assert client.get(f"/api/stimuli/{'0' * 32}", headers=headers).status_code == 404
    assert "face" not in str(found["practice"])
    assert name not in set(study.ratings(excluded=True)["rater"])


def test_a_rater_who_leaves_is_gone_or_out(study: Study, client: TestClient) -> None:
    """Withdrawing keeps what was given, out of the results, or erases everything, questionnaire included; the link then ends."""
    for erase, rows in ((False, 1), (True, 0)):
        name, headers = newcomer(study, client)
        body = {"step": "questionnaire", "mark": "m", "values": {"age_band": "60+"}}
        client.post("/api/answers", json=body, headers=headers)
        assert client.put("/api/ratings/1", json={"score": None}, headers=headers).status_code == 200
        assert client.post("/api/withdraw", json={"erase": erase}, headers=headers).status_code == 200
        assert len(study.ratings(excluded=True).query("rater == @name")) == rows
        assert len(given.given(study).query("rater == @name and name == 'age_band'")) == rows
        assert (name in study.excluded()) is not erase
        assert client.get("/api/session", headers=headers).status_code == 401
        assert client.post("/api/answers", json=body, headers=headers).status_code == 401


def test_laptops_at_125_and_150_percent_are_not_refused(tmp_path: Path) -> None:
    """Images are sized in device pixels, so those screens show whole ones; a pinch does not, and neither does a page that says so."""
    study = small_study(tmp_path, fractional="refuse", anchors=6, faces=20)
    with TestClient(study_app(study, password="x", streamlit=False, limits=generous())) as client:
        _, headers = newcomer(study, client)
        shows = [
            ({"dpr": 1.25, "device_pixels": 3}, 200),
            ({"dpr": 1.5, "device_pixels": 3}, 200),
            ({"dpr": 1.1, "device_pixels": 2}, 200),
        ]
        shows += [({"dpr": 1, "pinch": 1.3}, 409), ({"dpr": 1.5, "device_pixels": 2.5}, 409)]
        for shown, status in shows:
            position = client.get("/api/session", headers=headers).json()["next"]
            assert (
                client.put(f"/api/ratings/{position}", json={"score": None, "shown": shown}, headers=headers).status_code == status
            ), shown
    study.close()


@pytest.mark.parametrize(
    ("join", "says"), [("invited", "personal link"), ("open", "take part in this study"), ("prolific", "page of the platform")]
)
def test_people_without_a_link_get_a_page(tmp_path: Path, join: str, says: str) -> None:
    """The root address and dead links, in the visitor's language, with the contact as text and nothing that runs."""
    study = small_study(tmp_path, join=join, contact="<b>Ada</b>")
    with TestClient(study_app(study, password="x", streamlit=False)) as client:
        page = client.get("/")
        assert page.status_code == 200
        assert says in page.text
        assert "&lt;b&gt;Ada&lt;/b&gt;" in page.text
        assert ('href="rate/"' in page.text) is (join == "open")
        for path in ("/rates", "/rate/abc", "/rate/abc/def", "/study/1"):
            dead = client.get(path, headers={"Accept-Language": "de-AT,de;q=0.9"})
            assert (dead.status_code, dead.headers["content-type"]) == (404, "text/html; charset=utf-8")
            assert '<html lang="de">' in dead.text
            assert "Diese Seite gibt es nicht" in dead.text
            assert "script" not in dead.text
            assert "default-src 'none'" in dead.headers["content-security-policy"]
        assert client.get("/api/nothing").headers["content-type"] == "application/json"
    study.close()


def test_the_login_page_tells_raters_where_to_go(study: Study) -> None:
    """Who types the bare address of a server with a watching page is asked for a password; raters are told that they need none."""
    with TestClient(Login(Starlette(), "open sesame", study, lambda request: welcome(study, request))) as client:
        page = client.get("/", headers={"Accept-Language": "de"}, follow_redirects=True)
        assert "persönlichen Link" in page.text
        assert 'name="password"' in page.text


def test_a_session_that_was_logged_out_stays_so(study: Study) -> None:
    """A copy of its cookie is worth nothing, not after a restart of the server either; another session goes on, and the log holds no cookie."""
    door = Login(Starlette(), "open sesame", study)

    def session(client: TestClient) -> str:
        client.get("/login")
        given = {"password": "open sesame", "csrf": client.cookies["facesr_csrf"]}
        assert client.post("/login", data=given, follow_redirects=False).headers["location"] == "./"
        return str(client.cookies["facesr_admin"])

    with TestClient(door) as mine, TestClient(door) as other:
        kept, theirs = session(mine), session(other)
        assert mine.post("/logout", follow_redirects=False).status_code == 303
    with TestClient(Login(Starlette(), "open sesame", study), follow_redirects=False) as again:
        for cookie, inside in ((kept, False), (theirs, True)):
            again.cookies.set("facesr_admin", cookie)
            assert (again.get("/").status_code == 404) is inside  # nothing lies behind this door: 303 is the way to the login page
    log = reading.events(study)
    assert list(log["kind"]).count("logged out") == 1
    assert kept not in str(log.to_dict("records"))


# --- words and files -----------------------------------------------------------------------------------------------------------------


def test_every_language_says_everything() -> None:
    """The same keys in each built-in language, with the same values to fill in; and no text is left in English by mistake."""
    english = wording.builtin("en")
    for language in wording.builtin_languages():
        words = wording.builtin(language)
        assert set(words) == set(english)
        for key, text in words.items():
            assert set(wording.PLACEHOLDER.findall(text)) == set(wording.PLACEHOLDER.findall(english[key])), (language, key)
            assert language == "en" or len(text) < 25 or text != english[key], key
            assert "\u00ad" not in text, "words are not broken"


def test_every_word_the_page_asks_for_is_there() -> None:
    """``say("key")`` in the scripts, and what they fill in, against the texts."""
    english = wording.builtin("en")
    source = "\n".join(f.read_text() for f in FOLDER.glob("*.js"))
    asked = set(re.findall(r'say\("(\w+)"', source)) | set(re.findall(r'label: "(\w+)"', source))
    assert asked - set(english) == set()
    assert len(asked) > 60


def test_the_page_is_small_and_asks_nobody_else() -> None:
    """Plain files of at most 400 lines, all of them served and no others; no address of another server, no HTML made from text, no eval."""
    assert {name or "index.html" for name in FILES} == {f.name for f in FOLDER.iterdir()}
    for file in FOLDER.iterdir():
        text = file.read_text()
        assert len(text.splitlines()) <= 400
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text), file.name
        assert not [u for u in re.findall(r"https?://[\w.]+", text) if "mturk.com" not in u], file.name
