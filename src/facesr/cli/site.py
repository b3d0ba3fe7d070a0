"""Write a static leaderboard: pages that need no script and no server, of runs, bundles or submissions.

  facesr site runs/a runs/b bundle.zip --out leaderboard
  facesr site submissions/* --out leaderboard --title 'Our challenge'

A submission is a folder with 'bundle' (or 'bundle.zip') and, where it was checked, the 'verification.json' that 'facesr verify --record'
wrote. Runs of different digests (protocol or faces) get tables of their own.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import facesr


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders, bundles, or folders of submissions")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FOLDER", help="where the pages go: a new folder, or an earlier leaderboard"
    )
    parser.add_argument("--title", default="Face super-resolution leaderboard", help="default: %(default)s")


def main(args: argparse.Namespace) -> int:
    """Write the pages and say where."""
    made = facesr.site(args.runs, args.out, title=args.title)
    print(f"{made.index} ({made.boards} table{'s' if made.boards > 1 else ''}, {made.pages} pages)")
    return 0
