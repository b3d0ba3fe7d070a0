"""Intervals of many means at once: a whole table from one set of resamples (numpy alone)."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facesr.bench.stats.intervals import F64, Interval, _chunks, _tail, _weights


def mean_intervals(table: ArrayLike, level: float = 0.95, draws: int = 10_000, seed: int = 0) -> list[Interval]:
    """Mean of every column of ``table`` (n, columns) and its percentile bootstrap interval over rows; NaN marks a missing value.

    The same as ``mean_interval`` column by column, up to the draws, but all columns share each resample of rows: matrix products
    in place of a loop, and the differences between columns stay paired. Infinite values give an infinite mean without interval.
    A draw with none of a column's values is left out of that column. Columns of nothing but 0 and 1 are shares and get Wilson's
    interval: resampling a perfect rate would give one of no width. Raises ``FaceSRError`` on a bad level.
    Source: Efron & Tibshirani 1993, chapter 13.
    """
    low, high = _tail(level)
    x = np.asarray(table, dtype=np.float64)
    columns = x.shape[1]
    seen = ~np.isnan(x)
    n = seen.sum(axis=0)
    sums = np.where(seen, x, 0.0)
    means = np.divide(sums.sum(axis=0), n, out=np.full(columns, np.nan), where=n > 0)
    usable = np.isfinite(means) & (n > 1)
    ends = np.full((2, columns), np.nan)
    if usable.any():
        ends[:, usable] = np.nanquantile(_drawn(sums[:, usable], seen[:, usable], draws, seed), (low, high), axis=0)
    for i in np.flatnonzero(usable & (np.isin(x, (0.0, 1.0)) | ~seen).all(axis=0)):
        ends[:, i] = share_interval(int(sums[:, i].sum()), int(n[i]), level)
    return [Interval(float(m), float(a), float(b), int(k)) for m, a, b, k in zip(means, ends[0], ends[1], n, strict=True)]


def share_interval(good: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share, ``good`` of ``n``. Source: Wilson 1927; Brown, Cai & DasGupta 2001 recommend it for small n."""
    z = NormalDist().inv_cdf(_tail(level)[1])
    if n < 1:
        return np.nan, np.nan
    p, shrink = good / n, 1 + z**2 / n
    middle, half = (p + z**2 / (2 * n)) / shrink, z / shrink * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _drawn(sums: F64, seen: NDArray[np.bool_], draws: int, seed: int) -> F64:
    """Resampled means, (draws, columns); columns that miss the same rows share their divisor."""
    rows = len(sums)
    patterns, which = np.unique(seen, axis=1, return_inverse=True)
    rng = np.random.default_rng(seed)
    parts = []
    for k in _chunks(draws, rows):
        weights = _weights(rng, k, rows)
        divisors = (weights @ patterns.astype(np.float64))[:, which.ravel()]
        parts.append(np.divide(weights @ sums, divisors, out=np.full((k, sums.shape[1]), np.nan), where=divisors > 0))
    return np.concatenate(parts)
