"""The one resampler: every kernel is a matrix of weights, so all of them are exact, differentiable and work at any scale.

An output row is ``W @ column``; ``W`` (out, in) depends on sizes and kernel only and is cached. Names say whose numbers they give:

- ``bicubic-matlab``       MATLAB ``imresize``: a = -0.5, antialiased when shrinking, symmetric border (= BasicSR ``imresize``)
- ``bicubic-matlab-noaa``  the same with ``'Antialiasing', false``
- ``bicubic-pulse``        PULSE's and pSp's ``BicubicDownSample``: 4f taps, reflecting border; integer factors only, shrinking only
- ``bicubic-pillow``, ``bilinear-pillow``  Pillow's filters: antialiased, window cut at the border and renormalised; the first is also
                           ``torch.nn.functional.interpolate(mode='bicubic', antialias=True)``, which has Pillow's window
- ``box``                  area average (shrinking), nearest (growing)
- ``nearest``              the source pixel under the centre of the target pixel (Pillow's NEAREST, torch's nearest-exact)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from facesr.bench.errors import FaceSRError, suggest

if TYPE_CHECKING:
    from torch import Tensor

F64 = NDArray[np.float64]


def _cubic(x: F64) -> F64:
    """Keys' cubic convolution kernel with a = -0.5 (Keys 1981, eq. 15)."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    values: F64 = np.where(x <= 1, near, np.where(x < 2, far, 0.0))
    return values


def _triangle(x: F64) -> F64:
    values: F64 = np.maximum(0.0, 1 - np.abs(x))
    return values


def _fold(taps: NDArray[np.int64], n: int, border: str) -> NDArray[np.int64]:
    """Index of the source pixel a tap outside the image stands for: ``symmetric`` (edge doubled) or ``reflect`` (edge once)."""
    if border == "symmetric":
        period = taps % (2 * n)
        return np.where(period < n, period, 2 * n - 1 - period)
    if n == 1:
        return np.zeros_like(taps)
    period = taps % (2 * n - 2)
    return np.where(period < n, period, 2 * n - 2 - period)


def _gather(taps: NDArray[np.int64], weights: F64, n: int, border: str) -> F64:
    weights = weights / weights.sum(1, keepdims=True)
    matrix = np.zeros((len(taps), n))
    np.add.at(matrix, (np.arange(len(taps))[:, None], _fold(taps, n, border)), weights)
    return matrix


def _matlab(n_in: int, n_out: int, scale: float, antialias: bool = True) -> F64:
    stretch = scale if antialias and scale < 1 else 1.0
    width = 4 / stretch
    centre = (np.arange(1, n_out + 1)) / scale + 0.5 * (1 - 1 / scale)
    left = np.floor(centre - width / 2)
    taps = left[:, None] + np.arange(math.ceil(width) + 2)
    return _gather(taps.astype(np.int64) - 1, stretch * _cubic((centre[:, None] - taps) * stretch), n_in, "symmetric")


def _pulse(n_in: int, n_out: int, scale: float) -> F64:
    factor = n_in // n_out
    if factor * n_out != n_in:
        raise FaceSRError(f"bicubic-pulse shrinks by integer factors only, not {n_in} -> {n_out}: use bicubic-matlab")
    offsets = np.arange(4 * factor)
    weights = _cubic((offsets - 2 * factor + 0.5) / factor)
    taps = np.arange(n_out)[:, None] * factor + offsets - (4 * factor - factor) // 2
    return _gather(taps, np.broadcast_to(weights, taps.shape), n_in, "reflect")


def _window(kernel: Callable[[F64], F64], support: float) -> Callable[[int, int, float], F64]:
    """Pillow's resampling (Resample.c): the window is cut at the image's border and what is left sums to one."""

    def build(n_in: int, n_out: int, scale: float) -> F64:
        ratio = n_in / n_out
        stretch = max(ratio, 1.0)
        matrix = np.zeros((n_out, n_in))
        for row in range(n_out):
            centre = (row + 0.5) * ratio
            low = max(0, int(centre - support * stretch + 0.5))
            high = min(n_in, int(centre + support * stretch + 0.5))
            weights = kernel((np.arange(low, high, dtype=np.float64) - centre + 0.5) / stretch)
            matrix[row, low:high] = weights / weights.sum()
        return matrix

    return build


