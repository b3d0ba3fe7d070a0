"""Published numbers beside our own: a verdict only where the two speak of the same thing."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_run import make_run, make_study

from facesr.bench.errors import FaceSRError
from facesr.bench.study import Study
from facesr.cli import main
from facesr.reports.cells import Cell
from facesr.reports.mos import MosResult, open_study
from facesr.reports.published import published, published_table, unless, verdict, why_not
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


def changed(run: Path, **protocol: dict[str, object]) -> dict[str, Any]:
    """``run.json`` with tables of its protocol updated, written; for further changes."""
    info: dict[str, Any] = json.loads((run / "run.json").read_text())
    for name, values in protocol.items():
        info["protocol"].setdefault(name, {}).update(values)
    (run / "run.json").write_text(json.dumps(info))
    return info


def test_what_keeps_two_numbers_apart_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", faces=6, methods=("bicubic", "fsrnet"))
    info = changed(run, data={"dataset": "celeba", "size": 64})
    info["methods"][1]["notes"] = ["small default weights of this project, not the published models"]
    info["data"]["total"] = 6
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
    changed(run, data={"split": "train", "size": 128}, degradation={"kernel": "box"})
    assert why_not(open_runs([run]), table, "bicubic", 8) == [
        "other split (test, here train)",
        "other reduction (bicubic, here box)",
    ]
    changed(run, data={"split": "test"}, lr={"folder": "lr"})
    assert why_not(open_runs([run]), table, "bicubic", 8) == ["LR images of one's own"]


def test_a_run_of_some_of_the_faces_is_not_compared(tmp_path: Path) -> None:
    """The run folder knows six faces; its data set has 2,824 (--limit)."""
    scores = open_runs([make_run(tmp_path / "run", faces=6)])
    table = next(t for t in published() if t.metric == "psnr-y")
    assert why_not(scores, replace(table, dataset="celeba-hq"), "bicubic", 8) == ["only a part of the faces"]


def rated(folder: Path, raters: int = 20, simulated: int = 0, means: dict[str, float] | None = None, **facts: object) -> MosResult:
    """A study of twelve faces, as if it had been made from the run of ``make_run``."""
    made = open_study(make_study(folder, raters=raters, faces=12, means=means or {"hr": 3.74, "bicubic": 1.34, "psp": 3.7}))
    info = made.study.info | {"run": {"digest": "d" * 64, "scale": 8}} | facts
    analysis = replace(made.analysis, simulated=simulated, scale=tuple(info["scale"]))
    return replace(made, study=Study(made.study.path, info), analysis=analysis)


def verdicts(run: Path, study: MosResult) -> dict[tuple[str, str], str]:
    """By condition and paper."""
    made = published_table(open_runs([run]), study)
    return {(row.key.split()[0], row.cite): row.cells[3].text or "" for row in made.rows if row.cells[3] is not None}


def test_mos_of_papers_beside_a_study(tmp_path: Path) -> None:
    """2.92, 3.60, 3.67, 3.70 and HR's 3.74 beside ratings whose mean is known; PULSE's paper has another number for FSRNet (2.77)."""
    run = make_run(tmp_path / "run", faces=12)
    means = {"hr": 3.74, "fsrnet": 2.35, "pulse": 3.60, "pix2pixhd": 3.67, "psp": 4.6}
    study = rated(tmp_path / "study", 40, means=means)
    ours = {m.condition: (m.over_both.low, m.mean, m.over_both.high) for m in study.conditions}
    assert ours["hr"][0] < 3.74 < ours["hr"][2] and ours["pulse"][0] < 3.60 < ours["pulse"][2]
    assert ours["psp"][0] > 3.705 and ours["fsrnet"][2] < 2.765
    said = verdicts(run, study)
    assert said["hr", ""] == said["hr", "menon2020pulse"] == "within our interval"
    assert said["pulse", ""] == said["pulse", "menon2020pulse"] == "within our interval, if weights are the paper's"
    assert {said["psp", ""], said["fsrnet", ""], said["fsrnet", "menon2020pulse"]} == {
        "outside our interval, if weights are the paper's"
    }
    assert ("psp", "menon2020pulse") not in said and ("pix2pixhd", "") in said
    rows = {row.key.split()[0]: row.cells for row in published_table(open_runs([run]), study).rows if not row.cite}
    shown = {name: (cells[1].text, cells[2].mean) for name, cells in rows.items() if cells[1] and cells[2]}
    texts = {"hr": "3.74", "fsrnet": "2.92", "pulse": "3.60", "pix2pixhd": "3.67", "psp": "3.70"}
    assert shown == {name: (text, ours[name][1]) for name, text in texts.items()}
    assert all(cells[2].letters == "" for cells in rows.values() if cells[2]), "no line here explains letters"
    labelled = published_table(open_runs([run]), replace(study, label="SIMULATED RATERS: nobody's"))
    assert labelled.caption.startswith("SIMULATED RATERS")
    narrowed = published_table(open_runs([run]).only(methods=["psp"]), study).rows
    assert {row.key.split()[0] for row in narrowed} == {"psp", "hr"}, "only the methods that were asked for"


def test_why_a_studys_mos_is_not_comparable(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", faces=12, methods=("bicubic", "psp"))

    def said(name: str, condition: str = "hr", **how: Any) -> str:
        return verdicts(run, rated(tmp_path / name, **how))[condition, "" if condition == "psp" else "menon2020pulse"]

    assert said("enough") == said("least", raters=15) == "within our interval"
    assert said("few", raters=14) == "not comparable: only 14 raters, fewer than 15 (BT.500)"
    assert said("simulated", simulated=9) == "not comparable: simulated raters"
    assert said("wide", "bicubic", scale=[1, 9]) == "not comparable: other rating scale (1–5, here 1–9)"
    assert said("factor", "psp", run={"digest": "d" * 64, "scale": 16}) == "not comparable: other factor (×8, here ×16)"
    assert said("imported", run={}) == "not comparable: imported ratings, of which no run says what was shown"
    with pytest.raises(FaceSRError, match="results of two digests never meet"):
        said("another run's", run={"digest": "e" * 64, "scale": 8})
    changed(run, data={"dataset": "demo", "size": 256})
    assert said("elsewhere", "psp") == "not comparable: other faces (celeba-hq, here demo), other size (128, here 256)"


def test_a_verdict_is_prose_in_every_form(tmp_path: Path) -> None:
    """From the left; in LaTeX on a line of its own under the numbers, which stay side by side in one panel."""
    made = published_table(open_runs([make_run(tmp_path / "run", faces=4)]))
    assert "|:--|--:|--:|--:|:--|" in made.markdown()
    assert made.html().count('<td class="prose">not comparable: other faces') == len(made.rows)
    lines = made.latex().splitlines()
    assert "Method & Metric & Published & Here \\\\" in lines
    first = next(i for i, line in enumerate(lines) if "0.6423" in line)
    assert "not comparable" in lines[first + 1] and lines[first].count("&") == 3


def test_what_a_verdict_rests_on_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", faces=4, methods=("bicubic", "psp", "pulse", "fsrnet"))
    info = changed(run)
    entries = {m["label"]: m for m in info["methods"]}
    for label, entry in entries.items():
        entry["target"] = f"facesr.methods.{label}:M"
    entries["psp"]["target"] = "facesr.methods.folder:Folder"
    entries["pulse"]["params"] = {"steps": 30}
    (run / "run.json").write_text(json.dumps(info))
    scores = open_runs([run])
    assert [unless(scores, m) for m in ("bicubic", "hr")] == ["", ""]
    assert unless(scores, "fsrnet") == "weights are the paper's"
    assert unless(scores, "pulse") == "weights and steps=30 are the paper's"
    assert unless(scores, "psp") == "its images are by the paper's weights and settings"


def test_a_run_that_no_paper_speaks_of_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", faces=4, methods=("pulse", "psp"))
    with pytest.raises(FaceSRError, match="no paper known here prints a number"):
        published_table(open_runs([run]))
    assert main(["table", str(run), "--preset", "published"]) == 2
    assert main(["table", str(make_run(tmp_path / "b", faces=4)), "--preset", "published"]) == 0
    assert "23.75" not in capsys.readouterr().out  # this run has no psnr-y


def test_a_protocol_carries_what_papers_print_for_its_faces(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["protocols", "celebahq-x8-128"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("published")]
    assert any("hr 3.74, fsrnet 2.92, pulse 3.60, pix2pixhd 3.67, psp 3.70" in line for line in lines)
    assert not any("psnr" in line or "niqe" in line for line in lines)  # of CelebA, and of another factor
    assert main(["protocols", "celebahq-x8-128", "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert [table["metric"] for table in facts["published"]] == ["mos", "mos"]
    assert main(["protocols", "demo-x8-128"]) == 0
    assert "published" not in capsys.readouterr().out
