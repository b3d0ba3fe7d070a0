"""Every page in a real browser, on runs that were really measured: what it shows is what the tables say."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser import serious
from facesr.bench.numbers import fixed
from facesr.reports.build import duel
from facesr.reports.cells import interval, number
from facesr.reports.scores import open_runs
from facesr.reports.tables import score_table
from small_runs import Dashboard, chromium, real_run

pytestmark = pytest.mark.browser
PAGES = {
    "": "Leaderboard", "faces": "Faces", "compare": "Compare two methods", "identity": "Identity", "consistency": "Consistency",
    "sweep": "Scale sweep", "attributes": "Attributes", "mos": "Mean opinion scores", "people": "Metrics against people", "provenance": "Provenance",
}  # fmt: skip
EVIL = "<img src=x onerror=window.hit=1>"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose second method has a hostile name, and a sweep of another digest."""
    folder = tmp_path_factory.mktemp("dashboard")
    real_run(folder / "runs/one")
    real_run(folder / "runs/sweep", "[8, 16]")
    one = folder / "runs/evil"
    real_run(one, methods=("bicubic",))
    info = json.loads((one / "run.json").read_text())
    info["digest"] = "e" * 64
    info["title"] = EVIL
    info["faces"][0]["attributes"] = {"gender": EVIL}
    (one / "run.json").write_text(json.dumps(info))
    return folder


@pytest.fixture(scope="module")
def server(world: Path) -> Iterator[Dashboard]:
    if chromium() is None:
        pytest.skip("there is no Chromium here (apt install chromium): the pages are not opened in a browser")
    with Dashboard(str(world / "runs"), log=world / "log", url="http://127.0.0.1:{port}/some/path") as running:
        yield running


@pytest.fixture(scope="module")
def context(server: Dashboard, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    with sync_api.sync_playwright() as play:
        made = play.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("profile")),
            executable_path=chromium(),
            args=["--no-sandbox"],
            viewport={"width": 1400, "height": 1000},
        )
        made.set_default_timeout(60_000)
        yield made
        made.close()


@pytest.fixture
def page(context: Any) -> Iterator[Any]:
    """A tab that notes what goes wrong in it and what it asks of other machines."""
    opened = context.new_page()
    opened.wrong = []
    opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
    opened.on(
        "request",
        lambda r: None if r.url.startswith(("http://127.0.0.1", "data:", "blob:", "ws://127")) else opened.wrong.append(r.url),
    )
    yield opened
    assert opened.wrong == []
    opened.close()


def settled(page: Any) -> None:
    """Wait until the script has run and what it sent is drawn: nothing is busy for half a second (between two parts nothing may be)."""
    page.wait_for_selector("h1")
    page.evaluate("() => { window.quiet = null }")
    page.wait_for_function(
        """() => {
          if (document.querySelector('[data-testid=stStatusWidget], [data-testid=stSkeleton]')) window.quiet = null;
          else window.quiet ??= performance.now();
          return window.quiet !== null && performance.now() - window.quiet > 500;
        }"""
    )


def one(world: Path) -> str:
    """The address parameter that chooses the first run."""
    assert (world / "runs/one").is_dir()
    return "run=one"


def test_every_page_opens_by_its_address_and_says_no_error(page: Any, server: Dashboard, world: Path) -> None:
    for path, title in PAGES.items():
        page.goto(f"{server.url}/{path}?{one(world)}")
        settled(page)
        assert page.locator("h1").inner_text() == title
        assert page.locator("[data-testid=stException]").count() == 0
        assert page.locator("[data-testid=stAlertContentError]").count() == 0, path
        assert "This address" not in page.locator("[data-testid=stMain]").inner_text(), path
        assert page.locator(".facesr-whose").inner_text().startswith("FaceSR-Bench · one · small-x8")
        assert page.title() == "one · FaceSR-Bench"
        for image in page.locator("[data-testid=stMain] img").all():
            assert image.get_attribute("alt"), f"a picture without words on {path}"


