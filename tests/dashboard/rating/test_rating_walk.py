"""Every screen of the rating page, in Chromium and in Firefox, on phones and on a desk: axe-core finds nothing serious, nothing is cut.

axe-core comes with the package axe-playwright-python of the extra ``dev``: it is half a megabyte under another licence (MPL-2.0), so it is
installed, not committed.
"""

# ruff: noqa: F811 - the fixtures `driver` and `shared` are imported, and are arguments of tests

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from browser import MARKS, driver, link, shared  # noqa: F401 - fixtures
from facesr.bench.study import given, reading
from fake_study import small_study
from firefox import firefox
from servers import ThreadServer

pytestmark = [*MARKS, pytest.mark.slow]

STEPS: dict[str, Any] = {
    "questionnaire": "standard", "screen": ["card", "brightness", "colour", "acuity"], "practice": 2, "comment": True,
    "contact": "Dr. Ada Muster, ada@example.org", "attention": 1, "break_every": 4,
}  # fmt: skip
CUT = """() => {
  const found = [];
  if (document.documentElement.scrollWidth > innerWidth) found.push("scrolls sideways");
  for (const e of document.querySelectorAll("button, label, h1")) {
    if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth) found.push("cut: " + e.textContent);
  }
  if (!document.body.classList.contains("viewing")) return found;
  for (const e of document.querySelectorAll(".stage img, .scale:not(.unused) button, .foot button, h1, #leave, #count")) {
    const r = e.getBoundingClientRect();
    const inside = r.left >= 0 && r.top >= 0 && r.right <= innerWidth + 0.5 && r.bottom <= innerHeight + 0.5;
    if (r.width && !inside) found.push("outside: " + (e.alt ?? e.textContent));
  }
  for (const e of document.querySelectorAll(".scale span")) {
    const range = document.createRange(), words = e.textContent.split(/\\s+/);
    for (const word of words) {
      range.setStart(e.firstChild, e.textContent.indexOf(word));
      range.setEnd(e.firstChild, e.textContent.indexOf(word) + word.length);
      if (new Set([...range.getClientRects()].map((r) => Math.round(r.top))).size > 1) found.push("broken: " + word);
    }
  }
  for (const e of document.querySelectorAll(".stage img")) {
    const k = (e.getBoundingClientRect().width * devicePixelRatio) / e.naturalWidth;
    if (k && Math.abs(k - Math.round(k)) > 0.01) found.push("pixels: " + k);
  }
  return found;
}"""
AXE = """axe.run(document, {resultTypes: ["violations"]}).then((r) => r.violations.filter((v) => ["serious", "critical"].includes(v.impact))
  .map((v) => v.id + " " + v.nodes[0].html))"""


