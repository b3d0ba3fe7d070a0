"""Published numbers beside our own: a verdict only where the two speak of the same thing."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from fake_run import make_run

from facesr.bench.errors import FaceSRError
from facesr.cli import main
from facesr.reports.cells import Cell
from facesr.reports.published import published, published_table, verdict, why_not
from facesr.reports.references import bibliography_entries
from facesr.reports.scores import open_runs


@pytest.mark.parametrize(
    ("text", "mean", "low", "high", "said"),
    [
        ("3.70", 3.6, 3.5, 3.7, "within our interval"),
        ("3.70", 3.6, 3.5, 3.696, "within our interval"),  # 3.70 may be 3.695
        ("3.70", 3.6, 3.5, 3.69, "outside our interval"),
        ("26.31", 26.5, 26.32, 26.7, "outside our interval"),
        ("26.31", 26.314, math.nan, math.nan, "agrees to its last digit"),
        ("26.31", 26.316, math.nan, math.nan, "differs; no interval to judge by"),
        ("26.31", math.nan, math.nan, math.nan, "not measured here"),
    ],
)
def test_a_verdict_counts_half_of_the_last_digit(text: str, mean: float, low: float, high: float, said: str) -> None:
    assert verdict(text, Cell("psp", "mos", mean, low, high, 9), []) == said
    assert verdict(text, Cell("psp", "mos", mean, low, high, 9), ["other faces"]) == "not comparable: other faces"


def test_every_published_table_is_read_and_its_paper_is_known() -> None:
    assert {t.metric for t in published()} == {"mos", "niqe", "psnr-y", "ssim"}
    assert all(t.cite in bibliography_entries() for t in published() if t.cite)
    pulse = next(t for t in published() if t.cite == "menon2020pulse" and t.metric == "mos")
    assert [float(v) for v in pulse.values.values()] == [3.74, 1.01, 1.34, 2.77, 2.92, 3.60]  # arXiv 2003.03808


def test_what_keeps_two_numbers_apart_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", faces=6, methods=("bicubic", "fsrnet"))
    info = json.loads((run / "run.json").read_text())
    info["protocol"]["data"] |= {"dataset": "celeba", "size": 64, "split": "all"}
    info["methods"][1]["notes"] = ["small default weights of this project, not the published models"]
    (run / "run.json").write_text(json.dumps(info))
    scores = open_runs([run])
    table = next(t for t in published() if t.metric == "psnr-y")
    assert why_not(scores, table, "bicubic", 16) == ["other factor (×8, here ×16)", "other size (128, here 64)"]
    assert why_not(scores, table, "fsrnet", 8)[-1] == "other weights"
    part = scores.only(faces=scores.faces[:2])
    assert why_not(part, table, "bicubic", 8)[0] == "only a part of the faces"
    shown = published_table(scores)
    cells = {row.key.split()[0]: row.cells for row in shown.rows if " ssim " in row.key}
    ours = cells["fsrnet"][2]
    assert (
        cells["fsrnet"][1].text == "0.7522"
        and ours is not None
        and ours.mean == pytest.approx(scores.values("ssim")["fsrnet"].mean())
    )
    assert "other weights" in (cells["fsrnet"][3].text or "") and "Y or of RGB" in (cells["bicubic"][3].text or "")


def test_a_run_that_no_paper_speaks_of_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", faces=4, methods=("pulse", "psp"))
    with pytest.raises(FaceSRError, match="no paper known here prints a number"):
        published_table(open_runs([run]))
    assert main(["table", str(run), "--preset", "published"]) == 2
    assert main(["table", str(make_run(tmp_path / "b", faces=4)), "--preset", "published"]) == 0
    assert "23.75" not in capsys.readouterr().out  # this run has no psnr-y
