"""The arithmetic of SSIM in float64, as matrix products: exact to 1e-12 on any image, at the cost of float32 filtering.

SSIM divides differences of means of squares; in float32 those cancel on bright flat areas. With d = x - y, m = 2 μx μy, e = (μx - μy)² and
r = 2 σxy = 2 blur(xy) - m, both of its factors are free of cancellation and are 1 exactly where the images agree:

    SSIM = (m + C1) / (m + C1 + e) · (r + C2) / (r + C2 + blur(d²) - e)

A Gaussian filter is a product with a banded matrix. Cut into blocks of ``BLOCK`` outputs it is a batch of small dense products, which BLAS
does faster in float64 than a filter routine does: measured, two thirds of the time of ``cv2.sepFilter2D``. Channels are worked on one after the
other: strips are then taller for the same cache, and the rows that neighbours share are fewer (a fifth of the time at 1024 px).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from threading import get_ident
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Planes = NDArray[Any]
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
TAPS = 11
BLOCK = 8
STRIP = 34_000
"""Values of one map worked on at once: what a strip needs stays in the processor's cache."""


@lru_cache(maxsize=1)
def _band() -> tuple[F64, F64]:
    """The filter, Gaussian of 11 taps, σ 1.5, summing to one (Wang 2004), as matrices: (BLOCK, BLOCK + 10) for each of the maps x, xy
    (doubled: that saves a pass) and d²; and (BLOCK + 10, BLOCK)."""
    x = np.arange(TAPS) - TAPS // 2
    window = np.exp(-(x**2) / (2 * 1.5**2))
    window /= window.sum()
    band = np.stack([np.pad(window, (row, BLOCK - 1 - row)) for row in range(BLOCK)])
    return np.stack([band, 2 * band, band])[:, None], np.ascontiguousarray(band.T)


def structure(height: int, width: int) -> Structure:
    """The buffers for planes of a shape, one set per thread; the last few shapes are kept."""
    return _kept(height, width, get_ident())


@lru_cache(maxsize=4)
def _kept(height: int, width: int, thread: int) -> Structure:
    return Structure(height, width)


class Structure:
    """Buffers for the SSIM of planes (H, W), used for every image of that shape: fresh memory would cost more than the arithmetic.

    Filtered maps are held as (blocks of columns, rows, BLOCK); what lies beyond the valid region is set to zero before the sum.
    """

    def __init__(self, height: int, width: int) -> None:
        self.width = width
        border = TAPS - 1
        self.valid = height - border, width - border
        blocks = -(-self.valid[1] // BLOCK)
        wide = blocks * BLOCK + border
        fit = max(1, STRIP // (wide * BLOCK))
        self.rows = BLOCK * min(fit, -(-self.valid[0] // BLOCK))
        tall = self.rows + border
        self.x, self.xy, self.dd = self.maps = np.zeros((3, tall, wide))
        self.y = np.zeros((tall, wide))
        upright = np.empty((3, self.rows, wide))
        self.filtered = np.empty((3, blocks, self.rows, BLOCK))
        self.spare = np.empty(self.filtered.shape[1:])
        a, b = self.maps.strides, upright.strides
        # overlapping views: each block of BLOCK outputs sees its BLOCK + 10 inputs
        self.down = as_strided(self.maps, (3, self.rows // BLOCK, BLOCK + border, wide), (a[0], BLOCK * a[1], *a[1:]))
        self.into = upright.reshape(3, self.rows // BLOCK, BLOCK, wide)
        self.across = as_strided(upright, (3, blocks, self.rows, BLOCK + border), (b[0], BLOCK * b[2], *b[1:]))
        self.beyond = self.valid[1] - (blocks - 1) * BLOCK

    def _strips(self) -> Iterator[tuple[int, int]]:
        """First row of each strip, and how many rows of it are valid."""
        for top in range(0, self.valid[0], self.rows):
            yield top, min(self.rows, self.valid[0] - top)

    def _fill(self, buffer: F64, plane: Planes, top: int, rows: int) -> None:
        high = rows + TAPS - 1
        buffer[:high, : self.width] = plane[top : top + high]
        buffer[high:] = 0

    def _filter(self, maps: slice) -> None:
        band, turned = _band()
        np.matmul(band[maps], self.down[maps], out=self.into[maps])
        np.matmul(self.across[maps], turned, out=self.filtered[maps])

    def means(self, planes: Planes) -> list[list[F64]]:
        """Each of the ``planes`` filtered, strip by strip: what ``mean`` needs of the reference beside itself."""
        return [list(self._means(plane)) for plane in planes]

    def _means(self, plane: Planes) -> Iterator[F64]:
        for top, rows in self._strips():
            self._fill(self.x, plane, top, rows)
            self._filter(slice(0, 1))
            yield self.filtered[0].copy()

    def mean(self, x: Planes, y: Planes, means: list[list[F64]]) -> float:
        """The SSIM of a pair: the mean of the map of ``x`` against ``y``, both (C, H, W) in [0, 255], over valid region and channels."""
        total = sum(self._total(*plane) for plane in zip(x, y, means, strict=True))
        return total / (len(x) * self.valid[0] * self.valid[1])

    def _total(self, x: Planes, y: Planes, means: list[F64]) -> float:
        total = 0.0
        for (top, rows), y_mean in zip(self._strips(), means, strict=True):
            self._fill(self.x, x, top, rows)
            self._fill(self.y, y, top, rows)
            np.subtract(self.x, self.y, out=self.dd)
            np.multiply(self.dd, self.dd, out=self.dd)
            np.multiply(self.x, self.y, out=self.xy)
            self._filter(slice(0, 3))
            m, r, f = self.filtered
            ratio = _ratio(m, r, f, y_mean, self.spare)
            ratio[:, rows:] = 0
            ratio[-1, :, self.beyond :] = 0
            total += float(ratio.sum())
        return total


def _ratio(m: F64, r: F64, f: F64, y_mean: F64, e: F64) -> F64:
    """The SSIM map from blur(x), 2 blur(xy), blur(d²) and blur(y), computed in place; names as in the module's formula."""
    np.subtract(m, y_mean, out=e)
    e *= e
    m *= y_mean
    m *= 2
    r -= m
    r += C2
    f -= e
    m += C1
    e += m
    m *= r
    r += f
    e *= r
    m /= e
    return m
