"""List, fetch, verify and find weight files.

  facesr weights list [--missing]     what is known, where it comes from, whether it is here
  facesr weights fetch NAME ...       download into the cache (addresses and wheels; nothing is run)
  facesr weights verify [NAME ...]    read files again, compare with the catalogue (all that are here, when none is named)
  facesr weights where NAME ...       print the path of each file

FACESR_WEIGHTS names folders (or files) of your own; FACESR_CACHE the cache (~/.cache/facesr).
"""

from __future__ import annotations

import argparse
import sys

from facesr.bench import weights
from facesr.bench.errors import FaceSRError
from facesr.bench.weights.places import defaults


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|fetch|verify|where")
    listing = actions.add_parser("list", help="what is known and whether it is here")
    listing.add_argument("--missing", action="store_true", help="only files that are not here")
    listing.add_argument("--json", action="store_true", help="print JSON")
    for name, help_text, count in (
        ("fetch", "download into the cache", "+"),
        ("verify", "read again and compare with the catalogue", "*"),
        ("where", "print paths", "+"),
    ):
        action = actions.add_parser(name, help=help_text)
        action.add_argument("names", nargs=count, metavar="NAME", help="name or file name, as 'facesr weights list' shows")


def main(args: argparse.Namespace) -> int:
    """0: all done; 1: some file is missing or wrong (each is named)."""
    if args.action == "list":
        return _json(missing=args.missing) if args.json else _list(missing=args.missing)
    names = args.names or [name for name in weights.catalogue() if weights.where(name)]
    act = {"fetch": weights.fetch, "verify": weights.verify_weight, "where": weights.find_weight}[args.action]
    failures = 0
    for name in names:
        try:
            path = act(name)
        except FaceSRError as error:
            failures += 1
            print(f"facesr weights: {error}", file=sys.stderr)
        else:
            print(path if args.action == "where" else f"{name}: {_judged(name)}, {path}")
    if not names:
        print("no weight file is on this machine: 'facesr weights list' shows what can be had")
    return 1 if failures else 0


def _judged(name: str) -> str:
    weight = weights.named(name)
    if weight.sha256:
        return "sha256 agrees" if len(weight.sha256) == 64 else f"sha256 begins {weight.sha256} as published"
    return (
        "size agrees (no sha256 is known)"
        if weight.size
        else "readable (no sha256 is known; its keys are checked when it is loaded)"
    )


def _json(*, missing: bool) -> int:
    import dataclasses
    import json

    entries = []
    for name, weight in weights.catalogue().items():
        here = weights.where(name)
        if not (missing and here):
            entries.append({**dataclasses.asdict(weight), "here": str(here) if here else None})
    print(json.dumps({"default": [str(f) for f in defaults()], "catalogue": entries}, indent=1, ensure_ascii=False, default=str))
    return 0


def _list(*, missing: bool) -> int:
    if not missing:
        print("default weights, which come along and are used unless others are given:")
        for file in defaults():
            print(f"  {file.stem:<24} {file.stat().st_size / 1e6:5.1f} MB  {file}")
        print("\nfiles known by name, with the names that --set METHOD.checkpoint=NAME takes:")
    for name, weight in weights.catalogue().items():
        here = weights.where(name)
        if missing and here:
            continue
        source = {"user": "you give it", "torc": "torchvision's server"}.get(weight.source[:4], weight.source)
        print(f"{name}  [{'here' if here else 'missing'}]")
        print(f"    {weight.file}: {weight.what}")
        print(f"    for {weight.serves}; terms: {weight.terms}")
        print(f"    from {source}{f': {weight.home}' if weight.home else ''}")
        if here:
            print(f"    at {here}")
    return 0
