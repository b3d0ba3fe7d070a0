"""List, prepare, verify and pack faces.

  facesr data list
  facesr data prepare celeba-hq --from CelebA-HQ-img --mapping CelebA-HQ-to-CelebA-mapping.txt --split test
  facesr data prepare london --from originals_with_tem_files
  facesr data prepare mine --from photos --align          finds faces and brings them to the CelebA-HQ frame
  facesr data verify data/celeba-hq-128
  facesr data pack aligned --out portraits.zip            small and lossy, to train on another machine

Prepared sets go to $FACESR_DATA (default: ./data).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from facesr.bench.errors import FaceSRError, shown
from facesr.cli.progress import Bar

SHOWN = 20
"""Lines of each kind printed; the manifest has all."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="list | prepare | verify | pack")
    listing = verbs.add_parser("list", help="data sets known by name, and what is prepared")
    prepare = verbs.add_parser("prepare", help="align, reduce and hash a data set")
    prepare.add_argument("dataset", help="celeba-hq, ffhq, london, or a name for a folder of yours")
    prepare.add_argument(
        "--from", dest="source", type=Path, required=True, metavar="FOLDER", help="a folder, a .zip or a .parquet file"
    )
    prepare.add_argument("--size", type=int, default=128, help="side in pixels; default: %(default)s")
    prepare.add_argument("--reduce", default="box", help="filter from the source's size; default: %(default)s")
    prepare.add_argument("--split", default="all", help="celeba-hq: train, val, test or all; default: %(default)s")
    prepare.add_argument("--mapping", type=Path, metavar="FILE", help="CelebA-HQ-to-CelebA-mapping.txt")
    prepare.add_argument(
        "--align", action="store_true", help="find the largest face of each photo and bring it to the CelebA-HQ frame"
    )
    prepare.add_argument("--column", default="", help="parquet: the image column, where a shard has several")
    prepare.add_argument("--landmarks", type=Path, metavar="CSV", help="align by these five points: file, x1, y1, ..., x5, y5")
    prepare.add_argument("--out", type=Path, metavar="FOLDER", help="where to, if not to $FACESR_DATA")
    verify = verbs.add_parser("verify", help="find changed, missing, extra and duplicate images")
    verify.add_argument("folder", type=Path)
    packing = verbs.add_parser("pack", help="aligned faces in one small file for 'facesr train --data'")
    packing.add_argument("source", type=Path, metavar="FOLDER", help="a folder, a .zip or a .parquet file of aligned faces")
    packing.add_argument("--out", type=Path, required=True, metavar="FILE.zip", help="the file to write")
    packing.add_argument("--size", type=int, default=128, help="side in pixels; default: %(default)s")
    packing.add_argument("--quality", type=int, default=92, help="of WebP, 1 to 100; default: %(default)s")
    for verb in (listing, verify):
        verb.add_argument("--json", action="store_true", help="print JSON")


def main(args: argparse.Namespace) -> int:
    """Do what was asked."""
    return {"list": _list, "prepare": _prepare, "verify": _verify, "pack": _pack}[args.verb](args)


def _list(args: argparse.Namespace) -> int:
    from facesr.bench.data import manifest
    from facesr.bench.data.dataset import DEMO, home
    from facesr.bench.data.prepare import KNOWN

    prepared = []
    for folder in [DEMO, *sorted(p.parent for p in home().glob(f"*/{manifest.MANIFEST}"))]:
        found = manifest.read_manifest(folder)
        splits = found.total if isinstance(found.total, dict) else {}
        whole = sum(n for split, n in splits.items() if split != "all") or found.count("all")
        prepared.append({"name": found.name, "folder": str(folder), "size": found.size, "faces": len(found.faces), "total": whole})
    if args.json:
        print(json.dumps({"known": KNOWN, "prepared": prepared}, indent=1, ensure_ascii=False, default=dict))
        return 0
    for name, what in KNOWN.items():
        print(f"{name:<10} {what}")
    print(f"\nprepared in {home()} and in the project; 'facesr run PROTOCOL --data NAME' measures on one:")
    for one in prepared:
        print(f"  {one['name']}: {one['size']} px, {one['faces']} of {one['total']} faces, {one['folder']}")
    return 0


def _prepare(args: argparse.Namespace) -> int:
    from facesr.bench.data.prepare import Request, prepare_data
    from facesr.bench.diagnosis import counted
    from facesr.bench.imaging.resample import matrix

    matrix(args.reduce, 16, 8)  # an unknown kernel is reported before any work
    if not 8 <= args.size <= 4096:
        raise FaceSRError(f"--size {args.size}: use 8 to 4096 pixels")
    request = Request(
        args.dataset,
        args.source,
        size=args.size,
        reduce=args.reduce,
        split=args.split,
        mapping=args.mapping,
        align=args.align,
        landmarks=args.landmarks,
        out=args.out,
        column=args.column,
    )
    with Bar() as bar:
        made = prepare_data(request, bar)
    mine = made.of(args.split)
    print(f"{len(mine)} of {made.count(args.split)} faces of {args.dataset} in {request.folder}")
    for note in made.notes:
        print(f"  note: {note}")
    for note in counted(row.note for row in mine)[:SHOWN]:
        print(f"  {shown(note)}")
    for lost in made.rejected[:SHOWN]:
        print(f"  rejected {shown(lost.source)}: {shown(lost.reason)}")
    noted = sum(bool(row.note) for row in mine)
    if noted or len(made.rejected) > SHOWN:
        print(f"  {len(made.rejected)} rejected, {noted} with a note; all are listed in {request.folder / 'manifest.json'}")
    for split, count in made.not_asked.items():
        print(f"  {count} images of the {split} split were not asked for")
    return 0


def _verify(args: argparse.Namespace) -> int:
    from facesr.bench.data.verify import verify_data

    verdict = verify_data(args.folder)
    if args.json:
        print(json.dumps({"clean": verdict.clean, **asdict(verdict)}, indent=1, ensure_ascii=False, default=list))
        return 0 if verdict.clean else 1
    for line in verdict.lines():
        print(line)
    print(f"{verdict.good} images are what was prepared{'' if verdict.clean else '; the lines above are not'}")
    return 0 if verdict.clean else 1


def _pack(args: argparse.Namespace) -> int:
    from facesr.bench.data.pack import pack

    wrong = [] if 8 <= args.size <= 4096 else [f"--size {args.size}: use 8 to 4096 pixels"]
    wrong += [] if 1 <= args.quality <= 100 else [f"--quality {args.quality}: use 1 to 100"]
    if wrong:
        raise FaceSRError("; ".join(wrong))
    made = pack(args.source, args.out, args.size, args.quality)
    print(f"{made.faces} faces of {args.size} pixels, {made.bytes / 1e6:.2f} MB, in {made.path}")
    for name, reason in made.left_out[:SHOWN]:
        print(f"  left out {shown(name)}: {shown(reason)}")
    if len(made.left_out) > SHOWN:
        print(f"  {len(made.left_out)} are left out in all")
    return 1 if made.left_out else 0
