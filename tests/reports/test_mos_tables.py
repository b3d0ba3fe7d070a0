"""Tables of studies: nothing before the stopping rule, simulated raters labelled, a real study's published flip."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fake_run import make_run, make_study

from facesr.bench.errors import FaceSRError
from facesr.bench.study import load_study
from facesr.cli import main
from facesr.reports.gather import gather
from facesr.reports.mos import mos_table, open_study, pairs_table
from facesr.reports.page import html_page
from facesr.reports.people import against_people, agreement_table, stimuli
from facesr.reports.scores import open_runs
from facesr.reports.table import Table
from facesr.reports.tables import table_of


def words(table: Table, row: str, column: str) -> str:
    cell = table.cell(row, column)
    assert cell is not None
    return cell.text or ""


def made_study(tmp_path: Path, *more: str) -> tuple[Path, Path]:
    run = make_run(tmp_path / "run", faces=20, methods=("bicubic", "pulse", "psp"))
    study = tmp_path / "study"
    asked = [
        "study",
        "create",
        str(run),
        "--raters",
        "4",
        "--images",
        "8",
        "--gap",
        "1",
        "--conditions",
        "bicubic,hr,pulse,psp",
        "--out",
        str(study),
    ]
    assert main([*asked, *more]) == 0
    assert main(["study", "simulate", str(study)]) == 0
    return run, study


def test_means_stay_hidden_until_the_stopping_rule_and_a_peek_is_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, study = made_study(tmp_path, "--anchors", "2")
    capsys.readouterr()
    assert main(["table", str(study)]) == 2
    assert "0 of 4 raters have finished" in capsys.readouterr().err
    with pytest.raises(FaceSRError, match="stay hidden"):
        open_study(study)
    opened = load_study(study)
    assert opened.peeks() == []
    opened.close()
    with pytest.raises(FaceSRError):  # nobody has rated, so there is nothing to see; the look is on record all the same
        open_study(study, peek=True)
    opened = load_study(study)
    assert len(opened.peeks()) == 1
    opened.close()
    table = table_of([study], simulated=True)
    assert table.caption.startswith("SIMULATED RATERS") and [c.label for c in table.columns] == ["HR", "Bicubic", "PULSE", "pSp"]
    both = table_of([run], study=study, simulated=True)
    assert both.caption.startswith("SIMULATED RATERS") and [r.label for r in both.rows] == ["bicubic", "PULSE", "pSp", "HR"]
    text = html_page(gather(open_runs([run]).only(metrics=["psnr"]), open_study(study, simulated=True), count=1))
    assert "SIMULATED RATERS: no person gave these ratings." in text and len(re.findall("SIMULATED", text)) > 8


def test_a_paired_comparison_has_its_own_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, study = made_study(tmp_path, "--method", "pair")
    capsys.readouterr()
    table = table_of([study], simulated=True)
    assert table.caption.startswith("SIMULATED") and table.columns[0].label == "Score"
    scores = [c.mean for c in table.cells]
    assert scores == sorted(scores, reverse=True) and abs(sum(scores)) < 1e-9
    first, second = (row.key for row in table.rows[:2])
    chance = int(words(table, first, f"over {second}").rstrip(" %")) + int(words(table, second, f"over {first}").rstrip(" %"))
    assert abs(chance - 100) <= 1
    with pytest.raises(FaceSRError, match="prints it alone"):
        table_of([run], study=study)
    assert (
        main(
            [
                "report",
                str(run),
                "--study",
                str(study),
                "--simulated",
                "--out",
                str(tmp_path / "out"),
                "--count",
                "1",
                "--metrics",
                "psnr",
            ]
        )
        == 0
    )
    assert 'id="paired"' in (tmp_path / "out" / "report.html").read_text()


def test_all_figures_of_a_condition_stand_in_one_table(tmp_path: Path) -> None:
    result = open_study(make_study(tmp_path / "s", raters=9, faces=7, repeats=5))
    table = mos_table(result)
    for one in result.analysis.conditions:
        assert words(table, one.condition, "both") == f"{(one.over_both.high - one.over_both.low) / 2:.2f}"
        assert words(table, one.condition, "sd") == f"{one.sd:.2f}"
    assert any("45 repeats" in line for line in result.words) and any("Krippendorff" in line for line in result.words)
    for form in ("md", "latex", "csv", "html"):
        assert table.printed(form) and pairs_table(result).printed(form)


def test_stimuli_pair_every_rated_image_with_its_scores(tmp_path: Path) -> None:
    scores = open_runs([make_run(tmp_path / "run", faces=10, images=False)])
    result = open_study(make_study(tmp_path / "s", raters=6, faces=8))
    table = stimuli(scores, result)
    assert len(table) == 6 * 8 and set(table["method"]) == set(scores.methods)  # six methods; HR has no scores
    ratings = result.study.ratings()
    for _, row in table.iloc[::7].iterrows():
        same = ratings[(ratings["face"] == row["face"]) & (ratings["condition"] == row["method"])]["score"]
        assert row["mos"] == pytest.approx(same.mean())
        assert row["ssim"] == scores.values("ssim", kept=True).at[row["face"], row["method"]]
    found = against_people(scores, result)
    assert found is not None
    assert agreement_table(found).cell("psnr", "srocc") is not None
    from scipy.stats import spearmanr

    known = table.dropna(subset=["mos", *found.columns])  # all metrics are compared on the images that have all of them
    by_name = {a.metric: a.srocc.mean for a in found.agreements}
    assert by_name["psnr"] == pytest.approx(spearmanr(known["psnr"], known["mos"]).statistic)
    assert by_name["lpips-squeeze"] == pytest.approx(-spearmanr(known["lpips-squeeze"], known["mos"]).statistic)


def test_a_study_of_other_methods_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", faces=4, images=False)
    study = make_study(tmp_path / "s", raters=3, faces=3, means={"a": 2.0, "b": 3.0})
    with pytest.raises(FaceSRError, match="none is a method of"):
        table_of([run], study=study)
    with pytest.raises(FaceSRError, match="one study at a time"):
        table_of([study], study=study)
    info = json.loads((study / "study.json").read_text())
    assert info["kind"] == "import"
