"""Compare methods on a protocol's faces.

  facesr run demo-x8-128 --out runs/demo
  facesr run london-x8-128 --methods bicubic,nearest --data FOLDER --out runs/mine
  facesr run celebahq-x8-128 --methods bicubic,psp,mine=folder:their_pngs,theirs=command:their.toml,my.py:Mine --set pulse.steps=200 --out runs/paper

A run can be stopped at any moment; the same command goes on where it was. A later command with other methods adds them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

COMPARED = ("bicubic", "fsrnet", "pix2pixhd", "pulse", "psp", "psp-refined")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("protocol", help="name of a protocol ('facesr protocols' lists them), or a TOML file")
    parser.add_argument(
        "--methods",
        default=",".join(COMPARED),
        help="comma-separated: names, label=folder:PATH, label=command:FILE.toml, my.py:Mine; default: %(default)s",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="METHOD.NAME=VALUE", help="set a parameter of a method; may be repeated"
    )
    common(parser)


def common(parser: argparse.ArgumentParser) -> None:
    """Options that ``run`` and ``score`` share."""
    parser.add_argument(
        "--data", metavar="FOLDER", help="a folder of aligned HR images in place of the protocol's data set (the table says so)"
    )
    parser.add_argument(
        "--metrics", default="", help="comma-separated, in place of the protocol's; conventions as in psnr?border=4"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N faces")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ...; default: %(default)s")
    parser.add_argument("--out", required=True, metavar="RUN", help="the run folder")


def main(args: argparse.Namespace) -> int:
    """Run and say what came of it."""
    return carry_out(args, [m for m in args.methods.split(",") if m.strip()], args.set)


def carry_out(args: argparse.Namespace, methods: Sequence[str], settings: Sequence[str]) -> int:
    """Plan, run, and print one line per method."""
    from facesr.bench import protocol, registry
    from facesr.bench.run import make_plan, start
    from facesr.cli import tone
    from facesr.cli.progress import Bar

    request = make_plan(
        protocol.load(args.protocol, registry.installed("facesr.metrics")),
        registry.method_specs(methods, settings),
        args.out,
        data=args.data,
        metrics=[m for m in args.metrics.split(",") if m.strip()],
        limit=args.limit,
        seed=args.seed,
        device=args.device,
    )
    with Bar() as bar:
        run = start(request, bar)
    print(f"{run.info.title}: {len(run.faces)} of {run.info.data.total} faces, {len(run.methods)} methods -> {run.path}")
    for line in run.failures():
        print(f"  {line}")
    tone.hint(f"'facesr table {run.path}' prints the table, 'facesr report {run.path}' writes the report")
    return 0
