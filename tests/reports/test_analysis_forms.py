"""The whole analysis of a study in five forms: complete in each, safe whatever names hold, and saying the same."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facesr.bench.errors import FaceSRError
from facesr.bench.numbers import fixed, p_text
from facesr.bench.ratings import rating_options
from facesr.bench.study import Study
from facesr.bench.study.analysis import SCHEMA, Analysis, PairedAnalysis, analyse_study
from facesr.bench.study.imported import exclude_imported
from facesr.bench.study.imports import into_study
from facesr.cli import main
from facesr.reports.analysis import CSV_COLUMNS, FORMS, render_analysis

ROOT = Path(__file__).parents[2]
EVIL = (
    "<script>alert(1)</script>",
    "psp_v2 50% & more #1",
    "=cmd|' /C calc'!A0",
    "Bikubisch~^\\ {ä} $x_1$",
    "a|b`*[]",
    "日本 ±∞ α",
)


def grade(r: int, f: int, c: int) -> int:
    """A grade without chance: conditions differ, raters and faces too."""
    return min(5, max(1, 5 - c + (r * 7 + f * 3 + c * 5) % 3 - 1))


def ratings(file: Path, conditions: tuple[str, ...], raters: int = 6, faces: int = 6) -> Path:
    """A long table."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["rater", "face", "condition", "score"])
        for r, f, (c, name) in product(range(raters), range(faces), enumerate(conditions)):
            writer.writerow([f"r{r}", f"f{f}", name, grade(r, f, c)])
    return file


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Three conditions with a plan declared at the import."""
    folder = tmp_path_factory.mktemp("analysis")
    plan = {"reference": "HR", "screening": "bt500", "equivalence_margin": 0.2, "alpha": 0.05}
    return into_study(ratings(folder / "r.csv", ("hr", "psp", "bicubic")), folder / "study", plan=plan)


def test_every_form_holds_every_condition_pair_and_p(study: Study) -> None:
    """JSON has all; CSV has the same numbers with intervals and pairs; Markdown, LaTeX and HTML print each part."""
    found = analyse_study(study)
    assert isinstance(found, Analysis)
    content = json.loads(render_analysis(found, "json"))
    assert content["schema"] == SCHEMA
    assert [c["condition"] for c in content["conditions"]] == ["hr", "psp", "bicubic"]
    mean = sum(grade(r, f, 1) for r in range(6) for f in range(6)) / 36
    assert content["conditions"][1]["mean"] == pytest.approx(mean)
    assert {(q["a"], q["b"]) for q in content["pairs"]} == {("hr", "psp"), ("hr", "bicubic"), ("psp", "bicubic")}
    for key in (
        "p",
        "p_holm",
        "p_bh",
        "p_paper_holm",
        "difference",
        "low",
        "high",
        "se",
        "n",
        "over_raters",
        "over_faces",
        "paper",
        "equivalence",
    ):
        assert all(key in q for q in content["pairs"]), key
    assert {r["entry"] for r in content["plan"]} >= {"primary", "alpha", "correction", "screening", "equivalence margin"}
    assert content["dmos"]["reference"] == "hr"
    table = pd.read_csv(io.StringIO(render_analysis(found, "csv")), dtype={"a": str, "b": str}, keep_default_na=False)
    assert tuple(table.columns) == CSV_COLUMNS
    both = table[(table["part"] == "condition") & (table["a"] == "psp") & (table["quantity"] == "over_both")].iloc[0]
    assert float(both["value"]) == pytest.approx(mean)
    assert float(both["low"]) < mean < float(both["high"])
    pairs = table[table["part"] == "pair"]
    assert len(pairs[pairs["quantity"] == "difference"]) == 3
    assert len(pairs[pairs["quantity"] == "p_holm"]) == 3
    for form in ("md", "latex", "html"):
        text = render_analysis(found, form)
        for title in ("Plan", "Mean opinion scores", "Pairs", "Agreement", "Screening", "Guards", "Data"):
            assert title in text, (form, title)


def test_markdown_and_html_print_what_the_analysis_holds(study: Study) -> None:
    """Every figure of a pair stands in a row of the pair's; components, size and order in sentences."""
    found = analyse_study(study)
    assert isinstance(found, Analysis)
    for form in ("md", "html"):
        text = html.unescape(re.sub(r"\\([^\w\s])", r"\1", render_analysis(found, form)))
        lines = text.splitlines() if form == "md" else re.split(r"</tr>", text)
        for q in found.pairs:
            rows = " ".join(line for line in lines if q.a in line.lower() and q.b in line.lower() and "−" in line)
            assert q.equivalence is not None
            told = {"se": fixed(q.se, 3), "df": fixed(q.df, 1), "n": str(q.n), "p_nemenyi": p_text(q.p_nemenyi),
                    "joint": f"{fixed(q.low_joint, 2)} to {fixed(q.high_joint, 2)}", "p_left_out": " to ".join(map(p_text, q.p_left_out)),
                    "noninferior": p_text(q.equivalence.p_noninferior), "detectable": fixed(q.detectable, 2)}  # fmt: skip
            assert not {k: v for k, v in told.items() if v not in rows}, (form, q.a, q.b, rows)
        assert found.analysis.size and found.analysis.size in text
        for name, sd in vars(found.analysis.components).items():
            assert f"{name.replace('_', ' x ')} {fixed(sd, 2)}" in text
        assert "cannot be analysed: the ratings do not say at which position" in text


