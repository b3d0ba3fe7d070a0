"""The watching page: progress and holes, no means before the stopping rule, a look ahead that is logged, invitations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from facesr.bench.study import Study, reading, store
from facesr.bench.study.simulate import simulate
from fake_study import small_study

PAGE = Path(__file__).parents[3] / "dashboard" / "rating" / "watch.py"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Study]:
    """One rater in the middle, one not begun, two simulated ones; two must finish."""
    made = small_study(tmp_path, stop_raters=1, attention=1, analysis={"exclude_raters": {"attention_wrong": 1.0}})
    simulate(made, 2)
    rater, _ = store.seat_rater(made.engine, rows=3)
    store.seat_rater(made.engine, rows=3)
    store.consent(made.engine, rater, "en")
    for position in range(1, 9):
        store.rate(made.engine, rater, position, None if position < 5 else 4, rt_ms=1000)
    monkeypatch.setenv("FACESR_STUDIES", str(made.path))
    yield made
    made.close()


def opened() -> AppTest:
    """The page, drawn once without an error."""
    page = AppTest.from_file(str(PAGE), default_timeout=60).run()
    assert not page.exception
    return page


def everything(page: AppTest) -> str:
    """All words and tables of a page."""
    parts = [
        str(e.value)
        for kind in ("title", "caption", "markdown", "warning", "info", "success", "error", "code")
        for e in page.get(kind)
    ]
    return "\n".join([*parts, *(t.value.to_string() for t in page.dataframe)])


def test_progress_without_means(study: Study) -> None:
    """Figures of people only; no mean, no table of scores."""
    page = opened()
    shown = {m.label: m.value for m in page.metric}
    assert shown["Raters finished"] == "0 of 1"
    assert shown["Ratings"] == "4"
    assert shown["Missing"] == str(3 * 12 - len(study.ratings().query("kind == 'main'")))
    people = page.dataframe[0].value
    assert list(people["name"]) == ["r001", "r002"]
    assert people["progress"].iloc[0] == pytest.approx(100 * 8 / 17)
    text = everything(page)
    assert "2 simulated raters" in text
    assert "Hidden until 1 raters have finished" in text
    assert not any("mean" in t.value.columns for t in page.dataframe)


def test_a_look_ahead_needs_a_reason_and_is_logged(study: Study) -> None:
    """Without name and reason nothing is shown; with them the means come and the log knows."""
    page = opened()
    button = next(b for b in page.button if "Look" in b.label)
    page = button.click().run()
    assert not study.peeks()
    assert any("please give them" in str(e.value) for e in page.error)
    page.text_input(key="peek who").set_value("Ada")
    page.text_input(key="peek why").set_value("funding")
    page = next(b for b in page.button if "Look" in b.label).click().run()
    assert [(p["who"], p["reason"]) for p in study.peeks()] == [("Ada", "funding")]
    assert any("mean" in t.value.columns for t in page.dataframe)
    assert any("early looks are in the log" in str(w.value) for w in opened().warning)


def test_means_come_with_the_stopping_rule(study: Study) -> None:
    """One person has finished, as the design demands."""
    rater = store.find_rater(study.engine.connect(), "r001")
    for position in range(9, 18):
        store.rate(study.engine, rater, position, 4)
    assert any("mean" in t.value.columns for t in opened().dataframe)
    assert not study.peeks()


def test_inviting_and_pausing(study: Study) -> None:
    """A new link is shown once and works; a paused rater is paused in the database."""
    page = opened()
    page = next(b for b in page.button if b.label == "Invite a rater").click().run()
    link = page.code[0].value
    token = link.split("/rate/#")[1]
    found = store.by_token(study.engine, token)
    assert found is not None
    assert found.name == "r003"
    page = opened()
    page.selectbox(key="acted on").select("r001")
    page = next(b for b in page.button if b.label == "Do it").click().run()
    assert any("tick 'Yes, do it'" in str(e.value) for e in page.error)
    assert reading.raters(study).set_index("name").loc["r001", "status"] == "active"
    page.checkbox[0].check()
    page = next(b for b in page.button if b.label == "Do it").click().run()
    assert reading.raters(study).set_index("name").loc["r001", "status"] == "paused"
    page.radio[0].set_value("undo")
    page = next(b for b in page.button if b.label == "Do it").click().run()
    assert any("the pause is taken back" in str(e.value) for e in page.success)
    assert reading.raters(study).set_index("name").loc["r001", "status"] == "active"


def test_nothing_to_watch_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No study, a broken path."""
    monkeypatch.delenv("FACESR_STUDIES", raising=False)
    assert "No study is served" in everything(opened())
    monkeypatch.setenv("FACESR_STUDIES", str(tmp_path))
    assert "is not a study" in everything(opened())
