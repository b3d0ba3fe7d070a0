"""Making a study: opaque names, untouched pixels, ε, and a design that cannot be changed afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import encode_png, read_rgb
from facesr.bench.protocol import load_protocol
from facesr.bench.results import Run, load_run
from facesr.bench.study import Study, load_study
from facesr.bench.study.analysis import analyse_study
from facesr.bench.study.create import consistency, create
from facesr.bench.study.imports import into_study
from fake_study import fake_run, small_study

SMALL = {"raters": 3, "images": 4, "anchors": 2, "gap": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of 12 faces by two methods."""
    return fake_run(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A small study with gold items."""
    return small_study(tmp_path_factory.mktemp("study"), gold=2)


def test_pixels_are_the_runs(study: Study) -> None:
    """Each stimulus holds exactly the pixels of its source; its sha256 is the design's; its name is opaque."""
    from facesr.bench.results import load_run

    run = load_run(study.path.parent / "run")
    seen = set()
    for stimulus in study.design.stimuli:
        file = study.stimulus_path(stimulus.name)
        assert hashlib.sha256(file.read_bytes()).hexdigest() == stimulus.sha256
        assert re.fullmatch("[0-9a-f]{32}", stimulus.name)
        if stimulus.condition == "nearest":
            wanted = read_rgb(run.lr_path(stimulus.face, 8)).repeat(8, 0).repeat(8, 1)
        else:
            source = run.hr_path(stimulus.face) if stimulus.condition == "hr" else run.sr_path(stimulus.condition, stimulus.face, 8)
            wanted = read_rgb(source)
        np.testing.assert_array_equal(read_rgb(file), wanted)
        seen.add(stimulus.condition)
    assert seen == {"hr", "bicubic", "psp", "nearest"}
    assert {f.stem for f in (study.path / "stimuli").iterdir()} == {s.name for s in study.design.stimuli}


def test_metadata_of_a_method_does_not_reach_the_rater(tmp_path: Path) -> None:
    """A PNG with a text chunk naming its program comes out without it, pixels unchanged."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    run = fake_run(tmp_path / "run")
    note = PngInfo()
    note.add_text("Software", "psp-secret-name")
    for file in (tmp_path / "run/sr/psp").glob("*.png"):
        with Image.open(file) as image:
            image.save(file, pnginfo=note)
    assert b"psp-secret-name" in next((tmp_path / "run/sr/psp").glob("*.png")).read_bytes()
    made = create(run, tmp_path / "study", options=SMALL)
    assert not any(b"psp-secret" in f.read_bytes() for f in (made.path / "stimuli").iterdir())


def test_main_and_other_faces_do_not_meet(study: Study) -> None:
    """Anchors and gold items are of faces outside the main set."""
    design = study.design
    assert len(design.faces) == 4
    assert not set(design.faces) & {*design.low_faces, *design.high_faces, *design.gold_faces}
    assert not set(design.low_faces) & set(design.high_faces)


def test_protocol_gives_the_defaults_and_options_override(run: Run, tmp_path: Path) -> None:
    """raters, images, anchors, scale and ε come from the run's protocol where they are not given."""
    made = create(run, tmp_path / "study", options={"images": 4, "anchors": 2, "gap": 3})
    assert (made.design.raters, made.design.epsilon, made.design.outside_epsilon) == (40, 1e-3, "refuse")
    assert made.design.conditions == ["hr", "bicubic", "psp"]
    assert made.design.run["digest"] == run.digest
    assert made.analysis["correction"] == "holm"


def test_images_outside_epsilon(tmp_path: Path) -> None:
    """Refused with counts and the remedy, or flagged; consistency agrees with MSE computed by hand."""
    run = fake_run(tmp_path / "run", scores=False)
    wrong = np.full((64, 64, 3), 128, np.uint8)
    for name in ("000000", "000001", "000002"):
        (tmp_path / f"run/sr/psp/{name}.png").write_bytes(encode_png(wrong))
    lr = read_rgb(run.lr_path("000000", 8))
    by_hand = float((((128 - lr.astype(float)) / 255) ** 2).mean())  # D of a constant image is that constant
    assert consistency(wrong, lr, run) == pytest.approx(by_hand, rel=1e-5)
    names = ["000000", "000001", "000002", "000003"]
    options = {**SMALL, "face_names": names, "conditions": ["hr", "bicubic", "psp"]}
    with pytest.raises(FaceSRError, match=r"psp: 3 of 4; worst .*--outside-epsilon flag"):
        create(run, tmp_path / "refused", options=options)
    assert not (tmp_path / "refused").exists()
    assert not list(tmp_path.glob(".refused*"))
    made = create(run, tmp_path / "flagged", options={**options, "outside_epsilon": "flag"})
    flagged = {(s.face, s.condition) for s in made.design.stimuli if s.flag}
    assert flagged == {(n, "psp") for n in names[:3]}


def test_conditions_nobody_named_are_those_within_epsilon(tmp_path: Path) -> None:
    """psp, outside ε on 3 of 4 and more faces, is left out with the count; in another run psp's one face outside is not drawn."""
    run = fake_run(tmp_path / "run", scores=False)
    names = [face.name for face in run.faces]
    wrong = encode_png(np.full((64, 64, 3), 128, np.uint8))
    for name in names[:3]:
        (tmp_path / f"run/sr/psp/{name}.png").write_bytes(wrong)
    made = create(run, tmp_path / "without", options={"images": 4, "anchors": 0, "gap": 3})
    assert made.design.conditions == ["hr", "bicubic"]
    assert list(made.design.run["left_out"]) == ["psp"]
    assert f"3 of {len(names)} faces" in made.design.run["left_out"]["psp"]
    assert not any(s.flag for s in made.design.stimuli)
    one = fake_run(tmp_path / "one", scores=False)
    (tmp_path / f"one/sr/psp/{names[0]}.png").write_bytes(wrong)
    made = create(one, tmp_path / "drawn", options={"images": 4, "anchors": 0, "gap": 3})
    assert made.design.conditions == ["hr", "bicubic", "psp"]  # one of twelve
    assert names[0] not in made.design.faces
    assert made.design.run["faces_outside_epsilon"] == [names[0]]


def test_a_condition_without_images_of_enough_faces_is_left_out(tmp_path: Path) -> None:
    """Weights missing, every cell failed: the study of the others is possible without a flag. One that lacks few faces stays."""
    run = fake_run(tmp_path / "run", scores=False)
    for file in (tmp_path / "run/sr/psp").glob("*.png"):
        file.unlink()
    (tmp_path / f"run/sr/bicubic/{run.faces[5].name}.png").unlink()
    made = create(run, tmp_path / "without", options={"images": 4, "anchors": 0, "gap": 3, "outside_epsilon": "flag"})
    assert made.design.conditions == ["hr", "bicubic"]
    assert made.design.run["left_out"] == {"psp": f"the run has images of 0 of its {len(run.faces)} faces, and the study shows 4"}
    assert run.faces[5].name not in made.design.faces


def test_a_method_that_the_protocol_does_not_name_is_said_to_be_left_out(tmp_path: Path) -> None:
    """Somebody's own method, in the run beside the protocol's: not shown unless named, and never without a word."""
    run = fake_run(tmp_path / "run", scores=False)
    told = json.loads((run.path / "run.json").read_text())
    told["protocol"]["study"]["conditions"] = ["hr", "bicubic"]
    (run.path / "run.json").write_text(json.dumps(told))
    made = create(load_run(run.path), tmp_path / "study", options={"images": 4, "anchors": 0, "gap": 3})
    assert made.design.conditions == ["hr", "bicubic"]
    assert "--conditions" in made.design.run["left_out"]["psp"]


def test_the_default_run_s_protocols_refuse_what_does_not_hold_epsilon() -> None:
    """So that a study made from one without a flag shows pSp refined and leaves plain pSp out."""
    for name in ("demo-x8-128", "london-x8-128", "celebahq-x8-128"):
        protocol = load_protocol(name)
        assert protocol.consistency.study == "refuse"
        assert {"psp", "psp-refined"} <= set(protocol.study.conditions)


def test_a_changed_design_is_refused(run: Run, tmp_path: Path) -> None:
    """The digest covers design, stimuli, analysis plan and order: touch any of them and the study does not open."""
    made = create(run, tmp_path / "study", options=SMALL)
    file = made.path / "study.json"
    info = json.loads(file.read_text())
    for change in ({"raters": 2}, {"analysis": {**info["analysis"], "alpha": 0.05}}, {"seed": 9}, {"conditions": ["hr", "psp"]}):
        file.write_text(json.dumps({**info, **change}))
        with pytest.raises(FaceSRError, match="was changed after it was frozen"):
            _ = load_study(made.path).design
    file.write_text(json.dumps(info))
    assert load_study(made.path).design == made.design


def test_a_changed_import_is_refused(tmp_path: Path) -> None:
    """Imported ratings have a digest too; whoever takes it anew must still write values of the right kind."""
    rows = [f"r{r},f{f},{c},{1 + (r + f) % 5}" for r in range(4) for f in range(4) for c in "ab"]
    (tmp_path / "t.csv").write_text("\n".join(["rater,face,condition,score", *rows]))
    made = into_study(tmp_path / "t.csv", tmp_path / "brought")
    file = made.path / "study.json"
    info = json.loads(file.read_text())

    def said(change: Mapping[str, Any], *, seal: bool) -> str:
        content = {k: v for k, v in {**info, **change}.items() if k != "digest"}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        file.write_text(json.dumps({**content, "digest": hashlib.sha256(text.encode()).hexdigest() if seal else info["digest"]}))
        try:
            analyse_study(made.path)
        except FaceSRError as error:
            return str(error)
        return ""

    assert said({}, seal=True) == said({}, seal=False) == ""
    for change in ({"scale": [1, 9]}, {"reference": "a"}, {"analysis": {**info["analysis"], "alpha": 0.01}}, {"x": 1}):
        assert "was changed after it was frozen" in said(change, seal=False)
    for change, why in (
        ({"format": 3}, "has layout version 3"),
        ({"format": True}, "has layout version True"),
        ({"method": "acr-hr"}, "'acr-hr'"),
        ({"scale": [True, 5]}, "'scale.1' is true: must be a whole number"),
        ({"scale": [5, 1]}, "no lowest and highest grade"),
        ({"scale": [1, 10**30]}, "scale"),
        ({"reference": ["a"]}, "'reference'"),
        ({"reference": "c"}, "no condition 'c'"),
        ({"declared": True}, "'declared' is true: must be a list"),
        ({"unused": {"no number": -1}}, "must be at least 0"),
        ({"analysis": {**info["analysis"], "equivalence_margin": 8}}, "as wide as the scale"),
        ({"method": "pair"}, "does not fit the method 'pair'"),
        ({"x": 1}, "unknown key 'x'"),
    ):
        assert why in said(change, seal=True), change
    with pytest.raises(FaceSRError, match=r"no Unicode.*rename the file"):
        into_study(tmp_path / "t.csv", tmp_path / os.fsdecode(b"brought\xff"))


def test_a_foreign_database_is_refused(run: Run, tmp_path: Path) -> None:
    """The database knows its design's digest."""
    first = create(run, tmp_path / "a", options=SMALL)
    second = create(run, tmp_path / "b", options={**SMALL, "seed": 1})
    with pytest.raises(FaceSRError, match="belongs to another study"):
        _ = load_study(second.path, f"sqlite:///{first.path / 'ratings.db'}").engine


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conditions": ["hr", "pspp"]}, r"no method 'pspp': did you mean 'psp'\?"),
        ({"images": 400}, r"400 images asked for, but only 12 of the run's 12 faces"),
        ({"images": 11, "anchors": 2}, r"2 anchors and 0 gold items need faces outside the main set, and the run has 1 left"),
        ({"method": "acr-hr", "conditions": ["bicubic", "psp"]}, r"hidden reference needs the condition 'hr'"),
        ({"method": "acrr"}, r"'method' is 'acrr': did you mean 'acr'\?"),
        ({"conditions": ["psp"]}, r"at least two different conditions, not psp"),
        ({"gap": 12}, r"at least 13 faces a rater, here 4"),
        ({"scale_factor": 4}, r"no images at x4: choose from x8"),
        ({"face_names": ["000000", "nobody"], "images": None}, r"no face 'nobody'"),
        ({"raters": 0, "zoom": 0.1}, r"'raters' is 0: must be at least 1[\s\S]*'zoom' is 0.1: must be at least 0.5"),
    ],
)
def test_mistakes_get_one_sentence(run: Run, tmp_path: Path, options: dict[str, object], message: str) -> None:
    """Every problem names its value and what to do, and nothing is left on disk."""
    with pytest.raises(FaceSRError, match=message):
        create(run, tmp_path / "study", options={**SMALL, **options})
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(study: Study) -> None:
    """A second create in the same place is refused."""
    from facesr.bench.results import load_run

    with pytest.raises(FaceSRError, match="exists already"):
        create(load_run(study.path.parent / "run"), study.path, options=SMALL)


