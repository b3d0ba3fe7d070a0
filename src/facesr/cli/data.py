"""List, prepare and verify faces.

  facesr data list
  facesr data prepare celeba-hq --from CelebA-HQ-img --mapping CelebA-HQ-to-CelebA-mapping.txt --split test
  facesr data prepare london --from originals_with_tem_files
  facesr data prepare mine --from photos --align          finds faces and brings them to the CelebA-HQ frame
  facesr data verify data/celeba-hq-128

Prepared sets go to $FACESR_DATA (default: ./data).
"""

from __future__ import annotations

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="list | prepare | verify")
    verbs.add_parser("list", help="data sets known by name, and what is prepared")
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
    prepare.add_argument("--landmarks", type=Path, metavar="CSV", help="align by these five points: file, x1, y1, ..., x5, y5")
    prepare.add_argument("--out", type=Path, metavar="FOLDER", help="where to, if not to $FACESR_DATA")
    verify = verbs.add_parser("verify", help="find changed, missing, extra and duplicate images")
    verify.add_argument("folder", type=Path)


def main(args: argparse.Namespace) -> int:
    """Do what was asked."""
    return {"list": _list, "prepare": _prepare, "verify": _verify}[args.verb](args)


def _list(args: argparse.Namespace) -> int:
    from facesr.bench.data.dataset import DEMO, MANIFEST, home, read_manifest
    from facesr.bench.data.prepare import KNOWN

    for name, what in KNOWN.items():
        print(f"{name:<10} {what}")
    print(f"\nprepared in {home()} and in the project:")
    for folder in [DEMO, *sorted(p.parent for p in home().glob(f"*/{MANIFEST}"))]:
        if (folder / MANIFEST).is_file():
            manifest = read_manifest(folder)
            total = manifest.get("total", 0)
            whole = sum(v for k, v in total.items() if k != "all") or total.get("all", 0) if isinstance(total, dict) else total
            print(f"  {folder}: {manifest['name']}, {manifest['size']} px, {len(manifest['faces'])} of {whole} faces")
    return 0


def _prepare(args: argparse.Namespace) -> int:
    from facesr.bench.data.prepare import Request, prepare
    from facesr.bench.errors import FaceSRError
    from facesr.bench.imaging.resample import matrix
    from facesr.cli.progress import Bar

    matrix(args.reduce, 16, 8)  # an unknown kernel is told before any work
    if not 8 <= args.size <= 4096:
        raise FaceSRError(f"--size {args.size}: use 8 to 4096 pixels")
    request = Request(
        args.dataset,
        args.source,
        args.size,
        args.reduce,
        args.split,
        args.mapping,
        args.align or args.landmarks is not None,
        args.landmarks,
        args.out,
    )
    with Bar() as bar:
        manifest = prepare(request, bar)
    mine = [r for r in manifest["faces"] if args.split in ("all", r["split"])]
    print(
        f"{len(mine)} of {manifest['total'].get(args.split, manifest['total']['all'])} faces of {args.dataset} in {request.folder}"
    )
    for row in manifest["rejected"][:20]:
        print(f"  rejected {row['source']}: {row['reason']}")
    if len(manifest["rejected"]) > 20:
        print(f"  ... {len(manifest['rejected'])} rejected in all, listed in {request.folder / 'manifest.json'}")
    return 0


def _verify(args: argparse.Namespace) -> int:
    from facesr.bench.data.verify import verify

    verdict = verify(args.folder)
    for line in verdict.lines():
        print(line)
    print(f"{verdict.good} images are what was prepared{'' if verdict.clean else '; the lines above are not'}")
    return 0 if verdict.clean else 1
