"""The rating page where something goes on elsewhere, is missing, or ends early; in headless Chromium."""

# ruff: noqa: F811 - the fixtures `driver` and `shared` are imported, and are arguments of tests

from __future__ import annotations

from pathlib import Path
from typing import Any

from browser import MARKS, agree, answers, driver, link, rate_until, shared, step, wait_for  # noqa: F401 - fixtures
from facesr.bench.study import given, reading
from fake_study import small_study
from servers import ThreadServer

pytestmark = MARKS


def test_a_tab_that_was_left_behind_says_so(shared: Any, tmp_path: Path) -> None:
    """Another tab of the browser stops this one at once; another device stops it at the next answer, which changes nothing there.

    The very last answer waits until it has settled, since a finished rater's answers are not changed any more.
    """
    study = small_study(tmp_path)
    with ThreadServer(study.path) as server:
        name, url = link(study, server)
        home, phone = shared.new_context(), shared.new_context()
        first = home.new_page()
        first.goto(url)
        agree(first)
        rate_until(first, 1, "3")
        second = home.new_page()
        second.goto(url)
        first.wait_for_selector("text=You went on elsewhere")
        rate_until(second, 1, "3")
        wait_for(lambda: len(answers(study, name)) == 6)
        away = phone.new_page()
        away.goto(url)
        rate_until(away, 3, "5")
        wait_for(lambda: len(answers(study, name)) == 9)
        second.wait_for_selector("[data-score]:enabled")
        second.keyboard.press("1")
        second.wait_for_selector("text=this tab has stopped")
        assert answers(study, name)["score"].dropna().tolist() == [3, 3, 5, 5, 5]
        second.get_by_role("button", name="Go on here").click()
        rate_until(second, 6, "4")
        second.wait_for_selector("[data-score]:enabled")
        assert "Image 12 of 12" in second.inner_text("#count")
        second.keyboard.press("2")
        second.keyboard.press("4")
        second.wait_for_selector("code")
        last = answers(study, name).iloc[-1]
        assert (last["position"], last["score"], last["first_score"], last["revisions"]) == (16, 4, 4, 0)
        kinds = reading.events(study).query("kind == 'left behind'")["detail"].tolist()
        assert [k.strip('{}" ').split('"')[-1] for k in kinds] == ["opened", "answered"]
        away.bring_to_front()
        away.evaluate("dispatchEvent(new Event('focus'))")
        away.wait_for_selector("text=You went on elsewhere")
        home.close()
        phone.close()
    study.close()


def test_without_images_the_page_says_what_it_waits_for(shared: Any, tmp_path: Path) -> None:
    """When no more images are there, the screen says so, with the answers that wait; it goes on by itself, and nothing is lost."""
    study = small_study(tmp_path)
    with ThreadServer(study.path) as server:
        name, url = link(study, server)
        context = shared.new_context()
        page = context.new_page()
        allowed: list[str] = []

        def images(route: Any) -> None:
            if len(allowed) < 6:
                allowed.append(route.request.url)
                route.continue_()
            else:
                route.abort()

        page.route("**/api/stimuli/*", images)
        page.goto(url)
        agree(page)
        rate_until(page, 2, "2")
        page.wait_for_selector("text=No connection")
        page.route("**/api/ratings/*", lambda route: route.abort())
        assert "No more images can be loaded" in page.inner_text("main")
        assert not page.is_visible("#notice")
        assert not page.query_selector("[data-score]")
        page.unroute("**/api/stimuli/*")
        page.evaluate("dispatchEvent(new Event('online'))")
        rate_until(page, 2, "4")
        page.wait_for_selector("#notice:visible")
        page.unroute("**/api/ratings/*")
        page.evaluate("dispatchEvent(new Event('online'))")
        wait_for(lambda: len(answers(study, name)) == 8)
        assert answers(study, name)["score"].dropna().tolist() == [2, 2, 4, 4]
        context.close()
    study.close()


