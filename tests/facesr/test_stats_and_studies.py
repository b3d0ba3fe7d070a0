"""``facesr.stats`` and ``facesr.Study``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import facesr


def table() -> pd.DataFrame:
    """Three raters, four faces, two conditions; b is one grade better on half of the faces."""
    rows = [
        (f"r{r}", f"f{f}", c, 2 + (r + f) % 2 + (c == "b" and f < 2))
        for r in range(3)
        for f in range(4)
        for c in ("a", "b")
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["rater", "face", "condition", "score"])


def test_mos_of_a_frame_and_of_a_file_agree(tmp_path: Path) -> None:
    ratings = table()
    want = ratings.groupby("condition")["score"].mean()
    found = facesr.stats.mos(ratings)
    assert found["mos"].to_dict() == pytest.approx(want.to_dict())
    assert found["n"].tolist() == [12, 12]
    ratings.to_csv(tmp_path / "ratings.csv", index=False)
    from_file = facesr.stats.mos(tmp_path / "ratings.csv", scale=(1, 5))
    pd.testing.assert_frame_equal(from_file, found)


def test_pairs_have_the_difference_of_the_means() -> None:
    found = facesr.stats.pairs(table())
    assert len(found) == 1
    difference = found.filter(like="difference").iloc[0].iloc[0]
    value = difference["mean"] if isinstance(difference, dict) else difference
    assert abs(value) == pytest.approx(0.5)


def test_a_study_is_made_rehearsed_and_analysed(tmp_path: Path) -> None:
    run = facesr.run("demo-x8-128", ["bicubic", "nearest"], tmp_path / "r", metrics=["psnr", "consistency"])
    study = facesr.Study.create(run, tmp_path / "s", raters=4, images=4, anchors=1, conditions=["hr", "bicubic"])
    assert facesr.Study.load(tmp_path / "s").folder.digest == study.folder.digest
    assert len(study.simulate(4, {"hr": 4.5, "bicubic": 1.5})) == 4
    assert study.ratings().empty  # simulated raters are never counted with people
    with pytest.raises(facesr.FaceSRError):
        study.analyse()
    found = study.analyse(simulated=True)
    assert len(found.pairs) == 1
    with pytest.raises(facesr.FaceSRError, match="exists already"):
        facesr.Study.create(run, tmp_path / "s")
    with pytest.raises(facesr.FaceSRError, match="99999 is no port"):
        study.serve(port=99999)