def _placed(file: Path, drift: float) -> Path:
    """Eight raters, six faces, three conditions, each rater in an order of their own; ratings rise by ``drift`` per position."""
    rng = np.random.default_rng(3)
    rows = ["rater,face,condition,score,position"]
    for r in range(8):
        for place, item in enumerate(rng.permutation(18)):
            f, c = divmod(int(item), 3)
            score = min(5, max(1, round(3 - 0.5 * c + drift * (place - 8.5) + 0.4 * rng.normal())))
            rows.append(f"r{r},f{f},{'abc'[c]},{score},{place + 1}")
    file.write_text("\n".join(rows))
    return file


def test_order_effects_are_in_every_form(tmp_path: Path) -> None:
    """Ratings that rise by .1 per position rise by about 10 per 100, less the share the images' means take up."""
    found = analyse_study(into_study(_placed(tmp_path / "r.csv", 0.1), tmp_path / "study"))
    order = found.as_dict()["order"]
    assert order["refused"] == ""
    assert set(order["effects"]) == {"position", "noise", "carry_over"}
    assert order["effects"]["position"]["estimate"] == pytest.approx(9, abs=1.5)
    assert order["effects"]["position"]["p_holm"] < 0.001
    for form in ("md", "latex", "html"):
        assert "Ratings drift per 100 ratings given by" in render_analysis(found, form), form
        assert "An effect of when a rating was given is found of position" in render_analysis(found, form), form
    assert "order,,,effects.position.estimate," in render_analysis(found, "csv")


def test_the_ordinal_model_is_fitted_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--ordinal`` prints the model as a sensitivity analysis; without the extra, one sentence says what to install."""
    made = into_study(_placed(tmp_path / "r.csv", 0.0), tmp_path / "study")
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "interlace", None)
        assert main(["study", "analyse", str(made.path), "--ordinal"]) == 2
    assert "pip install 'facesr-bench[clmm]'" in capsys.readouterr().err
    pytest.importorskip("interlace")
    assert main(["study", "analyse", str(made.path), "--ordinal"]) == 0
    out = capsys.readouterr().out
    assert "## Ordinal model" in out
    assert "A sensitivity analysis" in out
    content = analyse_study(made, ordinal=True).as_dict()["ordinal"]
    assert content["order"] == ["a", "b", "c"]
    effects = dict(zip(content["names"], content["effects"], strict=True))
    assert effects["a"] > effects["b"] > effects["c"]
    assert effects[content["names"][0]] == 0


def test_the_documented_schema_is_the_one(study: Study) -> None:
    """docs/analysis-schema.md names the version and every key of the top."""
    page = (ROOT / "docs/analysis-schema.md").read_text(encoding="utf-8")
    assert SCHEMA in page
    for key in analyse_study(study).as_dict():
        assert f"`{key}`" in page, key


TAGS = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"),
    *("ul", "li", "sup", "strong", "u", "span"),
}  # fmt: skip


class Tags(HTMLParser):
    """Names of the tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)