@pytest.mark.parametrize(("width", "scheme"), [pytest.param(1400, "light", marks=pytest.mark.slow), (390, "dark")])
def test_axe_finds_nothing_serious_and_nothing_scrolls_sideways(
    page: Any, server: Dashboard, world: Path, width: int, scheme: str
) -> None:
    page.set_viewport_size({"width": width, "height": 1000})
    page.emulate_media(color_scheme=scheme)
    for path in [*PAGES, "faces?face=demo-09"]:
        page.goto(f"{server.url}/{path}{'&' if '?' in path else '?'}{one(world)}")
        settled(page)
        assert serious(page) == [], path
        assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth"), path


def test_a_heads_link_sorts_and_the_hint_is_there_where_columns_are_hidden(page: Any, server: Dashboard, world: Path) -> None:
    for width, hidden in ((1400, False), (390, True)):
        page.set_viewport_size({"width": width, "height": 1000})
        page.goto(f"{server.url}/?{one(world)}")
        settled(page)
        assert page.locator(".facesr-more").first.is_visible() == hidden
    page.get_by_role("link", name=re.compile("PSNR")).first.click()
    page.wait_for_function("() => location.search.includes('sort=psnr')")
    settled(page)
    assert "run=one" in page.url
    assert [row.inner_text() for row in page.locator("table.facesr").first.locator("tbody th").all()] == [
        "1. Bicubic",
        "2. Nearest",
    ]
    page.evaluate("() => document.querySelector('.facesr-scroll').scrollTo(400, 0)")
    first = page.locator("table.facesr tbody th").first.bounding_box()
    assert first["x"] >= page.locator(".facesr-scroll").first.bounding_box()["x"]  # names stay in sight


def test_clicking_through_the_navigation_keeps_the_run(page: Any, server: Dashboard, world: Path) -> None:
    page.goto(f"{server.url}/?{one(world)}")
    settled(page)
    before = page.locator("table.facesr").first.locator("caption").inner_text()
    page.get_by_role("link", name="Consistency").click()
    page.wait_for_function("() => document.querySelector('h1')?.innerText === 'Consistency'")
    settled(page)
    assert "run=" in page.url
    page.get_by_role("link", name="Leaderboard").click()
    page.wait_for_function("() => document.querySelector('h1')?.innerText === 'Leaderboard'")
    settled(page)
    assert page.locator("table.facesr").first.locator("caption").inner_text() == before


def test_the_leaderboard_shows_the_tables_own_numbers(page: Any, server: Dashboard, world: Path) -> None:
    table = score_table(open_runs([world / "runs/one"]), full=True)
    page.goto(f"{server.url}/?{one(world)}")
    settled(page)
    rows = page.locator("table.facesr").first.locator("tbody tr").all()
    assert len(rows) == len(table.rows) == 2
    for row, shown in zip(table.rows, rows, strict=True):
        assert shown.locator("th").inner_text() == row.label
        for cell, found in zip(row.cells, shown.locator("td").all(), strict=False):
            assert cell is not None
            text = found.inner_text().replace("\n", " ")
            assert re.match(re.escape(number(cell)), text), (row.label, cell.metric, text)
            assert interval(cell, "pm") in text
    assert page.locator("table.facesr thead th[title*='border']").count() > 0
    with page.expect_download() as waiting:
        page.get_by_role("button", name="LaTeX").first.click()
    assert Path(waiting.value.path()).read_text() == table.printed("latex")


def test_images_are_the_files_byte_for_byte(page: Any, server: Dashboard, world: Path) -> None:
    page.goto(f"{server.url}/faces?{one(world)}")
    settled(page)
    run = open_runs([world / "runs/one"]).runs[0]
    face = run.faces[0].name
    images = page.locator(f".facesr-strip img[alt^='{face}']")
    images.first.scroll_into_view_if_needed()
    kinds = {"LR": run.lr_path(face, 8), "bicubic": run.sr_path("bicubic", face, 8), "HR": run.hr_path(face)}
    for word, file in kinds.items():
        shown = page.locator(f".facesr-strip img[alt^='{face}, {word}']").first
        content = page.request.get(page.evaluate("image => image.src", shown.element_handle())).body()
        assert hashlib.sha256(content).hexdigest() == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_face_is_opened_by_the_keyboard_and_its_address_restores_it(page: Any, server: Dashboard, world: Path) -> None:
    page.goto(f"{server.url}/faces?{one(world)}&order=name")
    settled(page)
    button = page.get_by_role("button", name=re.compile("^demo-")).first
    name = button.inner_text()
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_function(f"() => [...document.querySelectorAll('h2')].some(h => h.innerText === '{name}')")
    assert f"face={name}" in page.url
    settled(page)
    slider = page.get_by_role("slider", name="Before / after")
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function("() => location.search.includes('at=45')")
    page.reload()
    settled(page)
    assert page.get_by_role("slider", name="Before / after").input_value() == "45"
    assert page.locator("h2", has_text=name).count() == 1


