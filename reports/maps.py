"""Maps of single images: where a restored face differs from HR, where it breaks with the LR it was made from, and what in it LR cannot say."""

from __future__ import annotations

import functools

import numpy as np

from facesr.bench.errors import FaceSRError
from facesr.bench.faces import F64, U8
from facesr.bench.imaging.lowres import LR, unit
from facesr.bench.imaging.resample import matrix

FULL = 64.0
"""A difference of this many of 255 grey levels is drawn brightest."""
GAIN = 8.0
"""By how much D(SR) − LR is enlarged around middle grey."""
NULL_GAIN = 2.0
"""By how much the null-space part is enlarged around middle grey."""
_STOPS = np.array(
    [(0, 34, 77), (53, 69, 108), (102, 105, 112), (148, 142, 119), (196, 182, 104), (254, 232, 56)], dtype=np.float64
)  # dark blue to yellow, rising evenly in lightness: read in grey and by colour-blind readers


@functools.cache
def _ramp() -> U8:
    at = np.linspace(0, len(_STOPS) - 1, 256)
    return np.stack([np.interp(at, range(len(_STOPS)), _STOPS[:, c]) for c in range(3)], -1).round().astype(np.uint8)


def difference(sr: U8, hr: U8) -> F64:
    """Root mean square over RGB of SR − HR at every pixel, (H, W), in grey levels 0 to 255."""
    if sr.shape != hr.shape:
        raise FaceSRError(f"SR is {sr.shape[1]} x {sr.shape[0]} pixels, HR {hr.shape[1]} x {hr.shape[0]}: they have no difference")
    apart: F64 = np.sqrt(np.square(sr.astype(np.float64) - hr).mean(axis=2))
    return apart


def difference_map(sr: U8, hr: U8) -> U8:
    """``difference`` in colours: 0 dark blue, ``FULL`` levels and more yellow. (H, W, 3) uint8."""
    level = np.clip(difference(sr, hr) * (255 / FULL), 0, 255).round().astype(np.uint8)
    return _ramp()[level]


def residual(sr: U8, lr: LR, kernel: str) -> F64:
    """D(SR) − LR, (h, w, 3), in grey levels; D(SR) unrounded. The mean of its square over 255² is ε."""
    rows, columns = matrix(kernel, sr.shape[0], lr.shape[0]), matrix(kernel, sr.shape[1], lr.shape[1])
    again = np.einsum("yh,hwc,xw->yxc", rows, sr.astype(np.float64), columns, optimize=True)
    apart: F64 = again - 255.0 * unit(lr)
    return apart


def residual_map(sr: U8, lr: LR, kernel: str) -> U8:
    """``residual`` around middle grey, enlarged ``GAIN`` times: grey is equal, brighter too bright. (h, w, 3) uint8."""
    return np.clip(np.round(128 + GAIN * residual(sr, lr, kernel)), 0, 255).astype(np.uint8)


@functools.lru_cache(maxsize=16)
def _inverse(kernel: str, size: int, small: int) -> F64:
    """Pseudo-inverse (size, small) of the kernel's matrix."""
    return np.asarray(np.linalg.pinv(matrix(kernel, size, small)), np.float64)


def null_space(image: U8, side: int, kernel: str) -> F64:
    """What of ``image`` (H, W, 3) its LR of ``side`` pixels cannot say: image − D⁺D(image), (H, W, 3), in grey levels, D⁺ the pseudo-inverse.

    D maps it to 0: a method that is consistent with LR invented it, or knows it from elsewhere. What is left, D⁺D(image), follows from LR
    alone up to the consistency residual. Source: range-null space decomposition (Schwab et al. 2019; Wang et al. 2023, DDNM).
    """
    pixels = image.astype(np.float64)
    down, up = matrix(kernel, image.shape[0], side), _inverse(kernel, image.shape[0], side)
    across, back = matrix(kernel, image.shape[1], side), _inverse(kernel, image.shape[1], side)
    said = np.einsum("hy,yk,kwc->hwc", up, down, pixels, optimize=True)
    said = np.einsum("wx,xk,hkc->hwc", back, across, said, optimize=True)
    left: F64 = pixels - said
    return left


def null_space_map(image: U8, side: int, kernel: str) -> U8:
    """``null_space`` around middle grey, enlarged ``NULL_GAIN`` times: grey follows from LR. (H, W, 3) uint8."""
    return np.clip(np.round(128 + NULL_GAIN * null_space(image, side, kernel)), 0, 255).astype(np.uint8)
