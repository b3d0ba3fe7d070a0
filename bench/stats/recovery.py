"""Scores with rater bias and inconsistency taken out: P.913 12.4 bias removal, P.910 Annex E maximum likelihood.

Tables are (stimuli, raters), NaN where a rater did not rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from facesr.bench.stats.intervals import F64


def table_means(table: F64, axis: int) -> F64:
    """Means along an axis without NaN; NaN where nothing was rated."""
    seen = np.isfinite(table)
    n = seen.sum(axis=axis)
    means: F64 = np.divide(np.where(seen, table, 0.0).sum(axis=axis), n, out=np.full(n.shape, np.nan), where=n > 0)
    return means


def table_sd(table: F64, axis: int, ddof: int) -> F64:
    """Standard deviations along an axis without NaN; NaN where n <= ddof."""
    seen = np.isfinite(table)
    n = seen.sum(axis=axis)
    e = np.where(seen, table - np.expand_dims(table_means(table, axis), axis), 0.0)
    total = (e**2).sum(axis=axis)
    sd: F64 = np.sqrt(np.divide(total, n - ddof, out=np.full(n.shape, np.nan), where=n > ddof))
    return sd


@dataclass(frozen=True)
class BiasRemoved:
    """``scores``: the table with each rater's bias subtracted; ``bias`` (raters,), positive for a generous rater."""

    scores: F64
    bias: F64


def remove_bias(table: ArrayLike) -> BiasRemoved:
    """Subtract each rater's mean distance from the stimuli's MOS; MOS stay as they are where every rater rated everything.

    Source: ITU-T P.913 (06/2021) 12.4.
    """
    x = np.asarray(table, dtype=np.float64)
    bias = table_means(x - table_means(x, 1)[:, None], 0)
    return BiasRemoved(x - np.nan_to_num(bias), bias)


@dataclass(frozen=True)
class Recovered:
    """Maximum-likelihood quality of stimuli (J,), and bias and inconsistency (a standard deviation) of raters (I,).

    ``se``: standard error of each quality from the residuals of its stimulus; ``se_raters``: from the raters' weights alone.
    """

    quality: F64
    bias: F64
    inconsistency: F64
    se: F64
    se_raters: F64
    iterations: int


def recover(table: ArrayLike, tolerance: float = 1e-8, most: int = 1000) -> Recovered:
    """Score = quality + bias of the rater + noise of the rater's own size, by alternating projection.

    ``table`` is (stimuli, raters) or, where stimuli were shown repeatedly, (stimuli, raters, repetitions). Noisy raters weigh less
    instead of being rejected; a rater who fits perfectly gets a variance of 1e-8. Biases average zero over raters.
    Source: ITU-T P.910 (10/2023) Annex E = P.913 12.6; Li & Bampis 2017; Li et al. 2020; constants as in the ITU's demo program.
    """
    x = np.asarray(table, dtype=np.float64)
    x = x[:, :, None] if x.ndim == 2 else x
    seen = np.isfinite(x)
    counts = seen.sum(axis=(1, 2))
    rated = counts > 0
    shown = seen.sum(axis=2)
    quality = _spread_mean(x, (1, 2))
    bias = _spread_mean(x - quality[:, None, None], (0, 2))
    variance, count = np.zeros(x.shape[1]), 0
    for count in range(1, most + 1):  # noqa: B007 - the last count is reported
        before = quality
        variance = _variances(x - quality[:, None, None] - np.nan_to_num(bias)[:, None], (0, 2))
        weight = 1 / (np.nan_to_num(variance, nan=1.0) + 1e-8)
        total = (np.where(seen, x - np.nan_to_num(bias)[:, None], 0.0) * weight[:, None]).sum(axis=(1, 2))
        quality = np.divide(total, shown @ weight, out=np.full(len(x), np.nan), where=rated)
        bias = _spread_mean(x - quality[:, None, None], (0, 2))
        if np.sqrt(((quality - before)[rated] ** 2).sum()) < tolerance:
            break
    residual = x - quality[:, None, None] - bias[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        se = np.sqrt(_variances(residual, (1, 2)) / counts)
        se_raters = np.where(rated, 1 / np.sqrt(shown @ (1 / (np.nan_to_num(variance, nan=1.0) + 1e-8))), np.nan)
    shift = float(np.nanmean(bias))
    return Recovered(quality + shift, bias - shift, np.sqrt(variance), se, se_raters, count)


def _spread_mean(x: F64, axes: tuple[int, int]) -> F64:
    seen = np.isfinite(x)
    n = seen.sum(axis=axes)
    mean: F64 = np.divide(np.where(seen, x, 0.0).sum(axis=axes), n, out=np.full(n.shape, np.nan), where=n > 0)
    return mean


def _variances(x: F64, axes: tuple[int, int]) -> F64:
    """Population variances about the mean over two axes, without NaN."""
    mean = _spread_mean(x, axes)
    return _spread_mean((x - np.expand_dims(mean, axes)) ** 2, axes)
