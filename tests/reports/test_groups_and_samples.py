"""Worst groups and their gaps, several answers to one LR, and what of an image LR cannot say: right values, odd inputs in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fake_run import make_run, picture

import facesr
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import read_rgb, write_png
from facesr.bench.imaging.resample import matrix
from facesr.cli import main
from facesr.reports import maps, samples
from facesr.reports.groups import bias_table, gap_interval
from facesr.reports.scores import open_runs
from facesr.reports.tables import special_table


def with_attributes(run: Path, given: dict[str, dict[str, str]]) -> Path:
    info = json.loads((run / "run.json").read_text())
    for face in info["faces"]:
        face["attributes"] = given.get(face["name"], {})
    (run / "run.json").write_text(json.dumps(info))
    return run


def test_the_gap_is_welchs_with_bonferroni() -> None:
    """Means 5 and 2, variances 4/3 (n 4) and 1 (n 3): se² = 1/3 + 1/3, df = (2/3)² / (1/27 + 1/18) = 4.8; t(.975; 4.8) = 2.60337."""
    x, y = np.array([4.0, 4.0, 6.0, 6.0]), np.array([1.0, 2.0, 3.0])
    gap, low, high = gap_interval(x, y)
    assert gap == pytest.approx(3.0)
    assert (gap - low, high - gap) == pytest.approx((2.60337 * (2 / 3) ** 0.5,) * 2, rel=1e-4)
    from scipy.stats import t

    assert gap_interval(x, y, pairs=3)[2] - 3 == pytest.approx(float(t.ppf(1 - 0.025 / 3, 4.8)) * (2 / 3) ** 0.5)
    assert gap_interval(np.array([2.0, 2.0]), np.array([1.0, 1.0])) == (1.0, 1.0, 1.0)
    with pytest.raises(FaceSRError, match="two values in each group, these have 1 and 3"):
        gap_interval(x[:1], y)


def test_beside_every_mean_stands_the_worst_group(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", faces=32, methods=("bicubic", "psp"), images=False)
    groups = {f"{i:06d}": {"look": "abc"[i % 3] if i < 30 else "d", "person": f"p{i if i % 3 else i // 6}"} for i in range(32)}
    scores = open_runs([with_attributes(run, groups)])
    table = bias_table(scores, "look")
    values = scores.values("lpips-squeeze", 8)["psp"]
    means = {g: values[[f for f, a in groups.items() if a["look"] == g]].mean() for g in "abc"}  # a: five people, two photos each
    worst = max(means, key=lambda g: means[g])  # lower is better
    (row,) = [r for r in table.rows if r.key == "lpips-squeeze psp"]
    everyone, name, mean, gap = (c for c in row.cells if c is not None)
    assert (everyone.mean, everyone.n, name.text, mean.n) == (pytest.approx(values.mean()), 32, worst, 5 if worst == "a" else 10)
    assert mean.mean == pytest.approx(means[worst])
    assert gap.mean == pytest.approx(means[worst] - min(means.values())) and gap.low < gap.mean < gap.high
    assert "pairs of groups: 3)" in table.notes[0] and "People in the groups: a 5, b 10, c 10; not compared: d 2" in table.notes[1]
    assert f"lpips-squeeze, worst: {worst}" in table.csv()
    capsys.readouterr()
    assert main(["table", str(run), "--by", "look"]) == 0


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({}, "no face here has the attribute 'look'"),
        ({f"{i:06d}": {"look": "same"} for i in range(8)}, r"look has 1 groups of 5 people or more here \(same: 8\)"),
        ({f"{i:06d}": {"look": f"only {i}"} for i in range(8)}, "look has 0 groups of 5 people"),
        ({"000000": {"look": "a"}, "000001": {"look": "a"}}, r"look has 0 groups .*unknown: 6"),
    ],
)
def test_groups_that_are_none_get_one_sentence(tmp_path: Path, attributes: dict[str, dict[str, str]], said: str) -> None:
    run = with_attributes(make_run(tmp_path / "run", methods=("bicubic",), images=False), attributes)
    with pytest.raises(FaceSRError, match=said):
        special_table([run], by="look")
    with pytest.raises(FaceSRError, match="--by prints a table of its own, of runs: leave out --samples"):
        special_table([run], by="look", samples=[])
    with pytest.raises(FaceSRError, match="leave out --full"):
        facesr.table(run, by="look", full=True)


@pytest.fixture
def several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four faces with three samples of pSp each: levels 100, 110 and 130 everywhere, but one face, which has a single sample."""
    monkeypatch.setattr(samples, "_diversity", lambda stacks: ([], "No ST-LPIPS: not here."))
    monkeypatch.setattr(samples, "_identity", lambda scores, stacks: ([[0.2, 0.5, 0.4]] * len(stacks), ""))
    run = make_run(tmp_path / "run", faces=4, methods=("bicubic", "psp"))
    for k, level in enumerate((100, 110, 130)):
        for i in range(4 if k == 0 else 3):
            (run / "samples/psp" / str(k)).mkdir(parents=True, exist_ok=True)
            write_png(run / "samples/psp" / str(k) / f"{i:06d}.png", np.full((128, 128, 3), level, np.uint8))
    return run


