"""The rating page in a real browser: workers of crowd platforms, rests and pauses."""

# ruff: noqa: F811 - the fixtures `driver` and `shared` are imported, and are arguments of tests

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from browser import MARKS, agree, answers, driver, link, rate_until, shared, wait_for  # noqa: F401 - fixtures
from facesr.bench.study import reading, store
from fake_study import small_study
from servers import ThreadServer

pytestmark = MARKS


def test_a_prolific_worker_comes_and_returns(shared: Any, tmp_path: Path) -> None:
    """The id leaves the address bar, the place is found again on another device, the end leads back to the platform."""
    study = small_study(
        tmp_path,
        join="prolific",
        completion_url="https://app.prolific.com/submissions/complete?cc={code}",
        completion_code="CAFE01",
    )
    with ThreadServer(study.path) as server:
        url = f"{server.url}/rate?PROLIFIC_PID=5f1234567890abcdef123456&STUDY_ID=1&SESSION_ID=2"
        first = shared.new_context()
        page = first.new_page()
        page.goto(url)
        agree(page)
        assert "PROLIFIC" not in page.url
        assert "/rate/#" in page.url
        rate_until(page, 3)
        wait_for(lambda: len(answers(study, "r001")) == 7)
        first.close()
        second = shared.new_context()
        page = second.new_page()
        page.goto(url)
        rate_until(page, 100)
        assert page.inner_text("code") == "CAFE01"
        assert page.get_attribute("a.big", "href") == "https://app.prolific.com/submissions/complete?cc=CAFE01"
        second.close()
    table = study.ratings()
    assert set(table["rater"]) == {"r001"}
    assert list(table["position"]) == list(range(1, 17))
    study.close()


def test_an_mturk_worker_submits_the_assignment(shared: Any, tmp_path: Path) -> None:
    """A preview takes no place; at the end the form goes to MTurk with assignment and code; a foreign address is not taken over."""
    study = small_study(tmp_path, join="mturk", images=2, anchors=0, gap=1, conditions=["hr", "psp"])
    with ThreadServer(study.path) as server:
        page = shared.new_context().new_page()
        submit = "turkSubmitTo=https%3A%2F%2Fworkersandbox.mturk.com"
        page.goto(f"{server.url}/rate?assignmentId=ASSIGNMENT_ID_NOT_AVAILABLE&hitId=H&{submit}")
        page.wait_for_selector("text=This is a preview")
        assert reading.raters(study).empty
        page.goto(f"{server.url}/rate?assignmentId=A1&hitId=H&workerId=W1&{submit}")
        agree(page)
        rate_until(page, 100)
        assert page.get_attribute("form", "action") == "https://workersandbox.mturk.com/mturk/externalSubmit"
        values = page.eval_on_selector_all("form input", "all => all.map(i => [i.name, i.value])")
        assert values == [["assignmentId", "A1"], ["code", page.inner_text("code")]]
        page = shared.new_context().new_page()
        page.goto(f"{server.url}/rate?assignmentId=A2&workerId=W2&turkSubmitTo=https%3A%2F%2Fevil.example")
        agree(page)
        rate_until(page, 100)
        page.wait_for_selector("code")
        assert page.query_selector("form") is None
        assert "mturk.com" in httpx.get(f"{server.url}/rate/").headers["content-security-policy"].split("frame-ancestors")[1]
    study.close()


def test_rests_and_pauses(shared: Any, tmp_path: Path) -> None:
    """After the design's time without a rest the page waits and goes on by itself; a paused rater waits for the organisers."""
    study = small_study(tmp_path, session_minutes=0.03, rest_minutes=0.06)
    with ThreadServer(study.path) as server:
        name, url = link(study, server)
        page = shared.new_context().new_page()
        page.goto(url)
        agree(page)
        while not page.query_selector("text=Please rest your eyes"):
            if page.query_selector("[data-score]:enabled"):
                page.keyboard.press("3")
            elif page.query_selector("[data-go]:enabled, .text .big:enabled"):
                page.keyboard.press("Enter")
            page.wait_for_timeout(120)
        assert "You can go on in 0:0" in page.inner_text(".text")
        before = len(answers(study, name))
        page.wait_for_selector("[data-score]:enabled, [data-go]:enabled, .text .big:enabled", timeout=15_000)
        store.set_status(study.engine, name, "paused")
        while not page.query_selector("text=The study is paused"):
            if page.query_selector("[data-score]:enabled"):
                page.keyboard.press("3")
            elif page.query_selector("[data-go]:enabled, .text .big:enabled"):
                page.keyboard.press("Enter")
            page.wait_for_timeout(120)
        assert len(answers(study, name)) == before
        store.set_status(study.engine, name, "active")
        wait_for(lambda: len(answers(study, name)) > before)
        assert list(answers(study, name)["position"]) == list(range(1, len(answers(study, name)) + 1))
    study.close()


def test_answers_left_on_a_device_come_with_a_new_token(shared: Any, tmp_path: Path) -> None:
    """Offline answers of 5, the page closed, the platform's link opened again: the fives arrive, under the old name."""
    study = small_study(tmp_path, join="prolific", anchors=0)
    with ThreadServer(study.path) as server:
        url = f"{server.url}/rate?PROLIFIC_PID=5f1234567890abcdef123456&SESSION_ID=2"
        context = shared.new_context()
        page = context.new_page()
        page.goto(url)
        agree(page)
        rate_until(page, 2)
        wait_for(lambda: len(answers(study, "r001")) == 2)
        page.wait_for_selector("[data-score]:enabled")
        context.set_offline(True)
        page.keyboard.press("5")
        page.wait_for_function(
            "JSON.parse(localStorage.getItem(Object.keys(localStorage).find(k => /:r001$/.test(k))) ?? '[]').length >= 1"
        )
        page.close()
        assert len(answers(study, "r001")) == 2
        context.set_offline(False)
        page = context.new_page()
        page.goto(url)
        wait_for(lambda: len(answers(study, "r001")) == 3)
        assert list(answers(study, "r001")["score"])[2] == 5
        assert list(reading.raters(study)["name"]) == ["r001"]
        context.close()
    study.close()


def test_a_full_study_and_a_broken_link_say_so(shared: Any, tmp_path: Path) -> None:
    """The link back for whom there is no place; the sentence for an organiser whose placeholder was not filled in."""
    study = small_study(tmp_path, join="prolific", raters=1, full_url="https://app.prolific.com/submissions/complete?cc=FULL")
    with ThreadServer(study.path) as server:
        place = httpx.post(
            f"{server.url}/api/join", json={"source": "prolific", "worker": "w1", "submission": "s1", "device": "d1"}
        )
        assert place.status_code == 200
        page = shared.new_context().new_page()
        page.goto(f"{server.url}/rate?PROLIFIC_PID=w2")
        page.wait_for_selector("text=All places in this study are taken")
        assert page.get_attribute("a.big", "href") == "https://app.prolific.com/submissions/complete?cc=FULL"
        page.goto(f"{server.url}/rate?PROLIFIC_PID=%7B%7B%25PROLIFIC_PID%25%7D%7D")
        page.wait_for_selector("text=carries the placeholder")
    study.close()
