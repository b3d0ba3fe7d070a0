"""The ``paper/`` folder: tables and numbers in LaTeX, figures in PDF, and a small document that puts them together and compiles."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from facesr.bench.errors import FaceSRError
from facesr.bench.imaging.files import make_folder, write_whole
from facesr.reports import notes
from facesr.reports.figures import Drawing
from facesr.reports.gather import Report, save_figures
from facesr.reports.latex import latex_command, tex
from facesr.reports.references import bibliography, printed
from facesr.reports.table import Table

HEAD = r"""\documentclass[10pt,a4paper]{article}
% latexmk -pdf paper, or: pdflatex paper, bibtex paper, pdflatex paper twice. Everything here is generated: copy the sentences,
% tables and figures you need, and \input{numbers} so that no number in your text is typed by hand.
\usepackage[T1]{fontenc}
\usepackage{textcomp}
\usepackage{lmodern}
\usepackage[margin=22mm]{geometry}
\usepackage{booktabs}
\usepackage{graphicx}
\usepackage{microtype}
\usepackage[font=small,labelfont=bf]{caption}
\captionsetup[table]{position=top}
\setlength{\tabcolsep}{4pt}
\setcounter{topnumber}{4}\setcounter{totalnumber}{6}
\renewcommand{\topfraction}{.95}\renewcommand{\textfraction}{.05}\renewcommand{\floatpagefraction}{.75}
\input{numbers}
"""


def write_paper(report: Report, folder: Path, kinds: Sequence[str] = ("pdf", "svg", "png")) -> list[Path]:
    """Write ``paper.tex``, ``numbers.tex``, ``references.bib``, ``table-*.tex``, ``figures/*``. Returns the files, ``paper.tex`` first."""
    for place in (folder, folder / "figures"):
        make_folder(folder.parent, place)
    files = save_figures(report, folder / "figures", kinds)
    for table in report.tables:
        files.append(folder / f"table-{table.name}.tex")
        write_whole(files[-1], table.latex(columns=2))
    for name, text in (("numbers.tex", numbers(report)), ("references.bib", bibliography(cited(report)))):
        files.append(folder / name)
        write_whole(files[-1], text)
    main = folder / "paper.tex"
    write_whole(main, document(report))
    return [main, *files]


def numbers(report: Report) -> str:
    """``\\newcommand`` for every number of every table, each under its own prefix, and the counts a text mentions."""
    scores = report.scores
    counts = {"Faces": len(scores.faces), "Methods": len(scores.methods)}
    if report.mos:
        found = report.mos.analysis
        counts |= {"Raters": len(found.cube.raters), "RatedFaces": len(found.cube.faces), "Ratings": found.ratings}
    lines = [f"\\newcommand{{\\facesr{name}}}{{{count:,}}}" for name, count in counts.items()]
    lines.append(f"\\newcommand{{\\facesrDigest}}{{{scores.digest[:12]}}}")
    prefixes = {"scores": "sr", "mos": "tableone", "mos-full": "mos", "metrics-mos": "people"}
    return "\n".join(lines) + "\n" + "".join(t.macros(prefixes.get(t.name, t.name)) for t in report.tables if t.cells)


def cited(report: Report) -> list[str]:
    """The BibTeX keys of the methods in view, each once."""
    return list(dict.fromkeys(key for method in report.scores.methods if (key := report.scores.cite(method))))


def _figure(drawing: Drawing, width: str, said: Sequence[str]) -> str:
    return "\n".join(
        [
            r"\begin{figure}[!htb]",
            r"\centering",
            rf"\includegraphics[width={width},height=.82\textheight,keepaspectratio]{{figures/{drawing.name}.pdf}}",
            rf"\caption{{{' '.join([f'{tex(drawing.title)}. {tex(drawing.alt)}.', *map(tex, said)])}}}",
            rf"\label{{fig:{drawing.name}}}",
            r"\end{figure}",
        ]
    )


def _references(tables: Sequence[Table], drawings: Sequence[Drawing]) -> str:
    """The sentence that leads to a section's floats."""
    parts = [rf"Table~\ref{{tab:{t.name}}}" for t in tables] + [rf"Figure~\ref{{fig:{d.name}}}" for d in drawings]
    return f"See {', '.join(parts)}." if parts else ""


def document(report: Report) -> str:
    """``paper.tex``: a section a part of the report, the warnings first."""
    date = next((str(c.finished)[:10] for c in reversed(report.scores.runs[0].info.calls) if c.finished), "")
    lines = [
        HEAD,
        rf"\title{{{tex(report.title)}}}",
        r"\author{}",
        rf"\date{{{tex(date)}}}",
        r"\begin{document}",
        r"\maketitle",
    ]
    lines += ["\\noindent " + " ".join([_opening(report), *claims(report)]), ""]
    if report.warnings:
        lines += [r"\paragraph{Before you quote a number.}", r"\begin{itemize}\setlength{\itemsep}{0pt}"]
        lines += [rf"\item {tex(sentence)}" for sentence in report.warnings]
        lines.append(r"\end{itemize}")
    for section in report.sections:
        drawings = [*section.drawings, *(g.drawing for g in section.galleries)]
        lines += [rf"\section{{{tex(section.title)}}}", _references(section.tables, drawings), *(tex(w) for w in section.words), ""]
        lines += [rf"\input{{table-{table.name}}}" for table in section.tables]
        lines += [_figure(d, _width(d), notes.declared(report.scores)) for d in drawings]
        lines.append(r"\clearpage" if section is not report.sections[-1] else "")
    if cited(report):
        lines += [r"\bibliographystyle{plain}", r"\bibliography{references}"]
    return "\n".join([*lines, r"\end{document}", ""])


def _opening(report: Report) -> str:
    """What was compared on what, in a sentence."""
    names = [
        tex(printed(m, key)) + (rf"~\cite{{{key}}}" if key else "")
        for m in report.scores.methods
        for key in (report.scores.cite(m),)
    ]
    return rf"We compare {_listed(names)} on \facesrFaces{{}} faces ({tex(report.subtitle)}; digest \texttt{{\facesrDigest}})."


def claims(report: Report) -> list[str]:
    """A sentence per metric: who has the best mean, and from whom it cannot be told apart. A tie is called a tie."""
    table = next((t for t in report.tables if t.name == "scores"), None)
    if table is None or len(table.groups) > 1:
        return []
    table, found = table.alive(), []
    for i, column in enumerate(table.columns):
        cells = [(row, cell) for row in table.rows if (cell := row.cells[i]) is not None]
        best = [(row, cell) for row, cell in cells if cell.rank == 1]
        if not best or column.higher_is_better is None:
            continue
        name = ("highest" if column.higher_is_better else "lowest") + " mean " + tex(column.label)
        value = latex_command("sr", best[0][1].method, best[0][1].metric) + "{}" + (f"~{tex(column.unit)}" if column.unit else "")
        if len(best) > 1:
            found.append(f"{_listed([tex(row.label) for row, _ in best])} tie for the {name}, {value}.")
            continue
        winner, top = best[0]
        same = [tex(row.label) for row, cell in cells if row is not winner and set(cell.letters) & set(top.letters)]
        if same:
            found.append(f"{tex(winner.label)} has the {name}, {value}, but cannot be told apart from {_listed(same)}.")
        elif top.letters:
            found.append(f"{tex(winner.label)} has the {name}, {value}, and differs from every other method ({TEST}).")
        else:
            found.append(f"{tex(winner.label)} has the {name}, {value}; no test of the differences was made.")
    return found


TEST = "paired Wilcoxon test over faces, Holm, $p < .05$"


def _listed(names: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _width(drawing: Drawing) -> str:
    """Its own width, at most the text's: a figure is never blown up."""
    inches = float(drawing.figure.get_figwidth())
    return r"\linewidth" if inches > 6.4 else f"{inches:.2f}in"


def compile_paper(folder: Path) -> Path:
    """Run pdflatex and bibtex on ``paper.tex``; raises one sentence with the first error where it fails or is not installed."""
    if shutil.which("pdflatex") is None:
        raise FaceSRError("pdflatex is not installed: the .tex files are written, compile them where LaTeX is")
    for program in ("pdflatex", "bibtex", "pdflatex", "pdflatex"):
        if program == "bibtex" and not ((folder / "references.bib").exists() and shutil.which(program)):
            continue
        options = (
            ["-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"] if program == "pdflatex" else ["paper"]
        )
        done = subprocess.run([program, *options], cwd=folder, capture_output=True, timeout=300, check=False)
        if program == "pdflatex" and done.returncode:
            log = done.stdout.decode("utf-8", "replace").splitlines()
            first = next((line for line in log if line.startswith("!")), "no message")
            raise FaceSRError(f"pdflatex failed on {folder / 'paper.tex'}: {first}")
    return folder / "paper.pdf"
