"""Score a folder of finished images against a protocol's faces; images are paired by file name.

facesr score their_pngs --protocol london-x8-128 --data FOLDER --out runs/theirs
"""

from __future__ import annotations

import argparse

from facesr.cli.run import carry_out, common


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("folder", help="finished images, 8-bit RGB, of the protocol's size or a larger square")
    parser.add_argument("--protocol", required=True, help="name of a protocol, or a TOML file")
    parser.add_argument("--label", help="name of the method in tables; default: the folder's name")
    common(parser)


def main(args: argparse.Namespace) -> int:
    """Score the folder."""
    label = f"{args.label}=" if args.label else ""
    return carry_out(args, [f"{label}folder:{args.folder}"], [])