def test_names_are_names_in_every_form(tmp_path: Path) -> None:
    """Markup, formulas and TeX in a name stay text: no script, no cell that a spreadsheet runs, no broken row."""
    found = analyse_study(into_study(ratings(tmp_path / "r.csv", EVIL), tmp_path / "study"))
    page = Tags()
    page.feed(render_analysis(found, "html"))
    assert "script" not in page.seen
    assert page.seen <= TAGS
    rows = list(csv.reader(io.StringIO(render_analysis(found, "csv"))))
    assert {len(row) for row in rows} == {len(CSV_COLUMNS)}
    # Numbers may be negative; a text may not begin as a formula does.
    assert not [c for row in rows for c in row if re.match(r"[=+@\t\r]|-(?!\d)", c)]
    assert len([row for row in rows if row[0] == "pair" and row[3] == "difference"]) == 15
    assert [c["condition"] for c in json.loads(render_analysis(found, "json"))["conditions"]] == list(EVIL)
    markdown = render_analysis(found, "md")
    assert "<script" not in markdown
    blocks = [b for b in markdown.split("\n\n") if b.startswith("|")]
    assert all(len({len(re.findall(r"(?<!\\)\|", line)) for line in b.splitlines()}) == 1 for b in blocks)


NAMES = st.lists(st.text(min_size=1, max_size=12).filter(lambda s: s.strip()), min_size=2, max_size=4)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(names=NAMES)
def test_any_names(names: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever a condition is called, CSV parses with whole rows and HTML holds no tag of the name's."""
    folder = tmp_path_factory.mktemp("any")
    try:
        found = analyse_study(into_study(ratings(folder / "r.csv", tuple(names), raters=3, faces=3), folder / "study"))
    except FaceSRError:
        return  # refused with a sentence: names that are one name, or a table that cannot be read
    rows = list(csv.reader(io.StringIO(render_analysis(found, "csv"), newline="")))
    assert {len(row) for row in rows} == {len(CSV_COLUMNS)}
    json.loads(render_analysis(found, "json"))
    page = Tags()
    page.feed(render_analysis(found, "html"))
    assert not page.seen & {"script", "img", "a", "iframe", "svg"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex (texlive-latex-base)")
@pytest.mark.parametrize("conditions", [EVIL[:3], EVIL[3:], ("hr", "psp", "\\end{tabular}")], ids=["first", "second", "tex"])
def test_latex_compiles(tmp_path: Path, conditions: tuple[str, ...]) -> None:
    """pdflatex runs through with the packages the first line names."""
    found = analyse_study(into_study(ratings(tmp_path / "r.csv", conditions), tmp_path / "study"))
    (tmp_path / "part.tex").write_text(render_analysis(found, "latex"), encoding="utf-8")
    packages = r"\usepackage[T1]{fontenc}\usepackage{textcomp,booktabs,graphicx}"
    (tmp_path / "doc.tex").write_text(rf"\documentclass{{article}}{packages}\begin{{document}}\input{{part.tex}}\end{{document}}")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "doc.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, errors="replace")
    assert done.returncode == 0, done.stdout[-800:]


# --- what was imported can be judged like our own ---------------------------------------------------------------------------------------


def test_a_plan_given_at_the_import_acts(study: Study) -> None:
    """The reference gives DMOS (score - HR + 5), the margin the TOST, the rule the screening; the plan says it came late."""
    found = analyse_study(study)
    assert isinstance(found, Analysis)
    dmos = {m.condition: m.mean for m in found.analysis.dmos}
    expected = sum(grade(r, f, 1) - grade(r, f, 0) + 5 for r in range(6) for f in range(6)) / 36
    assert dmos["psp"] == pytest.approx(expected)
    assert all(q.equivalence is not None and q.equivalence.margin == 0.2 for q in found.pairs)
    assert found.analysis.screened.screening.rule == "bt500"
    late = {r.entry: r.deviation for r in found.plan}
    assert late["screening"] == "declared after the ratings"
    assert late["correction"] == "not declared: the usual value"


def test_excluding_a_rater_of_an_imported_study(tmp_path: Path) -> None:
    """By hand, and by a rule of the plan: their ratings stay, the analysis leaves them out and says why."""
    file = ratings(tmp_path / "r.csv", ("hr", "psp"))
    file.write_text(file.read_text() + "".join(f"same,f{f},{c},3\n" for f in range(6) for c in ("hr", "psp")))
    study = into_study(file, tmp_path / "study", plan={"exclude_raters": {"same_grade": 0.95}})
    assert set(study.excluded()) == {"same"}
    with pytest.raises(FaceSRError, match="did you mean"):
        exclude_imported(study.path, "r00", "late", "")
    assert main(["study", "exclude", str(study.path), "r1", "--rule", "withdrew consent", "--reason", "wrote to us", "--yes"]) == 0
    found = analyse_study(study.path)
    assert isinstance(found, Analysis)
    assert set(found.left_out) == {"same", "r1"}
    assert found.analysis.ratings == 5 * 12
    assert len(study.ratings(excluded=True)) == 7 * 12
    assert "r1 is left out: withdrew consent: wrote to us." in found.sentences


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"reference": "hrr"}, r"no condition of this file: did you mean 'hr'\?"),
        ({"screening": "bt501"}, "did you mean 'bt500'"),
        ({"alhpa": 0.05}, "did you mean 'alpha'"),
        ({"alpha": 5.0}, "alpha"),
        ({"stopping": {"kind": "always-valid"}}, "imported ratings are all in"),
        ({"primary": "bradley-terry"}, "does not fit the method"),
        ({"equivalence_margin": 4.0}, "as wide as the scale"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(tmp_path: Path, plan: dict[str, object], message: str) -> None:
    """Before any folder is made."""
    with pytest.raises(FaceSRError, match=message):
        into_study(ratings(tmp_path / "r.csv", ("hr", "psp")), tmp_path / "study", plan=plan)
    assert not (tmp_path / "study").exists()


def test_unused_cells_are_counted_in_every_form(tmp_path: Path) -> None:
    """A typo, an empty cell and a row of nobody: three sentences' worth, in each form."""
    file = ratings(tmp_path / "r.csv", ("hr", "psp"))
    file.write_text(file.read_text() + "r9,f1,hr,55\nr9,f2,hr,\n,f3,hr,4\n")
    found = analyse_study(into_study(file, tmp_path / "study", rating_options()))
    for form in FORMS:
        text = render_analysis(found, form)
        assert "outside the scale 1 to 5" in text, form
        assert "no answer" in text, form
        assert "no rater" in text, form


def test_imported_pairs(tmp_path: Path) -> None:
    """A paired comparison that another program collected: Bradley-Terry scores in every form."""
    rng = np.random.default_rng(5)
    pairs = (("hr", "psp"), ("psp", "bicubic"), ("hr", "bicubic"))
    rows = [f"r{r},f{f},{a},{b},{1 + (rng.random() < 0.25)}" for r in range(8) for f in range(6) for a, b in pairs]
    (tmp_path / "p.csv").write_text("\n".join(["rater,face,condition,other,score", *rows]))
    found = analyse_study(into_study(tmp_path / "p.csv", tmp_path / "study"))
    assert isinstance(found, PairedAnalysis)
    content = json.loads(render_analysis(found, "json"))
    assert [c["condition"] for c in content["conditions"]] == ["hr", "psp", "bicubic"]
    assert len(content["pairs"]) == 3
    with pytest.raises(FaceSRError, match="the ordinal model is of ratings on a scale"):
        analyse_study(tmp_path / "study", ordinal=True)
    for form in FORMS:
        assert "bicubic" in render_analysis(found, form).lower()
