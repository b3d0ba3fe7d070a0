"""Intervals of many means at once, and of shares."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.intervals import Interval, _tail, constant, mean_ends


def mean_intervals(table: ArrayLike, level: float = 0.95, shares: Sequence[bool] | None = None) -> list[Interval]:
    """Mean of every column of ``table`` (n, columns) and its interval over rows; NaN marks a missing value.

    The same as ``mean_interval`` column by column. Infinite values give an infinite mean without interval, values all alike an interval
    of no width. ``shares`` (columns,): which columns are rates of 0 and 1 by declaration; they get Wilson's interval, which has a
    width even for a perfect rate. Raises ``FaceSRError`` on a bad level or a declared rate that holds other values.
    """
    _tail(level)
    x = np.asarray(table, dtype=np.float64)
    columns = x.shape[1]
    seen = ~np.isnan(x)
    n = seen.sum(axis=0)
    sums = np.where(seen, x, 0.0)
    means = np.divide(sums.sum(axis=0), n, out=np.full(columns, np.nan), where=n > 0)
    rates = np.zeros(columns, dtype=bool) if shares is None else np.asarray(shares, dtype=bool)
    usable = np.isfinite(means) & (n > 1) & ~rates
    ends = np.full((2, columns), np.nan)
    alike = usable.copy()
    alike[usable] = constant(x[:, usable]) if usable.any() else False
    ends[:, alike], usable = means[alike], usable & ~alike
    if usable.any():
        ends[:, usable] = mean_ends(x[:, usable], level)
    for i in np.flatnonzero(rates & (n > 0)):
        if not np.isin(sums[:, i], (0.0, 1.0)).all():
            odd = sums[~np.isin(sums[:, i], (0.0, 1.0)), i][0]
            raise FaceSRError(f"a metric that declares itself a share gives 0 or 1 for each image, got {odd:g} in column {i}")
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
