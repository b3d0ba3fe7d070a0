"""Tables with people's ratings: a study's own, the published layout, and MOS beside a run's scores."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from fake_run import make_run, make_study

from facesr.bench.errors import FaceSRError
from facesr.bench.study import imported
from facesr.cli import main
from facesr.reports.tables import table_of


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "one", faces=30, images=False)


def test_the_preset_is_the_published_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path / "s", raters=10, faces=6)
    assert main(["table", str(study), "--preset", "seed-table1", "--format", "latex"]) == 0
    text = capsys.readouterr().out
    means = pd.read_parquet(study / "ratings.parquet").groupby("condition")["score"].mean()
    order = ["hr", "nearest", "bicubic", "fsrnet", "pix2pixhd", "pulse", "psp"]
    cells = [f"{means[c]:.2f}" for c in order]
    best = order.index(str(means.drop("hr").idxmax()))
    cells[best] = rf"\textbf{{{cells[best]}}}"
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")].splitlines()[1:]
    assert body == [
        r" & HR & Nearest & Bicubic & FSRNet & pix2pixHD & PULSE & pSp \\",
        r"\midrule",
        f"MOS & {' & '.join(cells)} " + r"\\",
    ]
    assert "minipage" not in text and "±" not in text
    assert main(["table", str(study), "--preset", "seed-table"]) == 2
    assert "did you mean 'seed-table1'" in capsys.readouterr().err


def test_the_papers_table_one_has_one_mos_a_condition_hr_first(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", raters=10, faces=6)
    table = table_of([study])
    assert table.columns[0].label == "HR" and table.rows[0].label == "MOS"
    ratings = pd.read_parquet(study / "ratings.parquet")
    means = ratings.groupby("condition")["score"].mean()
    line = next(line for line in table.markdown().splitlines() if line.startswith("| MOS"))
    for condition, mean in means.items():
        cell = table.cell("mos", str(condition))
        assert cell is not None and cell.mean == pytest.approx(mean) and f"{mean:.2f}" in line and cell.n == 60
    assert "10 raters, 6 faces, 420 ratings" in table.markdown()
    best = max((c for c in table.cells if c.method != "hr"), key=lambda c: c.mean)
    assert best.rank == 1


def test_a_study_joins_the_scores_of_its_own_run_only(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(tmp_path / "s", raters=6, faces=6)
    table = table_of([run], study=study, full=True)
    assert table.columns[-1].key == "mos" and table.rows[-1].label == "HR"
    assert table.csv().startswith("method,metric,n,failed,mean,low,high\n")
    assert [c for c in table.rows[-1].cells if c is not None] == [table.cell("hr", "mos")]
    monkeypatch.setattr(imported, "described", lambda info, file: {**info, "run": {"digest": "a" * 64, "scale": 8}})
    with pytest.raises(FaceSRError, match=r"made from a run of digest aaaaaaaaaaaa.*never meet"):
        table_of([run], study=study)
