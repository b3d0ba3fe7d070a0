"""Score finished images: against a folder of HR images, or as a method of a protocol's comparison. Images are paired by file name.

facesr score their_pngs --hr hr_pngs --metrics psnr,ssim          any square size, no protocol; prints the means
facesr score their_pngs --hr hr_pngs --lr lr_pngs --metrics consistency --out cells.csv
facesr score their_pngs --protocol london-x8-128 --data FOLDER --out runs/theirs     a run folder, with tables and report
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import facesr
from facesr.bench.errors import FaceSRError, shown, some
from facesr.bench.imaging import write_whole
from facesr.cli.options import names
from facesr.cli.progress import Bar
from facesr.cli.run import LR_NAMES, common, run_and_print
from facesr.scoring import DEFAULT

if TYPE_CHECKING:
    from facesr.scoring import FolderScores

OF_A_RUN: dict[str, object] = {
    "attributes": None,
    "data": None, "limit": None, "dry_run": False, "device": "cpu", "label": None, "workers": None, "shard": "", "on": None, "slurm": [], "cache": "",
}  # fmt: skip
"""Options that mean nothing without a protocol, with their defaults."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("folder", help="finished images, 8-bit RGB; with a protocol, of its size or a larger square")
    against = parser.add_mutually_exclusive_group(required=True)
    against.add_argument("--hr", metavar="FOLDER", help="HR images of the same names and sizes")
    against.add_argument("--protocol", help="name of a protocol, or a TOML file")
    parser.add_argument("--lr", metavar="FOLDER", help="LR images of the same names, for metrics that need them; with --hr only")
    parser.add_argument("--lr-names", default="", metavar="RULE", help=LR_NAMES)
    parser.add_argument("--suffix", default="", help="what the images' names have after the face's: _sr for 000123_sr.png")
    parser.add_argument(
        "--pattern", default="", help="how the images are named, with {name} for the face and * for what varies: {name}_*.png"
    )
    parser.add_argument(
        "--pairs", default="", metavar="CSV", help="a table of two columns: the face's name, its image in the folder"
    )
    parser.add_argument("--label", help="name of the method in tables; default: the folder's name; with --protocol only")
    parser.add_argument("--json", action="store_true", help="print means, intervals and failures as JSON; with --hr only")
    common(parser)
    for action in parser._actions:
        if action.dest == "out":
            action.required, action.help = False, "the run folder (with --protocol), or a CSV file of all cells (with --hr)"


def main(args: argparse.Namespace) -> int:
    """Score the folder."""
    rule = {name: value for name in ("suffix", "pattern", "pairs") if (value := getattr(args, name))}
    if args.hr:
        return _against_folder(args, rule)
    if not args.out:
        raise FaceSRError("--out is missing: name the run folder")
    if args.json:
        raise FaceSRError("--json goes with --hr: with a protocol, 'facesr table RUN --json' prints the run's table")
    if args.lr or args.lr_names:
        raise FaceSRError("--lr goes with --hr: a protocol makes its own LR images")
    return run_and_print(args, [facesr.method(f"folder:{args.folder}", label=args.label or "", **rule)], data=args.data)


def _against_folder(args: argparse.Namespace, rule: dict[str, str]) -> int:
    if given := [f"--{name}" for name, default in OF_A_RUN.items() if getattr(args, name) != default]:
        raise FaceSRError(f"{', '.join(given)} cannot be used with --hr: give --protocol in its place")
    with Bar() as bar:
        found = facesr.score(
            args.folder,
            args.hr,
            names(args.metrics) or DEFAULT,
            lr=args.lr,
            lr_names=args.lr_names,
            **rule,
            progress=lambda done, total: bar("images", done, total),
        )
    if args.out:
        write_whole(Path(args.out), found.frame.to_csv(index=False))
    if args.json:
        print(_as_json(found))
        return 0 if (found.frame["status"] == "ok").all() else 1
    print(found.table().to_string(float_format="{:.4f}".format))
    causes = found.frame[found.frame["status"] != "ok"].groupby("reason")["image"]
    for reason, images in causes:
        print(f"{images.nunique()} without a score: {shown(str(reason))} ({shown(some(sorted(set(images))))})")
    if found.unused:
        print(f"{len(found.unused)} images belong to no face: {shown(some(found.unused))}")
    for remark in found.remarks:
        print(shown(remark))
    if args.out:
        print(f"cells -> {args.out}")
    return 0 if (found.frame["status"] == "ok").all() else 1


def _as_json(found: FolderScores) -> str:
    """The table, and every image without a score, for programs."""
    lost = found.frame.loc[found.frame["status"] != "ok", ["image", "metric", "status", "reason"]]
    rows = json.loads(found.table().reset_index().to_json(orient="records", double_precision=15))
    said = {
        "scores": rows,
        "failed": lost.astype(str).to_dict("records"),
        "unused": list(found.unused),
        "remarks": list(found.remarks),
    }
    return json.dumps(said, indent=1, ensure_ascii=False)
