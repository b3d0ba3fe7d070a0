"""Print the table of a run, of several runs of one digest, or of a study.

facesr table RUN                       means with intervals over faces
facesr table RUN --study STUDY --full  all metrics, MOS and the letters of methods that cannot be told apart
facesr table STUDY                     one MOS per method, and HR
facesr table RUN --format latex --columns 2 --caption "Results" --label tab:main --out results.tex --macros numbers.tex --bib references.bib
facesr table STUDY --preset seed-table1 --format latex
facesr table RUN --preset published    numbers that papers print beside these, and whether they may be compared
facesr table RUN --cost time,memory    what each method took per face
facesr table RUN --by gender           beside every mean the group that is served worst, and its gap to the best
facesr table RUN --samples             several answers to one LR: diversity, spread, range of identity
facesr table RUN --format csv          tidy: method, metric, n, failed, mean, low, high

On a terminal the form is aligned text; in a pipe or a file it is Markdown, or what the ending of --out says.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import facesr
from facesr.bench.errors import FaceSRError
from facesr.cli.options import factor, names

if TYPE_CHECKING:
    from facesr.reports.table import Format, Table

FORMATS = ("text", "md", "latex", "csv", "html", "json")
ENDINGS = {".txt": "text", ".md": "md", ".tex": "latex", ".csv": "csv", ".html": "html", ".htm": "html", ".json": "json"}
LATEX_ONLY = {"columns": None, "label": "", "no_cite": False}
"""Options that shape LaTeX alone, and what they are where they were not given."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="RUN", help="run folders of one digest, or one study folder")
    parser.add_argument("--format", choices=FORMATS, help="default: aligned text on a terminal, else Markdown")
    parser.add_argument("--json", action="store_true", help="the same as --format json")
    parser.add_argument("--out", type=Path, help="write to a file in place of the terminal; its ending chooses the form")
    parser.add_argument("--study", type=Path, help="a MOS study of these methods: adds MOS to the table")
    parser.add_argument(
        "--preset",
        help="a layout by name: seed-table1 is a study's MOS in one row under the methods, HR first; "
        "published puts the numbers that papers print beside a run's own, with a verdict",
    )
    parser.add_argument("--full", action="store_true", help="with the letters of methods that cannot be told apart")
    parser.add_argument("--methods", help="only these, comma-separated, in this order")
    parser.add_argument("--metrics", help="only these, comma-separated, in this order")
    parser.add_argument("--scale", type=factor, action="append", help="only this downscaling factor; may be repeated")
    parser.add_argument("--where", action="append", default=[], metavar="NAME=VALUE", help="only faces with this attribute")
    parser.add_argument(
        "--by", default="", metavar="NAME", help="an attribute: worst group and gap, with intervals, beside every mean"
    )
    parser.add_argument(
        "--samples",
        nargs="?",
        const="",
        metavar="LABELS",
        help="the table of several answers to one LR: of stored samples, or of one method run with several seeds (p0,p1,p2)",
    )
    parser.add_argument("--peek", action="store_true", help="show a study's means before its stopping rule is met; this is logged")
    parser.add_argument("--simulated", action="store_true", help="of a study's simulated raters, for rehearsal; the table says so")
    parser.add_argument("--cost", metavar="A,B", help="time, memory: seconds per face and peak memory of each method as columns")
    look = parser.add_argument_group("how it looks")
    look.add_argument(
        "--intervals", choices=("pm", "bracket", "none"), default="pm", help="22.91 ± 0.12, 22.91 [22.80, 23.03] or none"
    )
    look.add_argument(
        "--notes", choices=("full", "short", "none"), help="footnotes; default: short in text and LaTeX, full elsewhere"
    )
    look.add_argument("--digits", help="decimals: a number for all metrics, or NAME=N,NAME=N")
    look.add_argument("--caption", help="in place of the table's own; plain text")
    paper = parser.add_argument_group("LaTeX")
    paper.add_argument("--columns", type=int, choices=(1, 2), help="fit one column of the page (default), or both (table*)")
    paper.add_argument("--label", default="", help="label of the float (default: tab:scores)")
    paper.add_argument("--no-cite", action="store_true", help="method names without \\cite")
    paper.add_argument(
        "--macros", type=Path, metavar="FILE", help="write every number as a \\newcommand to this file, to \\input in a preamble"
    )
    paper.add_argument("--bib", type=Path, metavar="FILE", help="write the BibTeX entries of the methods to this file")


def main(args: argparse.Namespace) -> int:
    """Build the table and print it; 1 where the table has no number at all."""
    form = _form(args)
    digits = _digits(args.digits)
    from facesr.bench.imaging import write_whole

    table = facesr.table(
        args.paths,
        study=args.study,
        full=args.full,
        methods=names(args.methods),
        metrics=names(args.metrics),
        scales=args.scale,
        where=args.where,
        peek=args.peek,
        simulated=args.simulated,
        preset=args.preset,
        cost=names(args.cost) or (),
        by=args.by,
        samples=None if args.samples is None else names(args.samples) or (),
    )
    table = table.titled(args.caption).with_digits(digits)
    shown = _printed(table, form, args)
    for file, text in ((args.out, shown), (args.macros, table.macros()), (args.bib, table.bibliography())):
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, text)
    if not args.out:
        sys.stdout.write(shown)
    return 0 if any(cell.n for cell in table.cells) else 1


def _printed(table: Table, form: Format, args: argparse.Namespace) -> str:
    if form == "latex":
        return table.latex(
            columns=args.columns or 1,
            label=args.label,
            notes=args.notes or "short",
            intervals=args.intervals,
            cite=not args.no_cite,
        )
    if form == "text" and not args.out and sys.stdout.isatty():
        import os
        import shutil

        color = "NO_COLOR" not in os.environ
        width = shutil.get_terminal_size().columns
        return table.text(intervals=args.intervals, notes=args.notes or "short", width=width, color=color)
    return table.printed(form, intervals=args.intervals, notes=args.notes)


def _form(args: argparse.Namespace) -> Format:
    """The form asked for; every option that would do nothing in it is refused."""
    ending = ENDINGS.get(args.out.suffix.lower()) if args.out else None
    usual = ending or ("text" if not args.out and sys.stdout.isatty() else "md")
    form = args.format or ("json" if args.json else usual)
    problems = [f"--json and --format {args.format}: choose one"] if args.json and form != "json" else []
    unused = [f"--{name.replace('_', '-')}" for name, default in LATEX_ONLY.items() if getattr(args, name) != default]
    if unused and form != "latex":
        problems.append(f"{', '.join(unused)}: for --format latex, and this is {form}")
    if form in ("csv", "json") and (args.notes or args.digits or args.caption is not None or args.intervals != "pm"):
        problems.append(f"--notes, --digits, --caption and --intervals do nothing in {form}, which holds full precision")
    if problems:
        raise FaceSRError("; ".join(problems))
    return cast("Format", form)


def _digits(text: str | None) -> int | dict[str, int] | None:
    """``3`` for all metrics, or ``psnr=2,ssim=3``."""
    if text is None:
        return None
    if text.strip().isdigit():
        return int(text)
    pairs = [part.partition("=") for part in text.split(",")]
    if bad := ["".join(pair) for pair in pairs if not (pair[0].strip() and pair[2].strip().isdigit())]:
        raise FaceSRError(f"--digits {bad[0]!r}: give a number of decimals, or NAME=N as in psnr=2,ssim=3")
    return {name.strip(): int(n) for name, _, n in pairs}
