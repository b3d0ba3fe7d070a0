"""The report in a real browser: nothing is fetched, nothing complains, light and dark, wide and narrow, faces unsmoothed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fake_run import make_run, make_study

from facesr.reports.gather import gather
from facesr.reports.mos import open_study
from facesr.reports.page import html_page
from facesr.reports.scores import open_runs

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium")]


def test_the_page_in_a_browser(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    run = make_run(tmp_path / "run", faces=6, methods=("bicubic", "pulse", "psp"))
    study = make_study(tmp_path / "study", raters=5, faces=6, means={"hr": 4.0, "bicubic": 1.5, "pulse": 3.3, "psp": 3.5})
    file = tmp_path / "report.html"
    file.write_text(html_page(gather(open_runs([run]).only(metrics=["psnr", "consistency"]), open_study(study), count=2)))
    requests: list[str] = []
    problems: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for scheme, width in (("light", 1280), ("dark", 420)):
            view = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})  # type: ignore[arg-type]
            view.on("request", lambda request: requests.append(request.url))
            view.on("console", lambda message: problems.append(message.text))
            view.on("pageerror", lambda error: problems.append(str(error)))
            view.goto(file.as_uri())
            assert view.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"wider than {width} pixels"
            paper = view.evaluate("getComputedStyle(document.body).backgroundColor")
            assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}[scheme]
            faces = view.locator("table.faces img")
            assert (
                faces.count() == 5 * 5
            )  # four choices of two faces name five different ones; each is embedded once, in five columns
            faces.last.scroll_into_view_if_needed()
            assert faces.last.evaluate("i => i.decode().then(() => [i.naturalWidth, getComputedStyle(i).imageRendering])") == [
                128,
                "pixelated",
            ]
            text = view.locator("figure svg").first.evaluate("s => getComputedStyle(s).color")
            assert text == view.evaluate("getComputedStyle(document.body).color")
            view.close()
        browser.close()
    assert not problems
    assert all(url.startswith(("file://", "data:")) for url in requests)
