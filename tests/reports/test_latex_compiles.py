"""Tables compiled with pdflatex in the class files papers are written in: nothing sticks out of a column, no reference is lost.

Debian's texlive has IEEEtran, acmart, llncs and elsarticle. CVPR's and NeurIPS's style files are in no package: their text widths, fonts and
columns stand for them here (CVPR: two columns of 3.25 in. of a 6.875 in. page, Times; NeurIPS: one column of 5.5 in., Times).
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from fake_run import make_run, make_study

from facesr.reports.table import Table
from facesr.reports.tables import table_of

CLASSES = {
    "IEEEtran": r"\documentclass[conference]{IEEEtran}",
    "cvpr": r"\documentclass[10pt,twocolumn,letterpaper]{article}\usepackage{times}"
    r"\usepackage[letterpaper,textwidth=6.875in,textheight=8.875in,columnsep=0.3125in]{geometry}",
    "neurips": r"\documentclass{article}\usepackage{times}\usepackage[textwidth=5.5in,textheight=9in]{geometry}",
    "llncs": r"\documentclass{llncs}",
    "elsarticle": r"\documentclass[5p,twocolumn]{elsarticle}",
    "article": r"\documentclass[10pt,twocolumn]{article}\usepackage{lmodern}\usepackage[T1]{fontenc}",
}
pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[Table]:
    folder = tmp_path_factory.mktemp("tex")
    run = make_run(folder / "run", faces=30, images=False)
    many = {
        f"metric-{i}": {"label": f"A LONG NAME {i} (Net)", "higher_is_better": True, "unit": "dB", "digits": 3} for i in range(11)
    }
    wide = make_run(folder / "wide", faces=12, metrics=many, images=False)
    study = make_study(folder / "study", raters=8, faces=6)
    made = [table_of([run], full=True), table_of([wide], full=True), table_of([study])]
    return [*made, table_of([study], preset="seed-table1"), table_of([run], study=study)]


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("columns", [1, 2])
def test_no_table_sticks_out(tables: list[Table], name: str, columns: int, tmp_path: Path) -> None:
    if not Path(shutil.which("kpsewhich") or "").is_file():
        pytest.skip("kpsewhich is not installed")
    wanted = f"{name}.cls" if name in ("IEEEtran", "llncs", "elsarticle") else "article.cls"
    if subprocess.run(["kpsewhich", wanted], capture_output=True, check=False).returncode:
        pytest.skip(f"{wanted} is not installed (Debian: texlive-publishers)")
    floats = []
    for notes in ("short", "full"):
        for style in ("pm", "bracket"):
            floats += [
                t.latex(columns=columns, notes=notes, intervals=style, label=f"tab:{notes}-{style}-{i}")
                for i, t in enumerate(tables)
            ]
    body = "\n\\clearpage\n".join(["Text.", *floats])
    packages = r"\usepackage{booktabs,graphicx,textcomp}"
    tail = r"\bibliographystyle{plain}\bibliography{references}"
    (tmp_path / "references.bib").write_text(tables[0].bibliography())
    (tmp_path / "t.tex").write_text(
        f"{CLASSES[name]}\n{packages}\n\\begin{{document}}\n{body}\n{tail}\n\\end{{document}}\n", encoding="utf-8"
    )
    for program in ("pdflatex", "bibtex", "pdflatex", "pdflatex"):
        options = ["-interaction=nonstopmode", "-halt-on-error", "t.tex"] if program == "pdflatex" else ["t"]
        done = subprocess.run([program, *options], cwd=tmp_path, capture_output=True, timeout=120, check=False)
        assert program == "bibtex" or done.returncode == 0, done.stdout[-2000:].decode("utf-8", "replace")
    log = (tmp_path / "t.log").read_text(errors="replace")
    problems = [line for line in log.splitlines() if line.startswith(("Overfull", "LaTeX Warning: Citation", "Missing character"))]
    assert problems == []
