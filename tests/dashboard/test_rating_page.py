"""The rating page in a real browser (headless Chromium): a whole study by keyboard, killed halfway; pixels; connection; crowds."""

from __future__ import annotations

import io
import math
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from bench.study import Study, load, reading, store
from fake_study import small_study
from servers import ThreadServer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="Chromium is not installed (apt install chromium): the page is not tried in a browser"
    ),
]
PLAYWRIGHT = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the page is not tried in a browser")


class Browser:
    """Chromium as its own process with its own profile, so that it can be killed like a crash and started again."""

    def __init__(self, driver: Any, profile: Path) -> None:
        self.driver, self.profile = driver, profile
        self.start()

    def start(self) -> None:
        """Start and connect."""
        port = self.profile / "DevToolsActivePort"
        port.unlink(missing_ok=True)
        (self.profile / "SingletonLock").unlink(missing_ok=True)  # left by a killed process
        options = [
            "--headless=new",
            "--no-sandbox",
            "--no-first-run",
            "--disable-gpu",
            "--remote-debugging-port=0",
            f"--user-data-dir={self.profile}",
        ]
        self.process = subprocess.Popen(
            [str(CHROMIUM), *options, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + 60
        while not (port.exists() and port.read_text().strip()) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.connection = self.driver.chromium.connect_over_cdp(f"http://127.0.0.1:{port.read_text().split()[0]}")
        self.context = self.connection.contexts[0]

    def kill(self) -> None:
        """SIGKILL to the whole process group."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    """Playwright, which only drives: the browser is the system's."""
    with PLAYWRIGHT.sync_playwright() as made:
        yield made


@pytest.fixture(scope="module")
def shared(driver: Any) -> Iterator[Any]:
    """One browser for the tests that do not kill it."""
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """4 anchors and 16 rated items, with a break."""
    made = small_study(
        tmp_path_factory.mktemp("page"),
        faces=14,
        raters=20,
        repeats=1,
        gold=2,
        attention=1,
        break_every=5,
        contact='<img src=x onerror="document.title=1">',
    )
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(study: Study) -> Iterator[ThreadServer]:
    """The study, served."""
    with ThreadServer(study.path) as made:
        yield made


def link(study: Study, server: ThreadServer) -> tuple[str, str]:
    """A new rater's name and personal link."""
    rater, token = store.invite(study.engine, rows=study.design.raters)
    return rater.name, f"{server.url}/rate/#{token}"


def agree(page: Any) -> None:
    """Consent and instructions by keyboard."""
    page.wait_for_selector("#agree")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#agree", state="detached")


def step(page: Any, key: str) -> str:
    """Whatever is on the screen, answered by keyboard once: 'rated', 'went on' or 'done'."""
    page.wait_for_selector("code, [data-go]:enabled, [data-score]:enabled, .text .big:enabled")
    if page.query_selector("code"):
        return "done"
    title = page.inner_text("h1")
    if page.query_selector("[data-score]:enabled"):
        wanted = title.split("answer ")[1][0] if "Please answer" in title else key
        count = page.inner_text("#count")
        page.keyboard.press(wanted)
        page.wait_for_function(
            "before => document.getElementById('count').textContent !== before || !document.querySelector('[data-score]')",
            arg=count,
        )
        return "rated"
    count = page.inner_text("#count") + title
    page.keyboard.press("Enter")
    page.wait_for_function(
        "before => (document.getElementById('count').innerText + (document.querySelector('h1')?.innerText ?? '')) !== before",
        arg=count,
    )
    return "went on"


def rate_until(page: Any, rated: int, key: str = "4") -> int:
    """Answer items until ``rated`` were rated or the study is done; returns how many."""
    count = 0
    while count < rated:
        what = step(page, key)
        if what == "done":
            break
        count += what == "rated"
    return count


def answers(study: Study, name: str) -> Any:
    """What is in the database of one rater."""
    again = load(study.path)
    try:
        return again.ratings().query("rater == @name")
    finally:
        again.close()


def wait_for(condition: Any, seconds: float = 20) -> None:
    """Poll until true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def test_a_whole_study_by_keyboard_killed_halfway(driver: Any, study: Study, server: ThreadServer, tmp_path: Path) -> None:
    """Keys only; the browser is killed (-9) in the middle, opened again with the link, and finishes: every rating there once."""
    name, url = link(study, server)
    browser = Browser(driver, tmp_path)
    try:
        page = browser.context.new_page()
        page.goto(url)
        agree(page)
        assert rate_until(page, 7) == 7
        browser.kill()
        before = len(answers(study, name))
        assert before in {10, 11}  # 4 examples and 7 ratings, the last of which may have been on its way
        browser.start()
        page = browser.context.new_page()
        page.goto(url)
        rate_until(page, 100)
        assert len(page.inner_text("code")) == 8
    finally:
        browser.kill()
    table = answers(study, name)
    assert list(table["position"]) == list(range(1, 21))
    assert table.query("kind == 'main'")["score"].tolist() == [4.0] * 12
    assert table.query("kind == 'attention'")["correct"].all()
    assert table["rt_ms"].between(0, 60_000).all()
    assert study.finished() >= 1
    kinds = set(reading.events(study).query("rater == @name")["kind"])
    assert {"consent", "resumed", "break"} <= kinds


def test_answers_survive_a_lost_connection_and_a_closed_tab(shared: Any, study: Study, server: ThreadServer) -> None:
    """Offline, rating goes on with images loaded ahead; the tab is closed unsent; the next visit sends them: none lost, none twice."""
    name, url = link(study, server)
    context = shared.new_context()
    page = context.new_page()
    page.goto(url)
    agree(page)
    rate_until(page, 2, "2")
    wait_for(lambda: len(answers(study, name)) == 6)
    page.wait_for_timeout(1500)  # the next images arrive meanwhile
    context.set_offline(True)
    rate_until(page, 4, "5")
    page.wait_for_selector("#notice:visible")
    assert "kept on this device" in page.inner_text("#notice")
    assert len(answers(study, name)) == 6
    page.close()
    context.set_offline(False)
    page = context.new_page()
    page.goto(url)
    wait_for(lambda: len(answers(study, name)) == 10)
    rate_until(page, 100, "1")
    table = answers(study, name)
    assert list(table["position"]) == list(range(1, 21))
    judged = table.query("kind in ['main', 'repeat', 'gold']")["score"].tolist()
    assert set(judged) == {1.0, 2.0, 5.0}
    assert judged.index(5.0) in {1, 2}
    assert page.evaluate("Object.keys(localStorage).filter(k => k.startsWith('facesr:r'))") == []
    context.close()


@pytest.mark.parametrize("ratio", [1, 1.1, 1.25, 1.5, 2, 2.625])
def test_every_image_pixel_is_a_whole_number_of_screen_pixels(
    driver: Any, study: Study, server: ThreadServer, ratio: float
) -> None:
    """What is on the screen is the file, pixel for pixel, at any device pixel ratio: k x k screen pixels an image pixel."""
    _, url = link(study, server)
    # A real screen of that ratio: Playwright's own emulation of one lays out in CSS pixels, as no browser on a screen does.
    browser = driver.chromium.launch(
        executable_path=CHROMIUM, args=["--no-sandbox", f"--force-device-scale-factor={ratio}", "--window-size=1000,1200"]
    )
    page = browser.new_context(no_viewport=True).new_page()
    page.goto(url)
    agree(page)
    step(page, "3")
    page.wait_for_selector(".stage.on img")
    page.wait_for_timeout(300)
    assert page.evaluate("devicePixelRatio") == pytest.approx(ratio, abs=1e-6)
    own = page.evaluate(
        "fetch('../api/session', {headers: {Authorization: 'Bearer ' + location.hash.slice(1)}}).then(r => r.json())"
    )
    name = next(i["image"] for i in own["items"] if i["position"] == own["next"])
    wanted = np.asarray(Image.open(study.stimulus_path(name)).convert("RGB"))
    k = max(1, math.floor(study.design.zoom * ratio + 0.5))
    enlarged = wanted.repeat(k, 0).repeat(k, 1)
    box = page.eval_on_selector(
        ".stage img", "e => { const r = e.getBoundingClientRect(); return [r.left, r.top, r.width, r.height] }"
    )
    left, top, width, height = (v * ratio for v in box)
    assert (width, height) == pytest.approx(enlarged.shape[1::-1], abs=0.05)
    screen = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    corners = [(math.floor(top) + dy, math.floor(left) + dx) for dy in (-1, 0, 1, 2) for dx in (-1, 0, 1, 2)]
    shown = [screen[y : y + enlarged.shape[0], x : x + enlarged.shape[1]] for y, x in corners]
    assert any(np.array_equal(s, enlarged) for s in shown)
    browser.close()


def test_correction_mouse_touch_and_screen_readers(shared: Any, study: Study, server: ThreadServer) -> None:
    """Another key at once corrects; Backspace goes back one item; buttons have names; touch is recorded as touch; the contact is text."""
    name, url = link(study, server)
    context = shared.new_context(has_touch=True)
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("#agree")
    assert '<img src=x onerror="document.title=1">' in page.inner_text(".small")
    assert page.title() == "Rating images"
    agree(page)
    while not page.query_selector("[data-score]"):
        step(page, "")
    page.wait_for_selector("[data-score]:enabled")
    page.keyboard.press("2")
    page.keyboard.press("2")  # a bounce, not a correction
    page.keyboard.press("3")  # a correction, in time
    wait_for(lambda: len(answers(study, name)) == 5)
    wait_for(lambda: answers(study, name)["revisions"].iloc[-1] == 1)
    page.wait_for_function("() => document.getElementById('count').textContent.includes('2 of 16')")
    page.wait_for_selector("[data-score]:enabled")
    page.keyboard.press("Backspace")
    page.wait_for_function("() => document.getElementById('count').textContent.includes('1 of 16')")
    page.wait_for_selector("[data-score]:enabled")
    page.get_by_role("button", name="5 Excellent").click()
    page.wait_for_function("() => document.getElementById('count').textContent.includes('2 of 16')")
    row = lambda: answers(study, name).iloc[4]  # noqa: E731
    wait_for(lambda: row()["revisions"] == 2)
    assert (row()["score"], row()["first_score"]) == (5.0, 2.0)
    page.wait_for_selector("[data-score]:enabled")
    title = page.inner_text("h1")
    page.get_by_role("button", name="4 Good").tap()
    wait_for(lambda: len(answers(study, name)) == 6)
    assert answers(study, name)["score"].iloc[-1] == 4.0
    assert title
    from sqlalchemy import select

    from bench.study import tables as t

    with study.engine.connect() as connection:
        inputs = (
            connection.execute(select(t.rating.c.input).join(t.rater).where(t.rater.c.name == name).order_by(t.rating.c.position))
            .scalars()
            .all()
        )
    assert inputs[4:] == ["key", "touch"]
    alt = page.get_attribute(".stage img", "alt") or ""
    assert alt == "Image of a face to rate"
    assert page.get_attribute("#progress", "aria-valuenow") is not None
    context.close()


def test_zoom_can_be_refused_and_languages_changed(driver: Any, shared: Any, tmp_path: Path) -> None:
    """A study that refuses fractional zoom waits until it is whole; the page speaks German to a German browser; recorded shows say how."""
    study = small_study(tmp_path, fractional="refuse")
    with ThreadServer(study.path) as server:
        name, url = link(study, server)
        context = shared.new_context(device_scale_factor=1.25, locale="de-DE")
        page = context.new_page()
        page.goto(url)
        agree(page)
        assert page.evaluate("document.documentElement.lang") == "de"
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Bitte den Zoom zurücksetzen")
        context.close()
        context = shared.new_context(device_scale_factor=2, locale="de-DE")
        page = context.new_page()
        page.goto(url)
        page.wait_for_selector("text=Was zu tun ist")
        page.keyboard.press("Enter")
        page.wait_for_selector("[data-go]:enabled")
        page.keyboard.press("Enter")
        wait_for(lambda: len(answers(study, name)) == 1)
        shown = reading.presentations(study).iloc[0]
        assert (shown["dpr"], shown["device_pixels"], shown["css_px"], shown["verified"]) == (2.0, 4.0, 128.0, True)
        page.select_option("#language", "en") if page.is_visible("#language") else None
        context.close()
    study.close()


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


def test_wrong_links_say_so(shared: Any, study: Study, server: ThreadServer) -> None:
    """A link that is not valid, and a page without one in a study by invitation."""
    page = shared.new_page()
    page.goto(f"{server.url}/rate/#wrong")
    page.wait_for_selector("text=This link does not work")
    page.goto(f"{server.url}/rate/")
    page.reload()
    page.wait_for_selector("text=by personal invitation")
    page.close()
