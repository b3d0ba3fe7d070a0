"""What a study asks before and after the ratings: frozen at create, stored once, exported, erased with the rater."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import inspect, select, text

from facesr.bench.errors import FaceSRError
from facesr.bench.study import given, load_study, store, wording
from facesr.bench.study import tables as t
from facesr.bench.study.database import migrate
from facesr.bench.study.export import export
from facesr.bench.study.given import keep, px_per_degree
from facesr.bench.study.questions import checked_answers, read_questionnaire
from facesr.bench.study.rescue import rescue
from facesr.cli import main
from fake_study import fake_run, small_study

EVERYTHING: dict[str, Any] = {
    "questionnaire": "standard", "screen": ["card", "brightness", "colour", "acuity"], "practice": 4, "comment": True,
}  # fmt: skip


def questionnaire(folder: Path, content: str) -> str:
    """A questionnaire's file."""
    file = folder / "questions.toml"
    file.write_text(content)
    return str(file)


GLASSES = '[[question]]\nname = "glasses"\nvalues = ["yes", "no"]\ntext.en = "Glasses?"\nlabels.en = ["Yes", "No"]\n'


def test_the_steps_are_frozen(tmp_path: Path) -> None:
    """They are part of the design and of its digest; practice images are HR and nearest neighbour of faces that nobody rates or sees before."""
    study = small_study(tmp_path / "a", **EVERYTHING)
    again = load_study(study.path).design
    assert again.screen == EVERYTHING["screen"]
    assert [q.name for q in again.questionnaire] == ["age_band", "sight", "colour_vision", "display", "room"]
    practised = again.practised()
    assert sorted((p.condition, p.low, p.high) for p in practised) == [("hr", 4, 5)] * 2 + [("nearest", 1, 2)] * 2
    assert not {p.face for p in practised} & {*again.faces, *again.low_faces, *again.high_faces}
    assert practised == load_study(study.path).design.practised()
    assert study.info["questionnaire"][0]["labels"]["de"][0] == "18 bis 29"
    plain = small_study(tmp_path / "b")
    assert (plain.design.screen, plain.design.questionnaire, plain.design.practised(), plain.design.comment) == ([], [], [], False)
    assert plain.info["plan_sha256"] == study.info["plan_sha256"]  # the order of ratings does not depend on the steps
    pairs = small_study(tmp_path / "c", method="pair", practice=2, practice_faces=["000009"]).design.practised()
    assert {(p.condition, p.other, p.low) for p in pairs} <= {("hr", "nearest", 1), ("nearest", "hr", 2)}
    assert {p.face for p in pairs} == {"000009"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"screen": ["acuity"]}, "give --screen card,acuity"),
        ({"screen": ["card", "card"]}, "names a check twice"),
        ({"screen": ["size"]}, "'screen.1' is 'size'"),
        ({"screen_failed": "refuse", "screen": ["card"]}, "needs a check of sight to fail"),
        ({"distance_cm": 5.0}, "'distance_cm' is 5.0: must be at least 15"),
        ({"practice": -1}, "'practice' is -1"),
        ({"practice": 0, "practice_faces": ["000009"]}, "--practice-faces has nothing to practise"),
        ({"distance_cm": 70.0}, "--distance-cm needs --screen card"),
        ({"practice": 2, "practice_faces": ["nobody"]}, "no face 'nobody' to practise on"),
        ({"practice": 2, "faces": 4, "anchors": 0}, "there are none left"),
        ({"questionnaire": "standart"}, "there is no questionnaire standart"),
        ({"practise": 2}, "did you mean 'practice'"),
    ],
)
def test_steps_that_cannot_be_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    """One sentence each, and nothing is left on disk."""
    with pytest.raises(FaceSRError, match=message.replace("(", r"\(")):
        small_study(tmp_path, **options)
    assert not (tmp_path / "study").exists()


def test_a_face_of_the_main_set_is_not_practised_on(tmp_path: Path) -> None:
    """Whoever practised on a face has seen it before it is rated."""
    shown = small_study(tmp_path / "a").design.faces[0]
    with pytest.raises(FaceSRError, match=f"face {shown} is in the main set"):
        small_study(tmp_path / "b", practice_faces=[shown])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GLASSES.replace('"yes", "no"', '"yes"').replace('"Yes", "No"', '"Yes"'), "needs at least two different values"),
        (GLASSES.replace('"Yes", "No"', '"Yes"'), "has 1 labels in 'en' for 2 values"),
        (GLASSES.replace('"glasses"', '"Glasses!"'), "must be of small letters"),
        (GLASSES + 'kind = "choise"\n', "did you mean 'choice'"),
        (GLASSES + "wanted = true\n", "unknown key 'question.1.wanted'"),
        (GLASSES + GLASSES, "'glasses' is given to two questions"),
        (GLASSES.replace("text.en", "text.de").replace("labels.en", "labels.de"), "no words in 'en' for glasses"),
        ('[[question]]\nname = "n"\nkind = "number"\nlow = 3\nhigh = 2\ntext.en = "How many?"\n', "low 3 is not below high 2"),
        ('[[question]]\nname = "n"\nkind = "text"\nvalues = ["a"]\ntext.en = "What?"\n', "takes no values"),
        ("question = 3\n", "must be a list"),
        ("", "'question' is missing"),
    ],
)
def test_a_questionnaire_is_validated(tmp_path: Path, content: str, message: str) -> None:
    """At create, where it can still be mended."""
    with pytest.raises(FaceSRError, match=message):
        small_study(tmp_path, questionnaire=questionnaire(tmp_path, content), languages=["en"])