def test_partial_and_pair_designs_are_made(run: Run, tmp_path: Path) -> None:
    """Faces per rater below the set's size; and paired comparison, which has no anchors."""
    partial = create(run, tmp_path / "partial", options={**SMALL, "images": 8, "faces_per_rater": 4, "raters": 6})
    assert {len([t for t in row if t.kind == "main"]) for row in partial.design.rows()} == {4 * 3}
    pair = create(run, tmp_path / "pair", options={**SMALL, "anchors": 0, "method": "pair", "pairs_per_face": 2, "gold": 2})
    row = pair.design.rows()[0]
    assert not pair.design.low_faces
    assert [t.kind for t in row].count("gold") == 2
    assert all(t.other for t in row)
    assert pair.scores == (1, 2)


def test_options_that_would_do_nothing_are_refused(tmp_path: Path) -> None:
    """All of them in one answer; each is taken where something looks at it."""
    odd = {
        "reserve_minutes": 30.0,
        "pairs_per_face": 2,
        "ties": True,
        "rest_minutes": 4.0,
        "already_url": "https://x.org",
        "distance_cm": 50.0,
        "screened_url": "https://x.org",
        "face_names": ["000000", "000001"],
        "images": 5,
        "spares": 2,
        "analysis": {"exclude_raters": {"attention_wrong": None}},
    }
    with pytest.raises(FaceSRError) as error:
        small_study(tmp_path, **odd)
    for words in (
        "--reserve-minutes is for crowds", "--pairs-per-image needs --method pair", "--ties needs --method pair",
        "--rest-minutes has no sessions to end", "--already-url is for crowds", "--already-url needs --not-from", "--distance-cm needs --screen",
        "--screened-url is for those whom --screen-failed refuse", "--images 5 beside --faces, which names 2", "the plan has no such rule",
    ):  # fmt: skip
        assert words in str(error.value)
    with pytest.raises(FaceSRError, match="--session-minutes asks for rests of no length"):
        small_study(tmp_path / "r", session_minutes=20.0, rest_minutes=0.0)
    with pytest.raises(FaceSRError, match="--anchors shows examples of grades, and pairs have none"):
        small_study(tmp_path / "b", method="pair", gap=1, anchors=2)
    made = small_study(
        tmp_path / "c", join="open", reserve_minutes=30.0, session_minutes=10.0, rest_minutes=4.0, screen=["card"], distance_cm=50.0
    )
    assert (made.design.reserve_minutes, made.design.rest_minutes, made.design.distance_cm) == (30.0, 4.0, 50.0)
    made.close()


def test_pairs_that_no_rater_could_be_shown_are_refused_at_once(tmp_path: Path) -> None:
    """Two conditions are compared once per face unless more is asked for; an adaptive plan that no row can hold fails now, not with a rater."""
    two = small_study(tmp_path / "two", method="pair", conditions=["hr", "psp"])
    assert two.design.pairs_per_face == 1
    two.close()
    for name, odd, message in (
        ("gap", {"gap": 30}, "need at least 31 faces a rater"),
        ("pairs", {"pairs_per_face": 4}, "3 conditions make 3 pairs"),
        ("repeats", {"repeats": 100}, "100 repeats are more than half"),
    ):
        with pytest.raises(FaceSRError, match=message):
            small_study(tmp_path / name, method="pair", pairs="adaptive", **odd)
        assert not (tmp_path / name / "study").exists()