def test_a_rater_can_leave(shared: Any, tmp_path: Path) -> None:
    """The question can be answered with no, and with deleting: then nothing is left but a nameless row, and the link ends."""
    study = small_study(tmp_path)
    with ThreadServer(study.path) as server:
        name, url = link(study, server)
        page = shared.new_page()
        page.goto(url)
        page.wait_for_selector("#agree")
        assert not page.is_visible("#leave")  # there is nothing to leave yet
        assert "You will see 16 images" in page.inner_text("main")  # 12 to rate and 4 examples
        agree(page)
        rate_until(page, 2, "2")
        page.click("#leave")
        page.get_by_role("button", name="Go on rating").click()
        rate_until(page, 1, "2")
        wait_for(lambda: len(answers(study, name)) == 7)
        page.click("#leave")
        page.get_by_role("button", name="Stop and delete my answers").click()
        page.wait_for_selector("text=Your answers have been deleted")
        assert study.ratings(excluded=True).empty
        assert reading.raters(study)["status"].tolist() == ["deleted"]
        page.reload()
        page.wait_for_selector("text=This link does not work")
        page.close()
    study.close()


def test_who_fails_the_check_of_sight_may_be_sent_away(shared: Any, tmp_path: Path) -> None:
    """Under ``--screen-failed refuse`` the place is free again, by the rule; what was found is kept. Rings and digits are fixed by a stub."""
    study = small_study(
        tmp_path, screen=["card", "colour", "acuity"], screen_failed="refuse", screened_url="https://example.org/out"
    )
    with ThreadServer(study.path) as server:
        name, url = link(study, server)
        page = shared.new_page(device_scale_factor=3)  # so many pixels show finer rings than the coarsest
        page.add_init_script("Math.random = () => 0.5")  # every digit is a 5, every gap is at the bottom
        page.goto(url)
        agree(page)
        page.wait_for_selector("#card-size")
        page.focus("#card-size")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        page.wait_for_selector(".plate")
        for n in range(1, 6):
            page.wait_for_selector(f"text=Picture {n} of 5")
            page.keyboard.press("5")
        page.wait_for_selector(".ring")
        for key in ("ArrowDown", "ArrowDown", "ArrowUp", "ArrowUp"):
            page.keyboard.press(key)
        page.wait_for_selector("text=You cannot take part in this study")
        assert page.get_attribute("a.big", "href") == "https://example.org/out"
        page.close()
    told = given.given(study).set_index("name")["value"]
    assert (told["colour_right"], told["colour_of"], told["colour_control"], told["acuity"]) == ("4", "4", "1", "0.2")
    assert study.excluded() == {name: "screened: acuity"}
    study.close()


def test_who_cannot_be_judged_is_not_taken_where_sight_is_demanded(shared: Any, tmp_path: Path) -> None:
    """Without a card no acuity: under ``refuse`` the button says that the study ends there, and it does; under ``record`` one goes on."""
    for rule, button in (("refuse", "I have no such card: leave the study"), ("record", "I have no such card")):
        study = small_study(
            tmp_path / rule,
            screen=["card", "acuity"],
            screen_failed=rule,
            screened_url="https://example.org/out" if rule == "refuse" else "",
        )
        with ThreadServer(study.path) as server:
            name, url = link(study, server)
            page = shared.new_page()
            page.goto(url)
            agree(page)
            page.wait_for_selector("#card-size")
            assert page.inner_text("form .plain") == button
            page.click("form .plain")
            if rule == "refuse":
                page.wait_for_selector("text=You cannot take part in this study")
                assert page.get_attribute("a.big", "href") == "https://example.org/out"
            else:
                page.wait_for_selector("text=What to do")
            page.close()
        assert study.excluded() == ({name: "screened: acuity not measured"} if rule == "refuse" else {})
        study.close()


def test_plates_differ_in_one_cone_alone(shared: Any, tmp_path: Path) -> None:
    """Figure and ground of a deutan plate differ in M alone, of a protan plate in L alone (Hunt-Pointer-Estevez as in Viénot et al. 1999)."""
    study = small_study(tmp_path)
    with ThreadServer(study.path) as server:
        page = shared.new_page()
        page.goto(f"{server.url}/rate/")
        pairs = page.evaluate("import('./sight.js').then(m => ['protan', 'deutan'].map(k => m.colours(k)))")
        page.close()
    study.close()
    to_lms = [[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]]
    for cone, (figure, ground) in zip((0, 1), pairs, strict=True):
        assert all(0 <= v <= 1 for v in [*figure, *ground])
        change = [sum(w * (f - g) for w, f, g in zip(row, figure, ground, strict=True)) for row in to_lms]
        assert abs(change[cone]) > 2
        assert all(abs(c) < 1e-3 for k, c in enumerate(change) if k != cone)
