"""What the result pages are made of, without a page: maps, scores of a face, groups, checks of files, the memo, addresses of places."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import read_rgb
from facesr.bench.imaging.files import decode_rgb
from facesr.bench.metrics.consistency import Consistency
from facesr.bench.verify.files import verify_files
from facesr.dashboard.images import face_png
from facesr.dashboard.memo import Memo, memo
from facesr.dashboard.sources import open_run, open_sources
from facesr.dashboard.viewer import place
from facesr.dashboard.warm import warm_page
from facesr.reports import maps
from facesr.reports.one_face import face_scores
from facesr.reports.scores import open_runs
from facesr.reports.served import attribute_table, duel_by


def test_the_residual_map_is_what_consistency_measures(runs: Path) -> None:
    run = open_run(runs / "one")
    face = str(run.faces[0].name)
    sr, lr = read_rgb(run.sr_path("nearest", face, 8)), read_rgb(run.lr_path(face, 8))
    measured = Consistency().distances(sr[None], lr[None])[0]
    assert np.square(maps.residual(sr, lr, "bicubic-matlab") / 255).mean() == pytest.approx(measured, rel=1e-12)
    picture = decode_rgb(face_png(run, "residual", face, 8, "nearest"), "map")
    assert picture.shape == (16, 16, 3)


def test_the_difference_map_is_the_root_mean_square_over_rgb() -> None:
    hr = np.zeros((2, 2, 3), np.uint8)
    sr = hr.copy()
    sr[0, 0] = (3, 4, 5)
    sr[1, 1] = 255
    found = maps.difference(sr, hr)
    assert found[0, 0] == pytest.approx(np.sqrt(50 / 3), rel=1e-12)
    drawn = maps.difference_map(sr, hr)
    assert tuple(drawn[0, 1]) == (0, 34, 77) and tuple(drawn[1, 1]) == (254, 232, 56)
    with pytest.raises(FaceSRError, match="no difference"):
        maps.difference(sr, np.zeros((3, 3, 3), np.uint8))


# -- tables -----------------------------------------------------------------------------------------------------------------------------


def test_a_faces_scores_are_its_cells(runs: Path) -> None:
    scores = open_runs([runs / "one"])
    face = scores.faces[2]
    table = face_scores(scores, face)
    for row in table.rows:
        for cell in row.cells:
            assert cell is not None
            assert cell.mean == scores.values(cell.metric).at[face, row.key]


def test_groups_are_compared_on_their_own_faces(runs: Path) -> None:
    scores = open_runs([runs / "one"])
    values = scores.values("psnr")
    women = [f for f in scores.faces if scores.attributes[f]["gender"] == "female"]
    table = attribute_table(scores, "gender", "psnr")
    cell = table.cell("female", "bicubic")
    assert cell is not None
    assert cell.mean == pytest.approx(values.loc[women, "bicubic"].mean(), rel=1e-12)
    assert cell.n == len(women) == 4
    pairs = duel_by(scores, "bicubic", "nearest", "psnr", ["gender"])
    assert [r.label for r in pairs.rows] == ["all faces", "female", "male"]
    shown = pairs.cell("gender female", "difference")
    assert shown is not None
    difference = (values["bicubic"] - values["nearest"])[women].mean()
    assert shown.text == f"{difference:.2f}"


def test_verify_finds_what_was_touched(runs: Path, copy: Path) -> None:
    assert verify_files(open_run(runs / "one")).clean
    run = open_run(copy)
    face, other = (f.name for f in run.faces[:2])
    file = run.sr_path("bicubic", face, 8)
    file.write_bytes(file.read_bytes() + b" ")
    run.lr_path(other, 8).unlink()
    found = verify_files(run)
    assert found.changed == (f"SR bicubic {face} ×8",)
    assert found.missing == (f"LR {other} ×8",)
    assert found.good == 8 + 7 + 15


def test_each_answer_is_nearest_to_whom_the_recogniser_says(runs: Path) -> None:
    from facesr.reports.neighbours import embed_hr, neighbours, possible

    scores = open_runs([runs / "one"])
    if why := possible(scores):
        pytest.skip(why)
    gallery = embed_hr(scores)
    np.testing.assert_allclose(np.linalg.norm(gallery, axis=1), 1, atol=1e-5)
    for found in neighbours(scores, scores.faces[0], 8, gallery, count=8):
        assert sorted(found.faces) == sorted(scores.faces)
        assert list(found.similarity) == sorted(found.similarity, reverse=True)
        assert found.faces[found.rank - 1] == scores.faces[0]


# -- small parts ------------------------------------------------------------------------------------------------------------------------


def test_a_memo_computes_once_and_keeps_no_error() -> None:
    from concurrent.futures import ThreadPoolExecutor
    from time import sleep

    store, calls = Memo(2), []

    def slow() -> int:
        calls.append(1)
        sleep(0.05)
        return 7

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: store.get("a", slow), range(4))) == [7] * 4
    assert len(calls) == 1
    with pytest.raises(ZeroDivisionError):
        store.get("b", lambda: 1 // 0)
    assert store.get("b", lambda: 2) == 2
    store.get("c", lambda: 3)  # the oldest, a, goes
    assert store.get("a", lambda: 8) == 8


def test_what_the_warm_up_made_is_out_of_the_collectors_sight(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit collects everything after each run of the script; that must not grow with the runs shown."""
    monkeypatch.setenv("FACESR_RUNS", str(runs / "one"))
    monkeypatch.setenv("FACESR_STUDIES", "")
    memo.clear()
    try:
        warm_page()
        scores = open_sources().groups[0].scores()
        assert not any(known is scores for known in gc.get_objects())
    finally:
        gc.unfreeze()
    assert any(known is scores for known in gc.get_objects())


@pytest.mark.parametrize("text", ["", "50", "a,b,c", "50,-1,2", "1,2,3,4", "999999,1,1"])
def test_a_place_that_is_none_is_the_start(text: str) -> None:
    assert place(text, 128) == (50, 38, 46)


def test_a_place_is_read_from_the_address() -> None:
    assert place("120,3,4", 128) == (100, 3, 4)


def test_the_command_gathers_its_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from facesr.cli import main

    assert main(["dashboard", str(tmp_path / "none"), "--port", "99999", "--url", "lab.example"]) == 2
    said = capsys.readouterr().err
    assert "does not exist" in said and "--port 99999" in said and "--url 'lab.example'" in said
    assert main(["dashboard"]) == 2
    assert "nothing to show" in capsys.readouterr().err
