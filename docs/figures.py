"""Make the pictures of README and docs: ``python docs/figures.py demo runs/demo``, ``sweep runs/sweep``, ``london runs/london [runs/pulse]``,
``training pix2pixhd runs/first runs/pix2pixhd``, ``training psp runs/psp``.

``demo.png``: the methods, from what ``make demo`` leaves. ``london.png``: all of them on 16 faces of the Face Research Lab London Set, from a
run of those (or several of the same faces, where one method takes much longer).
``training-NAME.png``: the validations of a training folder, or of the parts of one training. ``psp.png``: pSp at x8, x16 and x32 and
three further answers by style mixing, from ``facesr run demo-sweep-128 --methods bicubic,psp --set psp.samples=3 --set psp.mix_alpha=0.5
--out runs/sweep``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from facesr.bench.faces import U8
from facesr.bench.imaging import read_rgb
from facesr.bench.results import load_run
from facesr.reports.figures.grid import qualitative, repeat_pixels
from facesr.reports.scores import open_runs

HERE = Path(__file__).parent
SHOWN = ("demo-09", "demo-24", "demo-28", "demo-14")
FACES = ("demo-09", "demo-28", "demo-32", "demo-48")
SCALES = (8, 16, 32)
SIDE, GAP, HEAD = 128, 6, 22


def row(folder: Path, face: str) -> list[tuple[str, U8]]:
    """Names and images (128, 128, 3) of a face: LR and pSp's answer at each scale, HR, three answers mixed from the x8 one."""
    run = load_run(folder)
    tiles = []
    for scale in SCALES:
        tiles.append((f"LR x{scale}", repeat_pixels(read_rgb(run.lr_path(face, scale)), SIDE)))
        tiles.append((f"pSp x{scale}", read_rgb(run.sr_path("psp", face, scale))))
    tiles.append(("HR", read_rgb(run.hr_path(face))))
    return tiles + [(f"x8, mixed {k + 1}", read_rgb(folder / f"samples/psp/x8/{k}/{face}.png")) for k in range(3)]


def demo(folder: Path) -> None:
    """LR, the methods and HR."""
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


METHODS = {
    "bicubic": "bicubic",
    "fsrnet": "FSRNet",
    "pix2pixhd": "pix2pixHD",
    "pulse": "PULSE",
    "psp": "pSp",
    "psp-refined": "pSp refined",
}


def london(*folders: Path) -> None:
    """Rows of two faces: LR, the methods (each from the first run that has it), HR, and the same again."""
    runs = [load_run(folder) for folder in folders]
    run, names = runs[0], [face.name for face in runs[0].faces]
    of = {m: r for r in reversed(runs) for m in METHODS if m in r.methods and r.sr_path(m, names[-1], 8).is_file()}
    shown = [method for method in METHODS if method in of]
    titles = ["LR", *(METHODS[method] for method in shown), "HR"]
    step, across = SIDE + GAP, len(titles)
    height = HEAD + (len(names) + 1) // 2 * step - GAP
    canvas = np.full((height, 2 * across * step + GAP, 3), 255, np.uint8)
    for i, name in enumerate(names):
        tiles = [repeat_pixels(read_rgb(run.lr_path(name, 8)), SIDE), *(read_rgb(of[m].sr_path(m, name, 8)) for m in shown)]
        for j, image in enumerate([*tiles, read_rgb(run.hr_path(name))]):
            top, left = HEAD + i // 2 * step, (i % 2) * (across * step + 2 * GAP) + j * step
            canvas[top : top + SIDE, left : left + SIDE] = image
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    for half in range(2):
        for j, words in enumerate(titles):
            left = half * (across * step + 2 * GAP) + j * step + SIDE / 2
            draw.text((left, HEAD / 2), words, fill=(40, 40, 40), anchor="mm", font=ImageFont.load_default(13))
    picture.save(HERE / "london.png", optimize=True)


CURVES = {
    "pix2pixhd": {"psnr": "PSNR-Y (dB)", "lpips": "ST-LPIPS (VGG16)"},
    "psp": {"cosine": "identity (MobileFaceNet)", "lpips": "LPIPS (SqueezeNet)"},
}
"""What of a validation is drawn."""


def training(name: Path, *folders: Path) -> None:
    """Two scores of the validation faces, by faces seen; of a training in parts one line each, one after the other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.4), layout="constrained")
    plots = figure.subplots(1, 2)
    before = 0.0
    for folder, shade in zip(folders, ("#94a3b8", "#c05621", "#2b6cb0", "#2f855a")[-len(folders) :], strict=True):
        rows = [json.loads(line) for line in (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]
        reached = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        seen = [before + row["step"] * reached["faces_seen"] / reached["step"] / 1000 for row in rows]
        for plot, key in zip(plots, CURVES[name.name], strict=True):
            plot.plot(seen, [row[key] for row in rows], marker="o", markersize=3, color=shade)
        before += reached["faces_seen"] / 1000
    for plot, (key, label) in zip(plots, CURVES[name.name].items(), strict=True):
        plot.set(xlabel="thousand faces seen", ylabel=label)
        if key == "lpips":
            plot.set_ylim(0, 1.1 * plot.dataLim.ymax)
    figure.savefig(HERE / f"training-{name}.png", dpi=120)


if __name__ == "__main__":
    {"demo": demo, "sweep": sweep, "london": london, "training": training}[sys.argv[1]](*map(Path, sys.argv[2:]))
