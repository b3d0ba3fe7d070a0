"""One table object in four forms: numbers against pandas and scipy, failures counted, names escaped."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_run import METHODS, METRICS, make_run
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from facesr.bench.errors import FaceSRError
from facesr.bench.numbers import fixed, scientific
from facesr.bench.stats.intervals import mean_interval
from facesr.bench.stats.many import mean_intervals
from facesr.cli import main
from facesr.reports import build
from facesr.reports.cells import Cell, Column, Failure, Row, interval, number, ranked
from facesr.reports.html import failures_html
from facesr.reports.latex import latex_command, macros, tex
from facesr.reports.references import bibliography
from facesr.reports.scores import open_runs
from facesr.reports.table import Table
from facesr.reports.tables import leaderboard, table_of, with_letters

EVIL = "<b>&_%$#{}~^\\|x`*\"' é"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "one", faces=30, images=False)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_is_tidy_and_its_means_are_pandas_own(run: Path) -> None:
    text = table_of([run]).printed("csv")
    assert text.splitlines()[0] == "method,metric,n,failed,mean,low,high"
    rows = rows_of(text)
    assert [(r["method"], r["metric"]) for r in rows] == [(m, k) for m in METHODS for k in METRICS]
    frame = pd.read_parquet(run / "scores.parquet")
    means = frame[frame["status"] == "ok"].groupby(["method", "metric"])["value"].mean()
    for row in rows:
        assert float(row["mean"]) == pytest.approx(means[row["method"], row["metric"]], rel=1e-12)
        assert float(row["low"]) < float(row["mean"]) < float(row["high"])


def test_failures_are_left_out_of_the_mean_and_counted(run: Path) -> None:
    rows = {(r["method"], r["metric"]): r for r in rows_of(table_of([run]).printed("csv"))}
    counts = {m: (int(rows["pulse", m]["n"]), int(rows["pulse", m]["failed"])) for m in METRICS}
    # two searches did not converge, one face was not found; ε is measured of all, a missed one too
    assert counts["psnr"] == (28, 2) and counts["identity-sface"] == (27, 3) and counts["consistency"] == (30, 0)
    assert all(int(r["failed"]) == 0 for (method, _), r in rows.items() if method != "pulse")
    table = table_of([run])
    assert any("2 not_converged (psnr, ssim, lpips-squeeze, identity-sface) of pulse" in note for note in table.notes)
    assert any("1 no_face (identity-sface) of pulse" in note for note in table.notes)
    kept = next(note for note in table.notes if note.startswith("With the images kept"))
    frame = pd.read_parquet(run / "scores.parquet")
    everyone = frame[(frame["method"] == "pulse") & (frame["metric"] == "psnr")]["value"].mean()
    assert f"pulse PSNR {everyone:.2f} (n = 30)" in kept


def test_intervals_hold_scipys_bootstrap() -> None:
    """BCa of 60 skewed values covers .90 to .94 in simulations: ours contains it, and is at most a third longer."""
    x = np.random.default_rng(3).gamma(2.0, 1.0, (60, 4))
    x[:5, 2] = np.nan
    for column, found in zip(x.T, mean_intervals(x), strict=True):
        values = column[~np.isnan(column)]
        peer = scipy_stats.bootstrap((values,), np.mean, method="BCa", n_resamples=9999, rng=np.random.default_rng(1))
        low, high = peer.confidence_interval
        assert found.mean == pytest.approx(values.mean()) and found.n == len(values)
        assert found.low <= low + 0.02 * (high - low) and found.high >= high
        assert found.high - found.low < 4 / 3 * (high - low)
        one = mean_interval(values)
        assert (found.low, found.high) == (pytest.approx(one.low), pytest.approx(one.high))


def test_intervals_of_one_value_none_and_infinity() -> None:
    table = np.array([[1.0, np.nan, math.inf], [np.nan, np.nan, 30.0]])
    one, none, infinite = mean_intervals(table)
    assert (one.mean, one.n) == (1.0, 1) and math.isnan(one.low)
    assert math.isnan(none.mean) and none.n == 0
    assert infinite.mean == math.inf and math.isnan(infinite.high) and fixed(infinite.mean, 2) == "∞"


@pytest.mark.parametrize(("good", "n"), [(0, 8), (8, 8), (3, 8), (239, 244)])
def test_a_share_has_wilsons_interval(good: int, n: int) -> None:
    column = np.array([1.0] * good + [0.0] * (n - good) + [np.nan])
    found = mean_intervals(column[:, None], shares=[True])[0]
    peer = scipy_stats.binomtest(good, n).proportion_ci(method="wilson")
    assert (found.low, found.high, found.n) == (pytest.approx(peer.low, abs=1e-12), pytest.approx(peer.high, abs=1e-12), n)


def test_best_and_second_follow_the_direction_and_what_is_printed() -> None:
    cells = [Cell("a", "x", 1.004, digits=2), Cell("b", "x", 1.001, digits=2), Cell("c", "x", 2.0, digits=2), Cell("d", "x")]
    assert [c.rank for c in ranked(cells, True)] == [0, 0, 1, 0]  # 1.00 and 1.00 are one number to the reader, and the worst
    assert [c.rank for c in ranked(cells, False)] == [1, 1, 0, 0]  # all that tie for best; the other one is the worst
    assert [c.rank for c in ranked([replace(cells[2], ranked=False), *cells[:2]], True)] == [0, 1, 1]  # HR competes with nobody
    assert [c.rank for c in ranked([Cell("a", "x", -0.5), Cell("b", "x", -0.25)], True)] == [0, 1]
    three = [Cell(name, "x", value) for name, value in (("a", 3.0), ("b", 2.0), ("c", 1.0))]
    assert [c.rank for c in ranked(three, True)] == [1, 2, 0] and [c.rank for c in ranked(three[:1], True)] == [0]


def test_letters_are_shared_exactly_by_pairs_that_do_not_differ(run: Path) -> None:
    scores = open_runs([run]).only(metrics=["psnr"])
    letters = {c.method: c.letters for c in with_letters(scores, scores.cells())}
    values = scores.values("psnr")
    names = list(scores.methods)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    p = [scipy_stats.wilcoxon((values[a] - values[b]).dropna(), zero_method="pratt", method="asymptotic").pvalue for a, b in pairs]
    from statsmodels.stats.multitest import multipletests

    differ = multipletests(p, method="holm")[0]
    for (a, b), different in zip(pairs, differ, strict=True):
        assert bool(set(letters[a]) & set(letters[b])) != bool(different), (a, b)


def test_runs_of_different_digests_never_meet(run: Path, tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", faces=30, images=False, digest="e" * 64)
    with pytest.raises(FaceSRError, match=r"different digests never meet.*dddddddddddd.*eeeeeeeeeeee"):
        open_runs([run, other])


def test_runs_of_one_digest_join_and_equal_methods_appear_once(run: Path, tmp_path: Path) -> None:
    more = make_run(tmp_path / "more", faces=30, methods=("bicubic", "mine"), images=False, seed=5)
    joined = open_runs([run, more])
    assert joined.methods == (*METHODS, "mine")
    info = json.loads((more / "run.json").read_text())
    info["methods"][0]["params"] = {"kernel": "box"}
    (more / "run.json").write_text(json.dumps(info))
    again = open_runs([run, more])
    assert again.methods == (*METHODS, "bicubic (more)", "mine")
    frame = pd.read_parquet(more / "scores.parquet")
    expected = frame[(frame["method"] == "bicubic") & (frame["metric"] == "psnr")]["value"].mean()
    assert again.values("psnr")["bicubic (more)"].mean() == pytest.approx(expected)


def test_a_metric_measured_with_other_weights_is_refused(run: Path, tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", faces=30, images=False)
    info = json.loads((other / "run.json").read_text())
    info["metrics"]["ssim"]["weights"] = {"net": "ff"}
    (other / "run.json").write_text(json.dumps(info))
    with pytest.raises(FaceSRError, match="measured ssim with different weights"):
        open_runs([run, other])


def test_a_cell_without_a_row_is_missing_not_forgotten(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "half", faces=6, images=False)
    frame = pd.read_parquet(folder / "scores.parquet")
    gone = (frame["method"] == "psp") & (frame["metric"] == "ssim") & (frame["image"] == "000005")
    frame[~gone].to_parquet(folder / "scores.parquet")
    cell = leaderboard(open_runs([folder])).cell("psp", "ssim")
    assert cell is not None and cell.n == 5 and [(f.image, f.status) for f in cell.failures] == [("000005", "missing")]
    assert "000005" not in cell.images


def test_scores_of_a_whole_set_keep_their_own_interval(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "set", faces=6, images=False)
    info = json.loads((folder / "run.json").read_text())
    info["metrics"]["kid"] = {
        "label": "KID",
        "higher_is_better": False,
        "digits": 3,
        "conventions": "",
        "weights": {},
        "of_set": True,
    }
    (folder / "run.json").write_text(json.dumps(info))
    frame = pd.read_parquet(folder / "scores.parquet")
    own = frame.iloc[[0]].assign(image="*", metric="kid", value=0.25, low=0.2, high=0.4, n=6)
    refused = own.assign(method="nearest", value=np.nan, status="skipped", reason="too few images")
    pd.concat([frame, own, refused], ignore_index=True).to_parquet(folder / "scores.parquet")
    table = leaderboard(open_runs([folder]), letters=True)
    cell = table.cell("bicubic", "kid")
    assert cell is not None and (cell.mean, cell.low, cell.high, cell.n, cell.failed) == (0.25, 0.2, 0.4, 6, 0)
    lost = table.cell("nearest", "kid")
    assert lost is not None and lost.failed == 1 and lost.failures[0].reason == "too few images"
    part = build.faces_where(open_runs([folder]), gender="female")
    half = leaderboard(part).cell("bicubic", "kid")
    assert half is not None and math.isnan(half.mean) and half.failures[0].status == "skipped"


def test_scales_are_groups_and_the_csv_says_which(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "sweep", faces=4, scales=(4, 8), images=False)
    table = table_of([folder])
    assert [name for name, _ in table.groups] == ["×4", "×8"]
    rows = rows_of(table.csv())
    assert list(rows[0]) == ["method", "metric", "n", "failed", "mean", "low", "high", "scale"] and {r["scale"] for r in rows} == {
        "4",
        "8",
    }
    assert "| *×8* |" in table.markdown() and r"\textit{$\times$8}" in table.latex()
    only = table_of([folder], scales=[8])
    assert only.csv().splitlines()[0] == "method,metric,n,failed,mean,low,high"


def test_footnotes_say_what_was_measured_on_what_with_which_weights(run: Path, tmp_path: Path) -> None:
    text = table_of([run]).printed("md")
    for words in (
        "×8 to 128²",
        "30 of 2,824 faces of celeba-hq (test)",
        "RGB, Gaussian 11x11",
        "psp.safetensors",
        "bicubic-matlab",
        "dddddddddddd",
    ):
        assert words in text, words
    info = json.loads((run / "run.json").read_text())
    info["protocol"]["data"].update(dataset="folder:mine", split="all")
    info["data"].update(total=30)
    own = tmp_path / "own"
    own.mkdir()
    (own / "run.json").write_text(json.dumps(info))
    (own / "scores.parquet").write_bytes((run / "scores.parquet").read_bytes())
    assert "30 faces of the user's own folder mine (--data), not the protocol's data set" in table_of([own]).caption


def evil_table() -> Table:
    columns = (Column("m", EVIL, True, "d<B>", EVIL),)
    cell = Cell(EVIL, EVIL, 1.0, 0.5, 1.5, 3, images=("a", "b", "c"), run=EVIL)
    return Table("evil", EVIL, columns, (Row("r", EVIL, (cell,), EVIL),), (EVIL,), corner=EVIL)


def test_names_of_users_are_escaped_everywhere() -> None:
    html = evil_table().html()
    assert "<b>" not in html and "&lt;b&gt;&amp;" in html and "d&lt;B&gt;" in html
    assert not re.search(r'title="[^"]*"[^ >/]', html)  # no quote of a name closes an attribute
    markdown = evil_table().markdown()
    line = next(line for line in markdown.splitlines() if "1.000" in line)
    assert "<b>" not in markdown and len(re.findall(r"(?<!\\)\|", line)) == 4  # method, value, n: four bars
    latex = tex(EVIL)
    assert re.sub(r"\\(text\w+\{\}|[&%$#_{}])", "", latex) == "bx`*' é"
    assert rows_of(evil_table().csv())[0]["method"] == EVIL


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30))
def test_any_name_survives_csv_and_breaks_no_other_form(name: str) -> None:
    table = Table("t", name, (Column("m", name),), (Row("r", name, (Cell(name, "m", 1.0, n=1),)),), (name,))
    rows = list(csv.reader(io.StringIO(table.csv(), newline="")))
    assert len(rows) == 2 and (rows[1][0] == name or len(name.splitlines()) > 1 or name[-1] in "\r\n")
    body = table.html()
    assert body.count("<td") == body.count("</td>") and body.count("<tr") == body.count("</tr>")
    assert not re.search(r"(?<!\\)(?:\\\\)*[%#&]", re.sub(r" & | \\\\$", "", tex(name)))
    assert all(31 < ord(c) < 0x2020 for c in tex(name))


def test_macros_are_letters_and_never_meet() -> None:
    assert latex_command("sr", "psp-2", "psnr-y") == r"\srPspTwoPsnrY"
    cells = tuple(Cell(name, "psnr", 1.5, 1.0, 2.0, 3, digits=2) for name in ("psp-2", "psp 2", "PSP_2"))
    table = Table("t", "", (Column("psnr", "PSNR"),), tuple(Row(c.method, c.method, (c,)) for c in cells))
    names = re.findall(r"\\newcommand\{\\([A-Za-z]+)\}", macros(table))
    assert len(names) == len(set(names)) == 15 and r"\newcommand{\srPspTwoPsnr}{1.50}" in macros(table)


def test_a_wide_table_continues_in_panels_of_one_tabular(run: Path) -> None:
    latex = table_of([run], full=True).latex()
    assert latex.count(r"\begin{tabular}") == 1 and latex.count(r"\midrule[\heavyrulewidth]") == 1 and r"\newcommand" not in latex
    rows = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 2 * (1 + len(METHODS)) and {line.replace(r"\\(", "").count("&") for line in rows} == {3}
    assert r"\begin{table*}" in table_of([run]).latex(columns=2) and r"\begin{table}" in latex
    assert r"\midrule[\heavyrulewidth]" not in table_of([run]).latex(columns=2)
    assert r"\newcommand{\srPspPsnr}{" in table_of([run]).macros()


def test_methods_carry_their_printed_names_and_citations(run: Path) -> None:
    table = table_of([run])
    assert [row.label for row in table.rows] == [
        "bicubic",
        "Nearest",
        "FSRNet",
        "pix2pixhd",
        "PULSE",
        "pSp",
    ]  # the two declare no key here
    assert r"pSp~\cite{richardson2021encoding} &" in table.latex() and r"\cite" not in table.latex(cite=False)
    entries = table.bibliography()
    assert entries.count("@") == 3 and "Menon, Sachit" in entries and "add your own" not in entries
    assert "% me2026: add your own entry" in bibliography(
        ["me2026", "keys1981cubic", "}\\input{x"]
    ) and "input" not in bibliography(["}\\input{x"])


def test_a_column_without_any_value_is_left_out_and_named() -> None:
    lost = tuple(Failure(str(i), "weights_missing", "no alexnet: 'facesr weights fetch alexnet' gets it") for i in range(3))
    columns = (Column("psnr", "PSNR", True), Column("lpips", "LPIPS", False))
    rows = tuple(Row(m, m, (Cell(m, "psnr", v, n=3), Cell(m, "lpips", failures=lost))) for m, v in (("a", 1.0), ("b", 2.0)))
    table = Table("t", "", columns, rows)
    said = "Not shown, no method has a value: LPIPS (no alexnet: 'facesr weights fetch alexnet' gets it)."
    for text in (table.markdown(), table.text(), table.latex(), table.html(notes="short").replace("&#x27;", "'")):
        assert said in text and text.count("LPIPS") == 1
    assert [r["metric"] for r in rows_of(table.csv())] == ["psnr", "lpips"] * 2  # a program gets the whole grid


def test_small_numbers_share_the_power_of_their_mean() -> None:
    cell = Cell("a", "consistency", 2.34e-5, 2.24e-5, 2.44e-5, 8, digits=1, power=True, bounds=(0.0, 1.0))
    assert (number(cell), interval(cell, "pm"), interval(cell, "bracket")) == ("2.3e-5", "± 0.1e-5", "[2.2e-5, 2.4e-5]")
    assert number(replace(cell, mean=9.96e-5)) == "1.0e-4" and number(replace(cell, mean=0.0)) == "0"
    assert scientific(3.4e-7, 1, -5) == "0.0e-5" and scientific(-2.5e-3, 2) == "-2.50e-3"


def test_an_interval_stays_on_its_scale() -> None:
    mos = Cell("nearest", "mos", 1.05, 0.93, 1.17, 40, digits=2, bounds=(1.0, 5.0))
    assert interval(mos, "pm") == interval(mos, "bracket") == "[1.00, 1.17]"
    assert interval(replace(mos, mean=3.0, low=2.9, high=3.1), "pm") == "± 0.10"
    assert (
        interval(replace(mos, mean=20.0, low=19.0, high=21.0), "pm") == "± 1.00"
    )  # a mean beyond them: the bounds are not this number's


def test_decimals_are_chosen_for_all_or_by_metric(run: Path) -> None:
    table = table_of([run])
    assert re.search(r"\| \d\d\.\d \[?± \d\.\d \|", table.with_digits(1).markdown())
    one = table.with_digits({"psnr": 0})
    assert number(one.rows[0].cells[0]).isdigit() and number(one.rows[0].cells[1]) == number(table.rows[0].cells[1])  # type: ignore[arg-type]
    with pytest.raises(FaceSRError, match=r"did you mean 'psnr'.*|.*0 to 9"):
        table.with_digits({"psnrr": 2})


def test_text_for_a_terminal_is_as_wide_as_it_and_holds_no_tags(run: Path) -> None:
    table = table_of([run], full=True)
    for width in (60, 80, 132):
        text = table.text(width=width)
        assert max(map(len, text.splitlines())) <= width and "<" not in text and text.count("pSp") >= 1
    assert "\x1b[1m" in table.text(color=True) and "\x1b" not in table.text()
    evil = Table("t", "a\x1b[2Jb", (Column("m", "M"),), (Row("r", "\x1b]0;x\x07n\nm", (Cell("r", "m", 1.0, n=1),)),))
    assert "\x1b" not in evil.text() and "\x07" not in evil.text()


def test_cells_know_their_run_and_images(run: Path) -> None:
    cell = leaderboard(open_runs([run])).cell("pulse", "psnr")
    assert cell is not None and str(run) in cell.run and "dddddddddddd" in cell.run
    assert cell.images == tuple(f"{i:06d}" for i in range(2, 30))
    assert [f.image for f in cell.failures] == ["000000", "000001"] and cell.failures[0].reason.startswith("ε = 2.1e-3")
    assert "000000, 000001" in failures_html(leaderboard(open_runs([run])))


def test_intervals_print_three_ways_and_small_numbers_keep_digits() -> None:
    table = Table("t", "", (Column("m", "M"),), (Row("a", "a", (Cell("a", "m", 22.914, 22.8, 23.1, 9, digits=2),)),))
    assert "22.91 ± 0.15" in table.markdown() and "22.91 [22.80, 23.10]" in table.markdown(intervals="bracket")
    assert "±" not in table.markdown(intervals="none")
    share = Table("t", "", (Column("m", "M"),), (Row("a", "a", (Cell("a", "m", 1.0, 0.676, 1.0, 8),)),))
    assert "1.000 [0.676, 1.000]" in share.markdown()  # '1.000 ± 0.162' would promise more than everything
    assert fixed(3.2e-7, 3) == "3.2e-7" and fixed(-0.0, 2) == "0.00" and fixed(-1.5, 1) == "−1.5" and fixed(math.nan, 2) == "–"


def test_the_command_prints_every_form_and_names_mistakes(run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for form, head in (("md", "**celebahq"), ("latex", "% needs"), ("csv", "method,metric"), ("html", "<table"), ("json", "{")):
        assert main(["table", str(run), "--format", form]) == 0
        assert capsys.readouterr().out.startswith(head)
    assert main(["table", str(run), "--methods", "ps", "--metrics", "psn,ssim", "--scale", "4"]) == 2
    error = capsys.readouterr().err
    assert "did you mean 'psp'?" in error and "did you mean 'psnr'?" in error and "no scale 4" in error
    assert main(["table", str(run), "--where", "gender=femal"]) == 2
    assert "did you mean 'female'?" in capsys.readouterr().err
    assert main(["table", str(tmp_path)]) == 2
    assert "has no run.json" in capsys.readouterr().err
    out = tmp_path / "deep" / "t.tex"
    assert main(["table", str(run), "--format", "latex", "--out", str(out), "--methods", "psp,bicubic"]) == 0
    assert out.read_text().index("pSp~") < out.read_text().index("bicubic &")
    assert main(["table", str(run), "--format", "csv", "--columns", "2", "--digits", "1"]) == 2
    error = capsys.readouterr().err
    assert "--columns: for --format latex" in error and "--digits" in error
    files = {kind: tmp_path / f"x.{kind}" for kind in ("tex", "bib", "macros")}
    options = ["--label", "tab:mine", "--caption", "50 % & more", "--notes", "none", "--intervals", "none"]
    made = ["--out", str(files["tex"]), "--macros", str(files["macros"]), "--bib", str(files["bib"])]
    assert main(["table", str(run), *options, *made]) == 0
    text = files["tex"].read_text()
    assert r"\label{tab:mine}" in text and r"\caption{50 \% \& more}" in text and "minipage" not in text and r"$\pm$" not in text
    assert files["macros"].read_text().startswith("\\newcommand") and "@inproceedings{menon2020pulse" in files["bib"].read_text()
    assert main(["table", str(run), "--format", "latex", "--label", "a b"]) == 2


def test_a_paper_sized_table_takes_a_couple_of_seconds(tmp_path: Path) -> None:
    """2,824 faces x 7 methods x 10 metrics: read, 70 intervals, LaTeX. About 1.5 s of CPU time."""
    metrics = {f"m{i}": {"label": f"M{i}", "higher_is_better": True, "digits": 3} for i in range(10)}
    folder = make_run(tmp_path / "big", faces=2824, methods=(*METHODS, "fsrgan"), metrics=metrics, images=False)
    start = time.process_time()
    text = table_of([folder]).printed("latex")
    assert time.process_time() - start < 6 and text.count(" & ") >= 70