def test_the_address_of_a_changed_view_shows_the_same_in_another_tab(
    page: Any, context: Any, server: Dashboard, world: Path
) -> None:
    page.goto(f"{server.url}/compare?{one(world)}")
    settled(page)
    before = page.locator("[data-testid=stMetricValue]").all_inner_texts()
    for label, choice in (("Method A", "bicubic"), ("Metric", "psnr"), ("Faces", "gender: female")):
        page.get_by_role("combobox", name=label, exact=True).fill(choice)
        page.keyboard.press("Enter")
        page.wait_for_function("text => decodeURIComponent(location.search.replaceAll('+', ' ')).includes(text)", arg=choice)
        settled(page)
    page.wait_for_function("before => document.querySelector('[data-testid=stMetricValue]').innerText !== before", arg=before[0])
    settled(page)
    other = context.new_page()
    other.goto(page.url)
    settled(other)
    values = other.locator("[data-testid=stMetricValue]").all_inner_texts()
    assert values == page.locator("[data-testid=stMetricValue]").all_inner_texts() != before
    other.close()


def test_the_lens_enlarges_by_whole_screen_pixels(page: Any, server: Dashboard, world: Path) -> None:
    page.goto(f"{server.url}/faces?{one(world)}&face=demo-09&zoom=6")
    settled(page)
    lens = page.get_by_role("application").first
    lens.wait_for()
    image = lens.locator("img")
    assert page.evaluate("image => getComputedStyle(image).imageRendering", image.element_handle()) == "pixelated"
    assert image.bounding_box()["width"] == pytest.approx(6 * 128, abs=1e-6)
    before = image.bounding_box()["x"]
    lens.focus()
    page.keyboard.press("ArrowRight")
    assert image.bounding_box()["x"] == pytest.approx(before - 6, abs=1e-6)


def test_compare_shows_the_paired_figures(page: Any, server: Dashboard, world: Path) -> None:
    scores = open_runs([world / "runs/one"])
    found = duel(scores, "nearest", "bicubic", "ssim")
    page.goto(f"{server.url}/compare?{one(world)}&a=nearest&b=bicubic&metric=ssim")
    settled(page)
    values = page.locator("[data-testid=stMetricValue]").all_inner_texts()
    assert values[0] == f"{found.win_rate:.1%}"
    assert values[1] == f"{found.wins} : {found.losses}"
    assert values[2] == fixed(found.test.difference, 4)


def test_a_hostile_name_is_shown_and_never_run(page: Any, server: Dashboard, world: Path) -> None:
    page.goto(f"{server.url}/provenance?run=" + "%3Cimg")
    settled(page)
    for path in ("", "attributes", "faces", "provenance"):
        page.goto(f"{server.url}/{path}?where={EVIL}&face={EVIL}")
        settled(page)
        assert page.evaluate("() => window.hit") is None


def test_verify_says_what_changed(page: Any, server: Dashboard, world: Path) -> None:
    page.goto(f"{server.url}/provenance?{one(world)}")
    settled(page)
    page.get_by_role("button", name="Verify all files").click()
    page.get_by_text("32 files are as they were measured").wait_for()  # 8 HR, 8 LR, 2 x 8 SR


def test_dark_follows_the_reader(context: Any, server: Dashboard, world: Path) -> None:
    page = context.new_page()
    page.emulate_media(color_scheme="dark")
    page.goto(f"{server.url}/?{one(world)}")
    settled(page)
    page.wait_for_selector("table.facesr")
    ink = page.evaluate("() => getComputedStyle(document.querySelector('table.facesr')).color")
    assert min(map(int, re.findall(r"\d+", ink)[:3])) > 180, ink
    figure = page.locator("figure.facesr img").first
    drawing = page.request.get(page.evaluate("image => image.src", figure.element_handle())).text()
    assert "#e6edf3" in drawing
    page.close()