def _box(n_in: int, n_out: int, scale: float) -> F64:
    if n_out >= n_in:
        return _nearest(n_in, n_out, scale)
    edges = np.arange(n_out + 1) * (n_in / n_out)
    pixels = np.arange(n_in)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    matrix: F64 = np.clip(overlap, 0, None) * (n_out / n_in)
    return matrix


def _nearest(n_in: int, n_out: int, scale: float) -> F64:
    matrix = np.zeros((n_out, n_in))
    matrix[np.arange(n_out), np.minimum(((np.arange(n_out) + 0.5) * (n_in / n_out)).astype(int), n_in - 1)] = 1
    return matrix


KERNELS: dict[str, Callable[[int, int, float], F64]] = {
    "bicubic-matlab": _matlab,
    "bicubic-matlab-noaa": lambda n_in, n_out, scale: _matlab(n_in, n_out, scale, antialias=False),
    "bicubic-pulse": _pulse,
    "bicubic-pillow": _window(_cubic, 2.0),
    "bilinear-pillow": _window(_triangle, 1.0),
    "box": _box,
    "nearest": _nearest,
}


@lru_cache(maxsize=256)
def matrix(kernel: str, n_in: int, n_out: int, scale: float | None = None) -> F64:
    """The weights (n_out, n_in) of a named kernel; read-only. ``scale`` is n_out / n_in unless MATLAB's ceil makes it differ."""
    if kernel not in KERNELS:
        raise FaceSRError(f"no resampling kernel {kernel!r}: {suggest(kernel, KERNELS)}")
    if n_in < 1 or n_out < 1:
        raise FaceSRError(f"cannot resize {n_in} pixels to {n_out}: sizes start at 1")
    if n_in == n_out and scale in (None, 1.0) and kernel != "bicubic-pulse":
        weights = np.eye(n_in)
    else:
        weights = KERNELS[kernel](n_in, n_out, n_out / n_in if scale is None else scale)
    weights.setflags(write=False)
    return weights


@lru_cache(maxsize=128)
def _tensor_matrix(kernel: str, n_in: int, n_out: int, scale: float | None, dtype: str, device: str) -> Tensor:
    import torch

    return torch.tensor(matrix(kernel, n_in, n_out, scale), dtype=getattr(torch, dtype), device=device)


def resize(x: Tensor, size: int | tuple[int, int], kernel: str, scale: float | None = None) -> Tensor:
    """Resize ``x`` (..., H, W), any float type, to ``size`` (side, or height and width). Differentiable; not clipped, not rounded.

    ``bicubic-pulse`` at factor 1 shifts by half a pixel, as the published operator does; every other kernel is the identity there.
    """
    height, width = (size, size) if isinstance(size, int) else size
    kind, device = str(x.dtype).removeprefix("torch."), str(x.device)
    rows = _tensor_matrix(kernel, x.shape[-2], height, scale, kind, device)
    columns = _tensor_matrix(kernel, x.shape[-1], width, scale, kind, device)
    # the cheaper dimension first: the product is the same
    return (rows @ x) @ columns.T if height <= x.shape[-2] else rows @ (x @ columns.T)


def resize8(image: NDArray[np.uint8], size: int | tuple[int, int], kernel: str) -> NDArray[np.uint8]:
    """Resize 8-bit images (..., H, W, C) with one rounding at the end (half up) and clipping to 0..255; computed in float32."""
    height, width = (size, size) if isinstance(size, int) else size
    if image.shape[-3:-1] == (height, width) and kernel != "bicubic-pulse":
        return image
    rows = matrix(kernel, image.shape[-3], height).astype(np.float32)
    columns = matrix(kernel, image.shape[-2], width).astype(np.float32)
    lead, (n, m, c) = image.shape[:-3], image.shape[-3:]
    flat = rows @ image.reshape(-1, n, m * c).astype(np.float32)  # (B, h, m·c)
    wide = columns @ flat.reshape(-1, height, m, c)  # (B, h, w, c)
    rounded: NDArray[np.uint8] = np.clip(np.floor(wide + 0.5), 0, 255).astype(np.uint8)
    return rounded.reshape(*lead, height, width, c)
