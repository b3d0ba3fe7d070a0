"""Small things that several tests make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from facesr.bench.data.dataset import DEMO
from facesr.bench.faces import U8
from facesr.bench.imaging import read_rgb, write_png

TINY = """
name = "tiny-x8"
version = 1
description = "made for tests"
[data]
dataset = "nowhere"
split = "all"
size = 64
reduce = "box"
[degradation]
kernel = "bicubic-matlab"
scale = 8
quantize = true
[consistency]
epsilon = 1e-3
[[metric]]
name = "psnr"
[[metric]]
name = "ssim"
[[metric]]
name = "consistency"
[[metric]]
name = "consistency-pass"
[study]
raters = 2
images = 2
anchors = 1
"""


def demo_faces() -> U8:
    """The eight demo faces that are part of the project, (8, 128, 128, 3)."""
    return np.stack([read_rgb(file) for file in sorted((DEMO / "images").glob("*.png"))])


def picture(seed: int, side: int = 64) -> U8:
    """A smooth random picture with detail, (side, side, 3) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    waves = [np.sin(2 * np.pi * (rng.uniform(0.5, 6) * x + rng.uniform(0.5, 6) * y + rng.uniform())) for _ in range(3)]
    image = 128 + 70 * np.stack(waves, -1) + rng.normal(0, 8, (side, side, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def faces(folder: Path, count: int = 5, side: int = 64) -> Path:
    """A folder of random pictures named 000.png and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        write_png(folder / f"{i:03d}.png", picture(i, side))
    return folder


def same(a: Any, b: Any) -> bool:
    """Whether nested tables and lists of tensors are equal, bit by bit."""
    from torch import Tensor, equal

    if isinstance(a, Tensor):
        return equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)
