"""The rating page in a real browser (headless Chromium): a whole study by keyboard, killed halfway; pixels; connection; crowds."""

# ruff: noqa: F811 - the fixtures `driver` and `shared` are imported, and are arguments of tests

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser import CHROMIUM, MARKS, Browser, agree, answers, driver, link, rate_until, shared, step, wait_for  # noqa: F401 - fixtures
from facesr.bench.study import Study, reading
from fake_study import small_study
from servers import ThreadServer

pytestmark = MARKS


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

    from facesr.bench.study import tables as t

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


def test_a_pinch_is_refused_and_a_laptop_at_125_percent_is_not(shared: Any, tmp_path: Path) -> None:
    """A study that refuses interpolated pixels says how a pinch is undone and goes on when it is; a ratio of 1.25 shows whole pixels."""
    study = small_study(tmp_path, fractional="refuse")
    with ThreadServer(study.path) as server:
        _, url = link(study, server)
        context = shared.new_context(device_scale_factor=1.25, locale="de-DE")
        page = context.new_page()
        page.goto(url)
        agree(page)
        assert page.evaluate("document.documentElement.lang") == "de"
        page.wait_for_selector("text=Was zu tun ist")
        cdp = context.new_cdp_session(page)
        cdp.send("Emulation.setPageScaleFactor", {"pageScaleFactor": 1.5})
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Bitte machen Sie die Vergrößerung rückgängig")
        cdp.send("Emulation.setPageScaleFactor", {"pageScaleFactor": 1})
        page.wait_for_selector("[data-go]:enabled")
        page.keyboard.press("Enter")
        wait_for(lambda: len(reading.presentations(study)) == 1)
        shown = reading.presentations(study).iloc[0]
        assert (shown["dpr"], shown["device_pixels"], shown["verified"]) == (1.25, 3.0, True)
        assert shown["css_px"] == pytest.approx(64 * 3 / 1.25, abs=0.02)
        context.close()
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
