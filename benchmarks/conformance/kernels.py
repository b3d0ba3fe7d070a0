"""Resampling kernels beside the programs whose numbers their names promise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.conformance import Check, Section
from benchmarks.conformance.data import demo, texture
from benchmarks.fidelity import basicsr
from facesr.bench.faces import F64, U8
from facesr.bench.imaging import resize

DATA = "a demo face and generated pictures of 16 to 131 px"
Peer = Callable[[U8, int, int], F64]


def images() -> list[U8]:
    """One face, flat bright, tiny, odd sizes."""
    return [demo()[0], np.full((32, 32, 3), 254, np.uint8), texture(16, 16, 1), texture(97, 129, 2), texture(131, 75, 3)]


def sizes(image: U8) -> list[tuple[int, int]]:
    """Smaller and larger, at fractions too."""
    h, w = image.shape[:2]
    return [(max(1, h // 8), max(1, w // 8)), (h // 2, w // 3), (h - 1, w - 1), (h * 2, w * 2), (h + 5, w * 3)]


def ours(image: U8, height: int, width: int, kernel: str, scale: float | None = None) -> F64:
    """Resized by this project, (H, W, 3) in 0..255, float64."""
    import torch

    x = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float64))[None]
    out: F64 = resize(x, (height, width), kernel, scale)[0].numpy().transpose(1, 2, 0)
    return out


def pillow(filter_: str) -> Peer:
    """Pillow, plane by plane in float32."""

    def peer(image: U8, height: int, width: int) -> F64:
        way = Image.Resampling[filter_]
        planes = [Image.fromarray(image[..., c].astype(np.float32)).resize((width, height), way) for c in range(3)]
        return np.stack([np.asarray(plane, dtype=np.float64) for plane in planes], -1)

    return peer


def torch_bicubic(image: U8, height: int, width: int) -> F64:
    """torch's antialiased bicubic in float64."""
    import torch

    x = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float64))[None]
    options: Any = {"mode": "bicubic", "antialias": True, "align_corners": False}
    out: F64 = torch.nn.functional.interpolate(x, size=(height, width), **options)[0].numpy().transpose(1, 2, 0)
    return out


def opencv_area(image: U8, height: int, width: int) -> F64:
    """OpenCV's INTER_AREA."""
    import cv2

    return cv2.resize(image.astype(np.float64), (width, height), interpolation=cv2.INTER_AREA)


def torch_nearest(image: U8, height: int, width: int) -> F64:
    """torch's nearest-exact."""
    import torch

    x = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32))[None]
    out: F64 = torch.nn.functional.interpolate(x, size=(height, width), mode="nearest-exact")[0].numpy().transpose(1, 2, 0)
    return out.astype(np.float64)


def kernel_apart(kernel: str, peer: Peer, *, which: Callable[[U8, int, int], bool] = lambda image, h, w: True) -> float:
    """The largest difference of a pixel, in grey levels."""
    worst = 0.0
    for image in images():
        for height, width in sizes(image):
            if which(image, height, width):
                worst = max(worst, float(np.abs(ours(image, height, width, kernel) - peer(image, height, width)).max()))
    return worst


def imresize_apart(antialiasing: bool) -> float:
    """BasicSR's imresize at factors, of float64 pictures."""
    basicsr()
    from basicsr.utils.matlab_functions import imresize

    worst = 0.0
    for image in images():
        for scale in (1 / 8, 1 / 4, 1 / 2, 1 / 3, 0.7, 1.5, 2, 4) if antialiasing else (1.5, 2, 4):
            theirs = imresize(image.astype(np.float64), scale, antialiasing)
            kernel = "bicubic-matlab" if antialiasing else "bicubic-matlab-noaa"
            mine = ours(image, theirs.shape[0], theirs.shape[1], kernel, scale)
            worst = max(worst, float(np.abs(mine - theirs).max()))
    return worst


def shrinks(image: U8, height: int, width: int) -> bool:
    """Both sides smaller."""
    return height < image.shape[0] and width < image.shape[1]


def whole(image: U8, height: int, width: int) -> bool:
    """Both sides smaller by whole factors."""
    return image.shape[0] % height == 0 and image.shape[1] % width == 0


def sections() -> list[Section]:
    """In grey levels of 255."""
    checks = [
        Check("`bicubic-matlab`", "basicsr", "`imresize` at 1/8 to 4, float32 inside", DATA, 2e-3, partial(imresize_apart, True)),
        Check("`bicubic-matlab-noaa`", "basicsr", "`imresize`, antialiasing=False, at 1.5 to 4", DATA, 2e-3, partial(imresize_apart, False)),
        Check("`bicubic-pillow`", "pillow", "`BICUBIC`, float32", DATA, 1e-3, partial(kernel_apart, "bicubic-pillow", pillow("BICUBIC"))),
        Check("`bilinear-pillow`", "pillow", "`BILINEAR`, float32", DATA, 1e-3, partial(kernel_apart, "bilinear-pillow", pillow("BILINEAR"))),
        Check("`bicubic-pillow`", "torch", "`interpolate`, bicubic, antialias, float64; shrinking", DATA, 1e-9,
              partial(kernel_apart, "bicubic-pillow", torch_bicubic, which=shrinks)),
        Check("`box`", "pillow", "`BOX`, float32, whole factors", DATA, 1e-3, partial(kernel_apart, "box", pillow("BOX"), which=whole)),
        Check("`box`", "opencv-python-headless", "`INTER_AREA`; shrinking", DATA, 1e-3, partial(kernel_apart, "box", opencv_area, which=shrinks)),
        Check("`nearest`", "torch", "`interpolate`, nearest-exact", DATA, 0, partial(kernel_apart, "nearest", torch_nearest)),
        Check("`nearest`", "pillow", "`NEAREST`, whole factors", DATA, 0, partial(kernel_apart, "nearest", pillow("NEAREST"), which=whole)),
    ]  # fmt: skip
    return [Section("Resampling kernels", checks, "Differences in grey levels of 255.")]
