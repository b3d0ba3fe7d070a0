"""Make the pictures of the README: ``python docs/figures.py runs/demo runs/sweep``.

``demo.png``: the five methods, from what ``make demo`` leaves. ``psp.png``: pSp at x8, x16 and x32 and three further answers by style
mixing, from ``facesr run demo-sweep-128 --methods bicubic,psp --set psp.samples=3 --set psp.mix_alpha=0.5 --out runs/sweep``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from facesr.bench.faces import U8
from facesr.bench.imaging import read_rgb
from facesr.bench.results import load
from facesr.reports.figures.grid import enlarge, qualitative
from facesr.reports.scores import open_runs

HERE = Path(__file__).parent
SHOWN = ("demo-09", "demo-24", "demo-28", "demo-14")
FACES = ("demo-09", "demo-28", "demo-32", "demo-48")
SCALES = (8, 16, 32)
SIDE, GAP, HEAD = 128, 6, 22


def row(folder: Path, face: str) -> list[tuple[str, U8]]:
    """Names and images (128, 128, 3) of a face: LR and pSp's answer at each scale, HR, three answers mixed from the x8 one."""
    run = load(folder)
    tiles = []
    for scale in SCALES:
        tiles.append((f"LR x{scale}", enlarge(read_rgb(run.lr_path(face, scale)), SIDE)))
        tiles.append((f"pSp x{scale}", read_rgb(run.sr_path("psp", face, scale))))
    tiles.append(("HR", read_rgb(run.hr_path(face))))
    return tiles + [(f"x8, mixed {k + 1}", read_rgb(folder / f"samples/psp/x8/{k}/{face}.png")) for k in range(3)]


def demo(folder: Path) -> None:
    """LR, the five methods and HR."""
    qualitative(open_runs([folder]), SHOWN, metric="st-lpips-alex", name="demo").save(HERE, ("png",))


def sweep(folder: Path) -> None:
    """Lay the rows out on white, names above."""
    rows = [row(folder, face) for face in FACES]
    step = SIDE + GAP
    canvas = np.full((HEAD + len(rows) * step - GAP, len(rows[0]) * step - GAP, 3), 255, np.uint8)
    for i, tiles in enumerate(rows):
        for j, (_, image) in enumerate(tiles):
            canvas[HEAD + i * step : HEAD + i * step + SIDE, j * step : j * step + SIDE] = image
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    for j, (name, _) in enumerate(rows[0]):
        draw.text((j * step + SIDE / 2, HEAD / 2), name, fill=(40, 40, 40), anchor="mm", font=ImageFont.load_default(13))
    picture.save(HERE / "psp.png", optimize=True)


if __name__ == "__main__":
    demo(Path(sys.argv[1]))
    sweep(Path(sys.argv[2]))