def test_languages_without_the_questionnaire_are_not_offered(tmp_path: Path) -> None:
    """An English questionnaire leaves German out; asking for German all the same is refused."""
    file = questionnaire(tmp_path, GLASSES)
    assert list(small_study(tmp_path / "a", questionnaire=file).design.texts) == ["en"]
    with pytest.raises(FaceSRError, match="no words in 'de' for glasses: add text and labels in 'de'"):
        small_study(tmp_path / "b", questionnaire=file, languages=["en", "de"])
    assert list(small_study(tmp_path / "c", questionnaire="standard").design.texts) == wording.builtin_languages()


def test_answers_are_checked(tmp_path: Path) -> None:
    """Each kind, its limits, what is required, what is unknown; a question left out is no answer."""
    more = '\n[[question]]\nname = "n"\nkind = "number"\nlow = 0\nhigh = 10\nrequired = true\ntext.en = "?"\n'
    several = '\n[[question]]\nname = "s"\nkind = "choices"\nvalues = ["a", "b", "c"]\ntext.en = "?"\nlabels.en = ["A", "B", "C"]\n'
    questions = read_questionnaire(questionnaire(tmp_path, GLASSES + more + several))
    assert checked_answers(questions, {"glasses": "no", "n": 2.5, "s": ["c", "a"]}) == {"glasses": "no", "n": "2.5", "s": "a,c"}
    assert checked_answers(questions, {"glasses": "", "n": 0, "s": []}) == {"n": "0"}
    with pytest.raises(FaceSRError) as caught:
        checked_answers(questions, {"glasses": "perhaps", "n": 11, "s": ["d"], "glases": "no"})
    for part in ("'perhaps' is none of its answers", "11 is not between 0", "'d' is none", "did you mean 'glasses'"):
        assert part in str(caught.value)
    with pytest.raises(FaceSRError, match="'n' must be answered"):
        checked_answers(questions, {})


def test_pixels_per_degree() -> None:
    """At 57.2943 cm (0.5 cm over tan 0.5°) a degree is 1 cm: a card of 85.6 mm is 8.56 degrees, so a card of 856 device pixels gives 100 a degree."""
    assert px_per_degree(856, 1, 57.2943) == pytest.approx(100, abs=1e-3)
    assert px_per_degree(428, 2, 57.2943) == pytest.approx(100, abs=1e-3)
    # 96 pixels an inch at 60 cm: 3.7795 pixels a millimetre, 10.4722 mm a degree
    assert px_per_degree(85.6 / 25.4 * 96, 1, 60) == pytest.approx(39.58, abs=0.005)


