"""Check a run that somebody hands in: files, digest, protocol, every cell's place, and a sample of it computed again.

  facesr verify BUNDLE                          what can be checked without computing
  facesr verify BUNDLE.zip --sample 1%          scores (and images, by methods installed here) of faces drawn at random, computed again
  facesr verify BUNDLE --sample 60 --methods theirs=their_file.py:Theirs --record verification.json

Nothing in the bundle is imported or run; a method or metric that is not installed here is used only if it is named. The sample says what it can find.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import facesr
from facesr.bench.errors import FaceSRError, shown
from facesr.cli.progress import Bar
from facesr.cli.tone import hint


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a run folder, or what 'facesr export' wrote")
    parser.add_argument("--sample", default="", metavar="HOW MANY", help="faces to compute again: 1%%, a number of them, or all")
    parser.add_argument("--seed", type=int, help="draw the faces of an earlier check again; default: one nobody could foresee")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the record as JSON, to keep beside the bundle")
    here(parser)


def here(parser: argparse.ArgumentParser) -> None:
    """What is used on this machine; ``reproduce`` has the same."""
    parser.add_argument("--data", metavar="FOLDER", help="HR images, or a prepared data set, in place of the protocol's")
    parser.add_argument(
        "--methods", default="", help="how methods that are not installed here are run, as in theirs=their_file.py:Theirs"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="METHOD.NAME=VALUE", help="a parameter, such as where a weight file lies"
    )
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")


def main(args: argparse.Namespace) -> int:
    """Check and say what was found."""
    from facesr.bench.imaging.files import write_whole
    from facesr.bench.registry import split_specs

    if args.seed is not None and not args.sample:
        raise FaceSRError("--seed draws a sample: give --sample too")
    with Bar() as bar:
        record = facesr.verify(
            args.bundle,
            args.sample,
            data=args.data,
            methods=split_specs(args.methods),
            settings=args.set,
            seed=args.seed,
            progress=bar,
        )
    if args.record:
        write_whole(args.record, record.as_json())
    if args.json:
        print(record.as_json(), end="")
        return 0 if record.clean else 1
    for finding in record.findings:
        print(shown(f"FOUND: {finding}"))
    print(shown(f"{record.title}: {record.sentence}"))
    if record.seed is not None:
        print(f"  {record.power} Seed {record.seed}.")
    for remark in record.remarks:
        hint(shown(f"  {remark}"))
    return 0 if record.clean else 1
