"""Images of a run are shown, rated and scored as they were measured, or not at all: files that changed, and links that lead out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import facesr
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import write_png
from facesr.bench.results import Run, load_run
from facesr.bench.study.create import create
from facesr.dashboard.images import face_png
from helpers import TINY, faces, picture


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Four faces by two methods."""
    faces(tmp_path / "hr", 4)
    (tmp_path / "P.toml").write_text(TINY)
    facesr.run(tmp_path / "P.toml", ["bicubic", "nearest"], tmp_path / "run", data=tmp_path / "hr", metrics=["psnr", "consistency"])
    return load_run(tmp_path / "run")


def _study(run: Run, out: Path, **options: object) -> None:
    create(
        load_run(run.path), out, options={"raters": 2, "images": 4, "anchors": 0, "gap": 1, "outside_epsilon": "flag", **options}
    )


def test_hr_that_changed_is_neither_shown_nor_rated(run: Run, tmp_path: Path) -> None:
    assert run.hr_path("001").resolve() == (tmp_path / "hr/001.png").resolve()
    write_png(tmp_path / "hr/001.png", picture(77))
    for use in (lambda: run.hr_path("001"), lambda: face_png(run, "hr", "001", 8, ""), lambda: _study(run, tmp_path / "study")):
        with pytest.raises(FaceSRError, match=r"HR of 001 is not the file that was measured: .*001.png has another sha256; bring"):
            use()
    assert not (tmp_path / "study").exists()
    page = facesr.report(run.path, tmp_path / "report", faces=["001"]).page.read_text()
    assert "HR of 001 is not the file that was measured" in page
    (run.path / "hr").mkdir()
    write_png(run.path / "hr/001.png", picture(1))  # the old file, found again by its sha256
    assert run.hr_path("001") == run.path / "hr/001.png"
    (tmp_path / "hr/002.png").unlink()
    assert not run.hr_path("002").is_file()  # nothing there: a place, for the reader to say so


@pytest.mark.parametrize("kind", ["lr", "sr"])
def test_images_that_changed_are_not_passed_off_as_measured(kind: str, run: Run, tmp_path: Path) -> None:
    file = run.lr_path("001", 8) if kind == "lr" else run.sr_path("nearest", "001", 8)
    write_png(file, picture(5, 8 if kind == "lr" else 64))
    with pytest.raises(FaceSRError, match="is not the image that was measured"):
        face_png(load_run(run.path), kind, "001", 8, "nearest")
    with pytest.raises(FaceSRError, match="is not the image that was measured"):
        _study(run, tmp_path / "study")
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("how", ["file", "folder"])
def test_links_that_lead_out_of_a_strangers_run_are_not_followed(how: str, run: Run, tmp_path: Path) -> None:
    secret = tmp_path / "private"
    if how == "file":
        secret.mkdir()
        run.sr_path("nearest", "001", 8).replace(secret / "001.png")
        run.sr_path("nearest", "001", 8).symlink_to(secret / "001.png")
    else:
        (run.path / "sr/nearest").replace(secret)
        (run.path / "sr/nearest").symlink_to(secret)
    theirs = load_run(run.path)
    uses = [
        lambda: face_png(theirs, "sr", "001", 8, "nearest"),
        lambda: _study(theirs, tmp_path / "study"),
        lambda: facesr.load(run.path).export(tmp_path / "bundle"),
    ]
    for use in uses:
        with pytest.raises(FaceSRError):
            use()
    assert not (tmp_path / "study").exists() and not (tmp_path / "bundle").exists()
    # continued with another metric: what the link shows is not scored
    info = json.loads((run.path / "run.json").read_text())
    info["methods"][1]["target"] = "/nowhere/theirs.py:Nearest"
    (run.path / "run.json").write_text(json.dumps(info))
    again = facesr.run(tmp_path / "P.toml", ["bicubic"], run.path, data=tmp_path / "hr", metrics=["psnr", "ssim"])
    rows = again.scores
    rows = rows[(rows["method"] == "nearest") & (rows["metric"] == "ssim") & (rows["image"] == "001")]
    assert list(rows["status"]) == ["failed"] and "leads out of the run" in rows["reason"].iloc[0]