def test_what_is_given_is_stored_exported_and_erased(tmp_path: Path) -> None:
    """Sent twice it is there once; the latest measurement before an image gives its size in degrees; nothing of it is a rating."""
    study = small_study(tmp_path, **EVERYTHING)
    rater, _ = store.seat_rater(study.engine, rows=3)
    other, _ = store.seat_rater(study.engine, rows=3)
    store.consent(study.engine, rater, "en")
    for _ in range(2):
        assert keep(study.engine, study.design, rater, "questionnaire", "v-1", {"age_band": "30-44"}) == ""
        assert keep(study.engine, study.design, rater, "screen", "v-2", {"card_px": 856, "dpr": 1.25, "distance_cm": 57.2943}) == ""
        assert keep(study.engine, study.design, rater, "practice", "v-3", {"right": 3, "of": 4}) == ""
        assert keep(study.engine, study.design, other, "comment", "w-1", {"comment": "=1+1\nfine"}) == ""
    shown = {"css_px": 100.0, "dpr": 1.25, "device_pixels": 3.0}
    assert store.rate(study.engine, rater, 1, None, shown=shown).stored
    assert given.steps_done(study.engine, rater.id) == ["practice", "questionnaire", "screen"]
    export(study, tmp_path / "out")
    table = pd.read_parquet(tmp_path / "out/given.parquet")
    assert [tuple(r) for r in table[["rater", "step", "name", "value"]].to_numpy()] == [
        ("r001", "questionnaire", "answered", "yes"),
        ("r001", "questionnaire", "age_band", "30-44"),
        ("r001", "screen", "card_px", "856"),
        ("r001", "screen", "dpr", "1.25"),
        ("r001", "screen", "distance_cm", "57.2943"),
        ("r001", "practice", "right", "3"),
        ("r001", "practice", "of", "4"),
        ("r002", "comment", "comment", "=1+1\nfine"),
    ]
    assert "'=1+1" in (tmp_path / "out/given.csv").read_text()  # no formula in a spreadsheet
    people = pd.read_parquet(tmp_path / "out/raters.parquet").set_index("name")["px_per_degree"]
    assert people["r001"] == pytest.approx(125, abs=1e-3)
    assert math.isnan(people["r002"])
    assert pd.read_parquet(tmp_path / "out/presentations.parquet")["degrees"].tolist() == [pytest.approx(1, abs=1e-5)]
    assert "| screen: card_px |" in (tmp_path / "out/dictionary.md").read_text()
    assert len(study.ratings(excluded=True)) == 1
    study.close()
    saved = rescue(study.path, tmp_path / "saved")
    assert saved["given"] == (8, 0)
    study = load_study(study.path)
    store.delete_rater(study.engine, "r001")
    assert given.given(study)["rater"].unique().tolist() == ["r002"]
    study.end("a test")
    assert keep(study.engine, study.design, other, "comment", "w-2", {"comment": "late"}) == "the study is closed"
    study.close()


@pytest.mark.parametrize(
    ("step", "values"),
    [
        ("screen", {"card_px": -1}),
        ("screen", {"card_px": True}),
        ("screen", {"card": 300}),
        ("screen", {}),
        ("practice", {"right": 1, "wrong": 1}),
        ("comment", {"comment": ""}),
        ("comment", {"comment": "x" * 4001}),
        ("comment", {"comment": 3}),
        ("questionnaire", {"name": "Ada"}),
    ],
)
def test_what_no_step_asks_for_is_refused(tmp_path: Path, step: str, values: dict[str, Any]) -> None:
    """Neither unknown values nor any outside their limits are stored; a study without steps takes none."""
    study = small_study(tmp_path / "a", **EVERYTHING)
    rater, _ = store.seat_rater(study.engine, rows=3)
    with pytest.raises(FaceSRError):
        keep(study.engine, study.design, rater, step, "m", values)
    assert given.given(study).empty
    study.close()


def test_a_database_of_before_is_brought_up_to_date(tmp_path: Path) -> None:
    """The tables of 0.2 get what is new; what was in them stays; a damaged file of that layout can still be rescued."""
    study = small_study(tmp_path)
    rater, _ = store.seat_rater(study.engine, rows=3)
    store.consent(study.engine, rater, "en")
    store.rate(study.engine, rater, 1, None, shown={"dpr": 1.0})
    with study.engine.begin() as connection:
        connection.execute(text("drop table given"))
        connection.execute(text("alter table presentation drop column layout"))
        connection.execute(text("update alembic_version set version_num = '0002'"))
    study.close()
    assert rescue(study.path, tmp_path / "saved")["presentation"] == (1, 0)
    again = load_study(study.path)
    assert "given" in inspect(again.engine).get_table_names()
    with again.engine.connect() as connection:
        assert connection.execute(select(t.presentation.c.layout, t.presentation.c.dpr)).one() == (None, 1.0)
    migrate(again.engine)
    again.close()


def test_the_command_takes_every_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Options of ``study create``."""
    fake_run(tmp_path / "run", faces=12)
    command = [
        "study",
        "create",
        str(tmp_path / "run"),
        "--out",
        str(tmp_path / "study"),
        "--raters",
        "3",
        "--images",
        "4",
        "--anchors",
        "2",
    ]
    steps = [
        "--questionnaire",
        "standard",
        "--screen",
        "card,acuity",
        "--screen-failed",
        "refuse",
        "--distance-cm",
        "70",
        "--practice",
        "2",
        "--comment",
    ]
    assert main([*command, *steps]) == 0
    design = load_study(tmp_path / "study").design
    assert (design.screen, design.screen_failed, design.distance_cm, design.practice, design.comment) == (
        ["card", "acuity"],
        "refuse",
        70,
        2,
        True,
    )
    assert len(design.questionnaire) == 5
    capsys.readouterr()
    assert main(["study", "preregister", str(tmp_path / "study")]) == 0
    printed = capsys.readouterr().out
    assert "checks of the size of the screen (by a bank card), visual acuity, at about 70 cm" in printed.lower()
    assert "is not taken into the study" in printed
    assert "2 practice images with feedback" in printed
    assert main([*command[:3], "--out", str(tmp_path / "no"), "--screen", "acuity"]) == 2
    assert "give --screen card,acuity" in capsys.readouterr().err
