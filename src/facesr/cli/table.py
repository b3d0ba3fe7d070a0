"""Print the table of a run, of several runs of one digest, or of a study.

facesr table RUN                       means with intervals over faces, Markdown
facesr table RUN --study STUDY --full  all metrics, MOS and the letters of methods that cannot be told apart
facesr table STUDY                     the paper's Table 1: one MOS a method, and HR
facesr table RUN --format csv          tidy: method, metric, n, failed, mean, low, high
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

FORMATS = ("md", "latex", "csv", "html")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="RUN", help="run folders of one digest, or one study folder")
    parser.add_argument("--format", choices=FORMATS, default="md", help="Markdown (default), LaTeX with booktabs, tidy CSV, HTML")
    parser.add_argument("--study", type=Path, help="a MOS study of these methods: adds MOS to the table")
    parser.add_argument("--full", action="store_true", help="with the letters of methods that cannot be told apart")
    parser.add_argument("--methods", help="only these, comma-separated, in this order")
    parser.add_argument("--metrics", help="only these, comma-separated, in this order")
    parser.add_argument("--scale", type=int, action="append", help="only this downscaling factor; may be repeated")
    parser.add_argument("--where", action="append", default=[], metavar="NAME=VALUE", help="only faces with this attribute")
    parser.add_argument("--intervals", choices=("pm", "ends", "none"), default="pm", help="22.91 ± 0.12, [22.80, 23.03] or none")
    parser.add_argument("--draws", type=int, default=10_000, help="bootstrap draws")
    parser.add_argument("--no-macros", action="store_true", help="LaTeX without the \\newcommand numbers")
    parser.add_argument("--peek", action="store_true", help="show a study's means before its stopping rule is met; this is logged")
    parser.add_argument("--simulated", action="store_true", help="of a study's simulated raters, for rehearsal; the table says so")
    parser.add_argument("--out", type=Path, help="write to a file in place of the terminal")


def main(args: argparse.Namespace) -> int:
    """Build the table and print it; 1 where the table has no number at all."""
    from facesr.reports.choose import print_table, table_of

    table = table_of(
        args.paths,
        study=args.study,
        full=args.full,
        methods=_split(args.methods),
        metrics=_split(args.metrics),
        scales=args.scale,
        attributes=args.where,
        draws=args.draws,
        style=args.intervals,
        peek=args.peek,
        simulated=args.simulated,
    )
    text = print_table(table, args.format, args.intervals, macros=not args.no_macros)
    if args.out:
        from facesr.bench.imaging import write_whole

        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(args.out, text)
    else:
        sys.stdout.write(text)
    return 0 if any(cell.n for cell in table.cells) else 1


def _split(names: str | None) -> list[str] | None:
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]
