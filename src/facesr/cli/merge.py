"""Put the shards of a run together.

  facesr run celebahq-x8-128 --shard 1/3 --out s1     (and 2/3, 3/3: on any machine, in any order)
  facesr merge runs/whole s1 s2 s3

Images and scores are taken over as they are; only scores of the whole set (FID, retrieval) are computed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import facesr
from facesr.bench.errors import shown
from facesr.cli.progress import Bar


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("out", type=Path, help="the run folder to make")
    parser.add_argument("shards", type=Path, nargs="+", metavar="SHARD", help="all folders that 'facesr run --shard' wrote")
    parser.add_argument("--workers", type=int, metavar="N", help="processes for the scores of the set; default: one per core")


def main(args: argparse.Namespace) -> int:
    """Merge and say what came of it."""
    with Bar() as bar:
        run = facesr.merge(args.out, args.shards, workers=args.workers, progress=bar).folder
    print(f"{run.info.title}: {len(run.faces)} faces of {len(args.shards)} shards, {len(run.methods)} methods -> {run.path}")
    failures = run.failures()
    for line in failures:
        print(f"  {shown(line)}")
    return 1 if failures else 0
