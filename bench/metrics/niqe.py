"""NIQE (Mittal, Soundararajan and Bovik 2013): how far an image's local statistics are from those of pristine photographs.

Follows BasicSR's ``calculate_niqe`` (Apache-2.0), which follows the authors' MATLAB: Y of BT.601 rounded, 96-pixel blocks without
overlap, two scales; equal to it within 1e-4. All blocks of an image are fitted at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from facesr.bench.errors import FaceSRError
from facesr.bench.faces import F64, U8, Batch
from facesr.bench.imaging.color import luma
from facesr.bench.metrics.base import Metric, NoScore
from facesr.bench.results.status import Status

BLOCK, LEAST = 96, 16
PARAMETERS = Path(__file__).parent / "niqe_pris_params.npz"
SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))


def niqe(image: U8, block: int = BLOCK) -> float:
    """NIQE of one image (H, W, 3), uint8 RGB; lower is more natural. NaN where fewer than two blocks have any texture.

    ``block``: side of the blocks in pixels, even; 96 as published.
    """
    held = _parameters()
    y = luma(image)[..., 0].round()
    rows, columns = y.shape[0] // block, y.shape[1] // block
    y = y[: rows * block, : columns * block]
    features = []
    for scale in (1, 2):
        if scale == 2:
            y = _halved(y)
        side = block // scale
        blocks = _normalised(y, held["gaussian_window"]).reshape(rows, side, columns, side).transpose(2, 0, 1, 3)
        features.append(_block_features(blocks.reshape(-1, side, side)))
    return _distance(np.concatenate(features, axis=1), held["mu_pris_param"], held["cov_pris_param"])


@cache
def _parameters() -> dict[str, F64]:
    with np.load(PARAMETERS) as held:
        return {name: held[name] for name in held.files}


def _normalised(y: Any, window: F64) -> Any:
    """Mean-subtracted, contrast-normalised luma, equation 1."""
    from scipy.ndimage import convolve

    mean = convolve(y, window, mode="nearest")
    deviation = np.sqrt(np.abs(convolve(np.square(y), window, mode="nearest") - np.square(mean)))
    return (y - mean) / (deviation + 1)


HALF = (-3, -9, 29, 111, 111, 29, -9, -3)
"""MATLAB's antialiased bicubic at one half: taps in 256ths, over three pixels of symmetric border."""


def _halved(y: Any) -> Any:
    """``y`` (H, W) float32 at half the size, by the matrix-vector products of BasicSR's ``imresize``.

    In flat regions the statistics hang on the last bit: any other order of the same sums moves NIQE by up to 2e-4.
    """
    import torch

    weights = torch.tensor(HALF, dtype=torch.float32) / 256
    x = torch.from_numpy(np.pad(y / np.float32(255), ((3, 3), (0, 0)), "symmetric"))
    rows = torch.stack([x[i : i + 8].T.mv(weights) for i in range(0, y.shape[0], 2)])
    x = torch.from_numpy(np.pad(rows.numpy(), ((0, 0), (3, 3)), "symmetric"))
    columns = torch.stack([x[:, i : i + 8].mv(weights) for i in range(0, y.shape[1], 2)], dim=1)
    return columns.numpy() * np.float32(255)


@cache
def _grid() -> tuple[F64, F64]:
    """Candidate shapes alpha, and the ratio that each of them would show (rising)."""
    from scipy.special import gamma

    alpha = np.arange(0.2, 10.001, 0.001)
    return alpha, np.square(gamma(2 / alpha)) / (gamma(1 / alpha) * gamma(3 / alpha))


def _aggd(x: Any) -> tuple[F64, F64, F64]:
    """Shape and the two scales of an asymmetric generalised Gaussian for each block (N, h, w), by moments, equation 7."""
    from scipy.special import gamma

    flat = x.reshape(len(x), -1)
    squares = np.square(flat)
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.sqrt(np.where(flat < 0, squares, 0).sum(axis=1) / (flat < 0).sum(axis=1))
        right = np.sqrt(np.where(flat > 0, squares, 0).sum(axis=1) / (flat > 0).sum(axis=1))
        skew = left / right
        ratio = np.abs(flat).mean(axis=1) ** 2 / squares.mean(axis=1)
        wanted = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    grid, ratios = _grid()
    above = np.clip(np.searchsorted(ratios, np.nan_to_num(wanted, nan=0.0)), 1, len(grid) - 1)
    nearest = above - (np.abs(ratios[above - 1] - wanted) <= np.abs(ratios[above] - wanted))
    alpha = grid[np.where(np.isnan(wanted), 0, nearest)]
    spread = np.sqrt(gamma(1 / alpha) / gamma(3 / alpha))
    return alpha, left * spread, right * spread


def _block_features(blocks: Any) -> F64:
    """18 numbers a block: the fit of the pixels, and of their products with neighbours in four directions."""
    from scipy.special import gamma

    alpha, left, right = _aggd(blocks)
    found = [alpha, (left + right) / 2]
    for shift in SHIFTS:
        alpha, left, right = _aggd(blocks * np.roll(blocks, shift, axis=(1, 2)))
        found += [alpha, (right - left) * (gamma(2 / alpha) / gamma(1 / alpha)), left, right]
    return np.stack(found, axis=1).astype(np.float64)


def _distance(features: F64, mean: F64, covariance: F64) -> float:
    """Equation 10: between the Gaussian of these blocks (blocks, 36) and the pristine one."""
    whole = features[~np.isnan(features).any(axis=1)]
    if len(whole) < 2:
        return float("nan")
    off = mean.ravel() - np.nanmean(features, axis=0)
    joint = np.linalg.pinv((covariance + np.cov(whole, rowvar=False)) / 2)
    return float(np.sqrt(off @ joint @ off))


class NIQE(Metric):
    """NIQE of SR alone; HR plays no part. ``block``: side of its blocks; smaller ones than the published 96 serve small images."""

    name, higher_is_better, digits, range = "niqe", False, 2, (0.0, float("inf"))
    compares_with = "nothing"
    source = "BasicSR calculate_niqe (equal within 1e-4 with 96-pixel blocks)"

    def __init__(self, *, block: int = BLOCK) -> None:
        if block < LEAST or block % 2:
            raise FaceSRError(f"NIQE's block {block} is not an even number of pixels from {LEAST} on")
        self.block = block
        self.label = "NIQE" if block == BLOCK else f"NIQE (blocks of {block})"
        own = "" if block == BLOCK else "; not comparable with NIQE of 96-pixel blocks, which the parameters were fitted on"
        self.conventions = f"no reference; Y of BT.601 rounded, {block}-pixel blocks, BasicSR's parameters{own}"

    def skip(self, size: int) -> str | None:
        if size < 2 * self.block:
            serves = size // 4 * 2
            other = f" (niqe?block={serves} would serve them, with other numbers)" if serves >= LEAST else ""
            return (
                f"NIQE compares the covariance of {self.block}-pixel blocks: images need at least {2 * self.block} pixels a side, "
                f"these have {size}{other}"
            )
        return None

    def score(self, sr: U8, batch: Batch, reference: Any) -> Sequence[float | NoScore]:
        return [self._told(niqe(image, self.block)) for image in sr]

    def _told(self, value: float) -> float | NoScore:
        reason = f"NIQE is not defined: fewer than two {self.block}-pixel blocks have texture"
        return value if np.isfinite(value) else NoScore(Status.FAILED, reason)
