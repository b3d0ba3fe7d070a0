"""Write the report of a run: one self-contained HTML page, and a paper folder with LaTeX tables and PDF figures.

facesr report RUN                              RUN/report.html and RUN/paper/
facesr report RUN --study STUDY --out FOLDER   with MOS, tests and metrics against people
facesr report RUN --faces 000123,000456 --zoom 40,48,32 --pdf
"""

from __future__ import annotations

import argparse
from pathlib import Path

import facesr
from facesr.bench.errors import FaceSRError
from facesr.cli.options import factor, names


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders of one digest")
    parser.add_argument("--study", type=Path, help="a MOS study of these methods")
    parser.add_argument("--out", type=Path, help="where report.html and paper/ go (default: the first run's folder)")
    parser.add_argument("--methods", help="only these, comma-separated, in this order")
    parser.add_argument("--metrics", help="only these, comma-separated, in this order")
    parser.add_argument("--scale", type=factor, action="append", help="only this downscaling factor; may be repeated")
    parser.add_argument("--where", action="append", default=[], metavar="NAME=VALUE", help="only faces with this attribute")
    parser.add_argument("--faces", help="faces to show besides those chosen by rule, comma-separated")
    parser.add_argument(
        "--count", type=int, default=4, help="faces of each choice: random, best, worst, most disputed (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random choice (default: %(default)s)")
    parser.add_argument(
        "--metric", help="the metric that chooses faces and compares attributes (default: the first perceptual one)"
    )
    parser.add_argument(
        "--zoom", action="append", default=[], metavar="LEFT,TOP,SIDE", help="show this square of HR enlarged, in HR pixels"
    )
    parser.add_argument("--cost", metavar="A,B", help="time, memory: seconds per face and peak memory as columns of the results")
    parser.add_argument("--pdf", action="store_true", help="compile paper/paper.tex with pdflatex")
    parser.add_argument("--peek", action="store_true", help="show a study's means before its stopping rule is met; this is logged")
    parser.add_argument("--simulated", action="store_true", help="of a study's simulated raters, for rehearsal; the report says so")


def main(args: argparse.Namespace) -> int:
    """Gather, write, and say where."""
    from facesr.reports.paper import compile_paper

    made = facesr.report(
        args.runs, args.out or args.runs[0], study=args.study, methods=names(args.methods), metrics=names(args.metrics), scales=args.scale,
        where=args.where, faces=names(args.faces) or (), count=args.count, seed=args.seed, metric=args.metric,
        zooms=[_zoom(text) for text in args.zoom], peek=args.peek, simulated=args.simulated,
        cost=names(args.cost) or (),
    )  # fmt: skip
    print(made.page)
    print(f"{made.paper} ({made.files} files)")
    if args.pdf:
        print(compile_paper(made.paper))
    return 0


def _zoom(text: str) -> tuple[int, int, int]:
    parts = text.split(",")
    if len(parts) != 3 or not all(p.strip().isdigit() for p in parts):
        raise FaceSRError(f"--zoom {text!r}: give left,top,side in pixels of HR, as in 40,48,32")
    left, top, side = map(int, parts)
    return left, top, side