def axe() -> str:
    """The source of axe-core."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("axe-playwright-python is not installed: accessibility is not checked")
    return (Path(found.origin).parent / "axe.min.js").read_text()


@contextmanager
def opened(name: str, shared: Any, folder: Path, width: int, height: int, ratio: float, scheme: str) -> Iterator[Any]:
    """A page in one of the two browsers."""
    if name == "firefox":
        with firefox(folder / "profile") as page:
            page.set_viewport(width, height, ratio)
            yield page
        return
    context = shared.new_context(viewport={"width": width, "height": height}, device_scale_factor=ratio, color_scheme=scheme)
    page = context.new_page()
    page.add_script = page.evaluate
    yield page
    context.close()


class Walk:
    """Goes through the whole study and notes what is wrong on each screen."""

    def __init__(self, page: Any) -> None:
        self.page, self.source = page, axe()
        self.problems: list[str] = []
        self.seen: set[str] = set()

    def look(self, name: str) -> None:
        """Check a screen, each kind once."""
        if name in self.seen:
            return
        self.seen.add(name)
        self.page.add_script(self.source)
        self.problems += [f"{name}: {p}" for p in [*self.page.evaluate(CUT), *self.page.evaluate(AXE)]]

    def click(self, selector: str) -> None:
        """Press a button."""
        self.page.evaluate("selector => document.querySelector(selector).click()", selector)

    def fill(self, **values: str) -> None:
        """Fill in a form."""
        for name, value in values.items():
            self.page.evaluate(f"document.querySelector('[name={name}]').value = '{value}'")

    def before(self) -> None:
        """Consent, questionnaire, screen, instructions."""
        page = self.page
        page.wait_for_selector("#agree")
        assert page.evaluate("document.getElementById('progress').getClientRects().length") == 0  # no empty bar
        self.look("consent")
        self.click("#agree")
        self.click(".big")
        page.wait_for_selector("fieldset")
        self.look("questionnaire")
        self.click("[value='30-44']")
        self.click("form .big")
        page.wait_for_selector("#card-size")
        assert page.evaluate("document.querySelector('form .big').disabled")
        self.look("card")
        page.evaluate("document.getElementById('card-size').focus()")
        page.keyboard.press("ArrowRight")
        self.click("form .big")
        for dark, again in (("0", "false"), ("3", "true")):
            said = "/once more|noch einmal/.test(document.querySelector('.text p').textContent)"
            page.wait_for_function(f"() => document.querySelector('[name=dark]') && {said} === {again}")
            self.look(f"brightness {dark}")
            self.fill(dark=dark, light="3")
            self.click("form .big")
        for n in range(1, 6):
            page.wait_for_function(
                f"() => document.querySelector('.plate') && document.querySelector('.text p').textContent.includes(' {n} ')"
            )
            self.look("colour")
            page.keyboard.press("5")
        page.wait_for_function("() => !document.querySelector('.plate')")
        while page.query_selector(".ring"):
            self.look("acuity")
            page.keyboard.press("ArrowUp")
            page.wait_for_timeout(40)
        page.wait_for_function("() => document.querySelector('.text .big') && !document.querySelector('.ring')")
        self.look("instructions")
        self.click(".big")
        page.wait_for_function("() => document.body.classList.contains('grey')")

    def rate(self) -> None:
        """Examples, practice, images, a correction, a break, the end."""
        page = self.page
        while True:
            page.wait_for_selector("code, [data-go]:enabled, [data-score]:enabled, .foot .big:enabled, .text .big:enabled")
            mark = page.evaluate("document.getElementById('count').textContent + document.querySelector('h1').textContent")
            if page.query_selector("code"):
                break
            if page.query_selector("[data-score]:enabled"):
                can_correct = page.query_selector(".foot button")
                self.look(
                    "attention"
                    if not page.query_selector(".stage")
                    else f"item {can_correct} {page.query_selector('#count:not([hidden])')}"
                )
                if can_correct and "correcting" not in self.seen:
                    self.correct()
                    continue
                title = page.inner_text("h1")
                page.keyboard.press(re.findall("[1-5]", title)[0] if not page.query_selector(".stage") else "2")
            else:
                self.look("example" if page.query_selector("[data-go]") else mark)
                self.click(".foot .big, .text .big")
            page.wait_for_function(
                "before => document.getElementById('count').textContent + (document.querySelector('h1') ?? {}).textContent !== before",
                arg=mark,
            )
        self.look("thanks")
        page.evaluate("document.getElementById('comment').value = 'Fine.'")
        self.click(".comment .plain")
        page.wait_for_function("() => document.querySelector('.comment .small').textContent")

    def correct(self) -> None:
        """Back to the answer before, which is shown and kept; then the question about leaving, answered with no."""
        page = self.page
        page.keyboard.press("Backspace")
        page.wait_for_selector("[data-score='2'][aria-pressed='true']")
        page.wait_for_selector("[data-score]:enabled")
        self.look("correcting")
        page.keyboard.press("Escape")
        page.wait_for_function(
            "() => document.querySelector('.foot button:not([data-go])') && !document.querySelector('[aria-pressed=true]')"
        )
        page.wait_for_selector("[data-score]:enabled")
        self.click("#leave")
        page.wait_for_selector("#leaving[open]")
        self.look("leaving")
        page.keyboard.press("2")  # no answer while the question is open
        page.keyboard.press("Escape")
        page.wait_for_selector("#leaving[open]", state="detached")
        assert not page.query_selector("[aria-pressed=true]")


@pytest.mark.parametrize("name", ["chromium", "firefox"])
@pytest.mark.parametrize(
    ("width", "height", "ratio", "language", "scheme", "options"),
    [
        (320, 640, 2, "de", "light", {}),
        (844, 390, 3, "de", "dark", {}),
        (1400, 900, 1.25, "en", "dark", {}),
        (390, 844, 3, "en", "light", {"method": "pair", "pairs_per_face": 2, "ties": True, "anchors": 0, "zoom": 4.0}),
        (320, 568, 2, "de", "light", {"method": "pair", "pairs_per_face": 2, "anchors": 0}),
    ],
)
def test_every_screen(
    shared: Any,
    tmp_path: Path,
    name: str,
    width: int,
    height: int,
    ratio: float,
    language: str,
    scheme: str,
    options: dict[str, Any],
) -> None:
    """Nothing serious for axe-core, nothing outside the window, no word broken, whole pixels, and all that was given is in the database."""
    study = small_study(tmp_path, **{**STEPS, **options})
    with ThreadServer(study.path) as server, opened(name, shared, tmp_path, width, height, ratio, scheme) as page:
        rater, url = link(study, server)
        page.goto(url.replace("/rate/", f"/rate/?lang={language}"))
        walk = Walk(page)
        walk.before()
        walk.rate()
    assert walk.problems == []
    assert len(walk.seen) >= 15
    assert study.finished() == 1
    told = given.given(study).set_index(["step", "name"])["value"]
    assert told["questionnaire", "age_band"] == "30-44"
    assert told["comment", "comment"] == "Fine."
    assert told["practice", "of"] == "2"
    assert float(told["screen", "dpr"]) == ratio
    shown = reading.presentations(study)
    assert set(shown["rater"]) == {rater}
    if study.method == "pair":
        assert set(shown["layout"].dropna()) == {"column" if width == 390 else "row"}  # images of 64 x 4 CSS pixels are larger so
    study.close()
