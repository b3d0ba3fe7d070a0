"""Write a finished run as a bundle to publish: a run folder of its own that anyone can read, verify and reproduce.

  facesr export runs/paper --out paper-bundle.zip --rocrate --license CC-BY-4.0 --author 'A. Name'
  facesr export runs/paper --out bundle --hr --every-eval-ever

In it: run.json, every cell (cells.sqlite, scores.parquet, scores.csv), LR and SR images, a README with the table, SHA256SUMS. No folder of
this machine is named in it. HR images are left out unless --hr is given: mind their licence.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import facesr
from facesr.bench.errors import FaceSRError
from facesr.cli.tone import hint


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="BUNDLE", help="a folder that is not there yet, or a file ending in .zip"
    )
    parser.add_argument("--hr", action="store_true", help="with the HR images")
    parser.add_argument(
        "--rocrate", action="store_true", help="with ro-crate-metadata.json (RO-Crate 1.1), for Zenodo and the like"
    )
    parser.add_argument("--every-eval-ever", action="store_true", help="with the means in the shared schema of evaluation results")
    parser.add_argument(
        "--license", default="", metavar="NAME", help="of the bundle: an SPDX name such as CC-BY-4.0, or an address"
    )
    parser.add_argument("--author", action="append", default=[], metavar="NAME", help="who publishes it; may be repeated")
    parser.add_argument("--organization", default="", metavar="NAME", help="theirs")


def main(args: argparse.Namespace) -> int:
    """Export and say what is in it and what is not."""
    if (args.license or args.author or args.organization) and not (args.rocrate or args.every_eval_ever or args.license):
        raise FaceSRError("--author and --organization are written into the metadata: give --rocrate or --every-eval-ever too")
    made = facesr.load(args.run).export(
        args.out, hr=args.hr, rocrate=args.rocrate, every_eval_ever=args.every_eval_ever, licence=args.license, authors=args.author,
        organization=args.organization,
    )  # fmt: skip
    print(f"{made.path} ({made.files:,} files)")
    for remark in made.remarks:
        hint(f"  {remark}")
    return 0