def test_samples_are_measured_and_the_best_by_hr_is_marked(several: Path) -> None:
    """Pairs 10, 20 and 30 apart: 20 on average; standard deviation of 100, 110, 130 is 15.275."""
    table = special_table([several], samples=[])
    found = {c.metric: c for c in table.rows[0].cells if c is not None}
    assert found["k"].text == "3" and found["diversity"].text == "–"
    assert (found["distance"].mean, found["distance"].n) == (pytest.approx(20.0), 3)
    assert found["spread"].mean == pytest.approx(15.2753, rel=1e-5)
    assert [found[k].mean for k in ("lowest", "range", "oracle")] == pytest.approx([0.2, 0.3, 0.5])
    text = table.markdown()
    assert "best of K by HR ‡" in text and "‡ Illegal as a result" in text and "1 faces have fewer than two samples" in text
    assert not any(c.rank for c in table.cells)
    assert main(["table", str(several), "--samples"]) == 0
    assert main(["table", str(several), "--samples", "bicubic,psp"]) == 0


def test_odd_samples_get_one_sentence(several: Path, tmp_path: Path) -> None:
    with pytest.raises(FaceSRError, match="one answer has no spread"):
        special_table([several], samples=["psp"])
    with pytest.raises(FaceSRError, match="no method 'pulse'"):
        special_table([several], samples=["psp", "pulse"])
    with pytest.raises(FaceSRError, match="no method here has stored samples: run one that draws several"):
        special_table([make_run(tmp_path / "none", methods=("bicubic",), images=False)], samples=[])
    for k in ("1", "2"):
        for file in (several / "samples/psp" / k).iterdir():
            file.unlink()
    with pytest.raises(FaceSRError, match="psp has one sample per face, which has no spread"):
        special_table([several], samples=[])


def test_the_null_space_part_is_what_d_maps_to_nothing() -> None:
    image = picture(3, 64)
    for kernel in ("bicubic-matlab", "box"):
        left = maps.null_space(image, 8, kernel)
        down = matrix(kernel, 64, 8)
        assert np.abs(np.einsum("yh,hwc,xw->yxc", down, left, down)).max() < 1e-8
        assert np.sqrt(np.square(left).mean()) > 5
    flat = np.full((64, 64, 3), 77, np.uint8)
    assert (maps.null_space_map(flat, 8, "bicubic-matlab") == 128).all()
    assert np.abs(maps.null_space(image, 64, "box")).max() < 1e-8  # LR as large as SR says all


def test_the_dashboard_serves_the_map(tmp_path: Path) -> None:
    from facesr.bench.results import load_run
    from facesr.dashboard.images import face_png

    run = load_run(make_run(tmp_path / "run", faces=1, methods=("psp",)))
    (tmp_path / "map.png").write_bytes(face_png(run, "nullspace", "000000", 8, "psp"))
    known = maps.null_space_map(read_rgb(run.sr_path("psp", "000000", 8)), 16, "bicubic-matlab")
    assert (read_rgb(tmp_path / "map.png") == known).all()
