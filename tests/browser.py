"""Headless Chromium for tests, and a rater's hands: keys pressed as a person would."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facesr.bench.study import Study, load_study, store
from servers import ThreadServer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="Chromium is not installed (apt install chromium): the page is not tried in a browser"
    ),
]


def serious(page: Any) -> list[str]:
    """What axe-core finds serious or critical on a page: rule, and the first element."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python checks accessibility")
    found = axe.Axe().run(page).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found if v["impact"] in ("serious", "critical")]


def found_by_axe(site: Path, pages: tuple[str, ...]) -> list[str]:
    """What axe-core finds serious, and what scrolls sideways, wide and light, narrow and dark."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the site is not tried in a browser")
    found = []
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for width, scheme in ((1400, "light"), (390, "dark")):
            view = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            for name in pages:
                view.goto((site / name).as_uri())
                view.wait_for_timeout(300)
                found += [f"{name} at {width}: {line}" for line in serious(view)]
                found += (
                    [f"{name} is wider than {width}"] if view.evaluate("document.documentElement.scrollWidth > innerWidth") else []
                )
        browser.close()
    return found


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
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: the page is not tried in a browser"
    )
    with playwright.sync_playwright() as made:
        yield made


@pytest.fixture(scope="module")
def shared(driver: Any) -> Iterator[Any]:
    """One browser for the tests that do not kill it."""
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    yield browser
    browser.close()


def link(study: Study, server: ThreadServer) -> tuple[str, str]:
    """A new rater's name and personal link."""
    rater, token = store.seat_rater(study.engine, rows=study.design.raters)
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
    again = load_study(study.path)
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
