"""Run a published bundle again, whole, and compare every image and every score: bytes first, then a tolerance for other machines.

  facesr reproduce paper-bundle.zip                                    a verdict per method
  facesr reproduce BUNDLE --data FOLDER --out runs/again --json
  facesr reproduce BUNDLE --methods theirs=their_file.py:Theirs --set psp.weights=FILE

Methods that are installed here are run; others only if they are named: nothing in the bundle is imported or run. Weights are found by their
sha256.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import facesr
from facesr.bench.errors import shown
from facesr.cli.progress import Bar
from facesr.cli.tone import hint
from facesr.cli.verify import here


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a run folder, or what 'facesr export' wrote")
    parser.add_argument("--out", type=Path, metavar="RUN", help="keep the new run here")
    parser.add_argument("--device", default="cpu", help="default: %(default)s")
    parser.add_argument("--workers", type=int, metavar="N", help="processes; default: one per core")
    here(parser)


def main(args: argparse.Namespace) -> int:
    """Run, compare, and say what came of it."""
    from facesr.bench.registry import split_specs

    with Bar() as bar:
        found = facesr.reproduce(
            args.bundle, args.out, data=args.data, methods=split_specs(args.methods), settings=args.set, device=args.device,
            workers=args.workers, progress=bar,
        )  # fmt: skip
    if args.json:
        print(found.as_json(), end="")
        return 0 if found.reproduced else 1
    for finding in found.findings:
        print(shown(f"FOUND: {finding}"))
    for method in found.methods:
        print(shown(str(method)))
    print(shown(f"{found.title}: {'reproduced' if found.reproduced else 'not reproduced, or not all of it'}"))
    for remark in found.remarks:
        hint(shown(f"  {remark}"))
    return 0 if found.reproduced else 1
