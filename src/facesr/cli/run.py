"""Compare methods on a protocol's faces.

  facesr run demo-x8-128 --out runs/demo
  facesr run london-x8-128 --methods bicubic,nearest --data FOLDER --out runs/mine
  facesr run --lr FOLDER --hr FOLDER --out runs/own         LR images of your own (a published set, camera crops), with HR or without
  facesr run celebahq-x8-128 --methods bicubic,psp,mine=folder:their_pngs,theirs=command:their.toml,my.py:Mine --set pulse.steps=200 --out runs/paper

A run can be stopped at any moment; the same command goes on where it was. A later command with other methods adds them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import facesr
from facesr.bench.errors import FaceSRError, shown
from facesr.bench.registry import parse_value, split_specs
from facesr.cli import tone
from facesr.cli.options import names
from facesr.cli.progress import Bar
from facesr.restoring import ReadyMethod
from facesr.running import COMPARED

LR_NAMES = (
    "how the LR files are named, where not as HR: a suffix (x8 for 0801x8.png), a pattern with {name}, a CSV of face and file"
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("protocol", nargs="?", help="name of a protocol ('facesr protocols' lists them), or a TOML file")
    own = parser.add_argument_group(
        "LR images of your own, in place of degraded HR (without a protocol: bicubic for ε, metrics by what there is)"
    )
    own.add_argument("--lr", metavar="FOLDER", help="square LR faces of one size; HR has the same file names, where there is HR")
    own.add_argument("--lr-names", default="", metavar="RULE", help=LR_NAMES)
    own.add_argument("--hr", metavar="FOLDER", help="HR images of the same names, aligned as LR is (another name for --data)")
    own.add_argument("--references", metavar="FOLDER", help="without HR: photos of the same people, for identity-…-detected")
    own.add_argument("--size", type=int, metavar="N", help="side of the answers without a protocol; default: 128")
    parser.add_argument(
        "--methods",
        default=",".join(COMPARED),
        help="comma-separated: names, label=folder:PATH, label=command:FILE.toml, my.py:Mine; default: %(default)s",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="METHOD.NAME=VALUE", help="set a parameter of a method; may be repeated"
    )
    parser.add_argument("--seed", type=int, default=0, help="of methods that draw; default: %(default)s")
    common(parser)


def common(parser: argparse.ArgumentParser) -> None:
    """Options that ``run`` and ``score`` share."""
    parser.add_argument(
        "--data", metavar="FOLDER", help="a folder of aligned HR images in place of the protocol's data set (the table says so)"
    )
    parser.add_argument(
        "--metrics", default="", help="comma-separated, in place of the protocol's; conventions as in psnr?border=4"
    )
    parser.add_argument(
        "--attributes", metavar="CSV", help="attributes of the faces: the first column names them, as in image,gender,person"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N faces")
    parser.add_argument("--device", default="cpu", help="cpu, cuda (every GPU), cuda:1, cuda:0,1; default: %(default)s")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes; default: one per core (as memory allows), or per GPU; any number gives the same bytes",
    )
    parser.add_argument(
        "--on", choices=("ray", "slurm"), help="a Ray cluster (RAY_ADDRESS, or a local one), or SLURM jobs by submitit"
    )
    parser.add_argument(
        "--slurm",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the jobs, as in timeout_min=600; may be repeated",
    )
    parser.add_argument(
        "--cache",
        default="",
        metavar="PLACE",
        help="a store shared with others: s3://bucket/prefix, gs://, az:// or a folder; credentials from the environment",
    )
    parser.add_argument(
        "--shard", default="", metavar="I/N", help="only this part of the faces, as in 3/16; 'facesr merge' puts them together"
    )
    parser.add_argument("--out", required=True, metavar="RUN", help="the run folder")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="only say what would be done: cells due and reused, time and disk; nothing is computed, downloaded or written",
    )


def main(args: argparse.Namespace) -> int:
    """Run and say what came of it."""
    if args.hr and args.data:
        raise FaceSRError("--hr and --data both name the HR folder: give one")
    own = {"lr": args.lr, "lr_names": args.lr_names, "references": args.references, "size": args.size}
    return run_and_print(args, split_specs(args.methods), data=args.hr or args.data, settings=args.set, seed=args.seed, **own)


def run_and_print(args: argparse.Namespace, methods: Sequence[str | ReadyMethod], **options: Any) -> int:
    """Run (or only say what a run would do) and print what came of it. ``options``: further ones of ``facesr.run``."""
    if wrong := [text for text in args.slurm if "=" not in text]:
        raise FaceSRError(f"--slurm {wrong[0]}: write it as NAME=VALUE")
    options |= {name: getattr(args, name) for name in ("attributes", "limit", "shard", "device", "workers", "on")}
    options["slurm"] = {name: parse_value(value) for name, _, value in (text.partition("=") for text in args.slurm)}
    options["metrics"] = names(args.metrics) or ()
    if args.dry_run:
        for line in facesr.forecast(args.protocol, methods, args.out, **options).lines:
            print(shown(line))
        return 0
    with Bar() as bar:
        made = facesr.run(args.protocol, methods, args.out, cache=args.cache or None, progress=bar, say=bar.say, **options)
    run, failures = made.folder, made.folder.failures()
    print(f"{run.info.title}: {len(run.faces)} of {run.info.data.total} faces, {len(run.methods)} methods -> {run.path}")
    for line in [*made.remarks, *failures]:
        print(f"  {shown(line)}")
    tone.hint(f"'facesr table {run.path}' prints the table, 'facesr report {run.path}' writes the report")
    return 1 if failures else 0
