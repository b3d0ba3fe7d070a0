"""Means of ratings that share raters and faces: two-way clustered variance, interval and test; variance components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facesr.bench.stats.intervals import F64, Interval

Over = Literal["none", "raters", "faces", "both"]
"""What a repetition of the study would draw anew: nothing but ratings, other raters, other faces, or both."""


@dataclass(frozen=True)
class ClusteredMean:
    """A mean, its standard error, the degrees of freedom of its t distribution, interval and two-sided p against 0."""

    mean: float
    se: float
    df: float
    low: float
    high: float
    p: float
    n: int

    @property
    def interval(self) -> Interval:
        """The mean with its interval."""
        return Interval(self.mean, self.low, self.high, self.n)


def residual_variance(table: F64) -> float:
    """Variance of a (raters, faces) table about additive rater and face effects; NaN cells are left out.

    Complete tables: the ANOVA's residual mean square. Others: alternating means until they settle, the same degrees of freedom.
    """
    seen = np.isfinite(table)
    rows, columns = seen.sum(axis=1), seen.sum(axis=0)
    df = seen.sum() - (rows > 0).sum() - (columns > 0).sum() + 1
    if df <= 0:
        return 0.0
    e = np.where(seen, table, 0.0)
    for _ in range(200):
        by_rater = e.sum(axis=1) / np.maximum(rows, 1)
        e = np.where(seen, e - by_rater[:, None], 0.0)
        by_face = e.sum(axis=0) / np.maximum(columns, 1)
        e = np.where(seen, e - by_face[None, :], 0.0)
        if np.abs(by_face).max() < 1e-12 and np.abs(by_rater).max() < 1e-12:
            break
    return float((e**2).sum() / df)


def _finish(mean: float, variance: float, df: float, n: int, level: float) -> ClusteredMean:
    from scipy.special import stdtr, stdtrit  # scipy.stats costs a second to import

    if df < 1 or not np.isfinite(variance):
        return ClusteredMean(mean, np.nan, max(df, 0), np.nan, np.nan, np.nan, n)
    se = float(np.sqrt(variance))
    half = float(stdtrit(df, (1 + level) / 2)) * se
    p = float(2 * stdtr(df, -abs(mean) / se)) if se > 0 else float(mean == 0)
    return ClusteredMean(mean, se, df, mean - half, mean + half, p, n)


def _cluster_sum(influence: F64, seen: NDArray[np.bool_], axis: int) -> float:
    """Variance of a sum of ``influence`` when what shares a row (``axis`` 1 summed) or a column (0) is one independent draw."""
    clusters = int(seen.any(axis=axis).sum())
    return float((influence.sum(axis=axis) ** 2).sum() * clusters / (clusters - 1)) if clusters > 1 else np.nan


def clustered_mean(table: ArrayLike, over: Over = "both", level: float = 0.95) -> ClusteredMean:
    """Mean of a (raters, faces) table, NaN where not rated, with the uncertainty of new raters, new faces, or both.

    For both: Var = s2(raters) + s2(faces) - s2(residual) / n, which for a complete table is the two-way ANOVA's
    v_r/I + v_f/J - v_e/(IJ); t with min(I, J) - 1 degrees of freedom. Never below the residual's own share.
    Source: Cameron, Gelbach & Miller 2011, with the residual of the crossed model as the term subtracted.
    """
    x = np.asarray(table, dtype=np.float64)
    seen = np.isfinite(x)
    n = int(seen.sum())
    if n == 0:
        return ClusteredMean(np.nan, np.nan, 0, np.nan, np.nan, np.nan, 0)
    mean = float(x[seen].mean())
    raters, faces = int(seen.any(axis=1).sum()), int(seen.any(axis=0).sum())
    if over == "none":
        variance = float(x[seen].var(ddof=1) / n) if n > 1 else np.nan
        return _finish(mean, variance, n - 1, n, level)
    influence = np.where(seen, x - mean, 0.0) / n
    if over == "raters":
        return _finish(mean, _cluster_sum(influence, seen, 1), raters - 1, n, level)
    if over == "faces":
        return _finish(mean, _cluster_sum(influence, seen, 0), faces - 1, n, level)
    residual = residual_variance(x) / n
    variance = max(_cluster_sum(influence, seen, 1) + _cluster_sum(influence, seen, 0) - residual, residual)
    return _finish(mean, variance, min(raters, faces) - 1, n, level)


def clustered_difference(a: ArrayLike, b: ArrayLike, level: float = 0.95, over: Over = "both") -> ClusteredMean:
    """Mean of a minus b, two (raters, faces) tables, for new raters and new faces.

    Where at least half of the ratings have their partner (same rater, same face), the differences of those cells are
    analysed, so that rater and face effects cancel; otherwise the difference of the two means, clustered the same way.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    paired = np.isfinite(x) & np.isfinite(y)
    fewer = min(np.isfinite(x).sum(), np.isfinite(y).sum())
    if fewer and paired.sum() >= fewer / 2:
        return clustered_mean(x - y, over, level)
    return _unpaired(x, y, level, over)


def _unpaired(x: F64, y: F64, level: float, over: Over) -> ClusteredMean:
    parts, means, residual = [], [], 0.0
    for table, sign in ((x, 1.0), (y, -1.0)):
        rated = np.isfinite(table)
        n = int(rated.sum())
        if n < 2:
            return ClusteredMean(np.nan, np.nan, 0, np.nan, np.nan, np.nan, 0)
        means.append(float(table[rated].mean()))
        parts.append(sign * np.where(rated, table - means[-1], 0.0) / n)
        residual += residual_variance(table) / n
    influence = parts[0] + parts[1]
    seen = np.isfinite(x) | np.isfinite(y)
    raters, faces = int(seen.any(axis=1).sum()), int(seen.any(axis=0).sum())
    by_rater, by_face = _cluster_sum(influence, seen, 1), _cluster_sum(influence, seen, 0)
    variance, df = {
        "none": (residual, np.isfinite(x).sum() + np.isfinite(y).sum() - 2),
        "raters": (by_rater, raters - 1),
        "faces": (by_face, faces - 1),
        "both": (max(by_rater + by_face - residual, residual), min(raters, faces) - 1),
    }[over]
    return _finish(means[0] - means[1], variance, float(df), int(np.isfinite(x).sum() + np.isfinite(y).sum()), level)


@dataclass(frozen=True)
class Components:
    """Standard deviations of what makes ratings differ, beside the conditions themselves; all in rating units."""

    rater: float
    face: float
    rater_condition: float
    face_condition: float
    rater_face: float
    residual: float

    @property
    def rating(self) -> float:
        """Standard deviation of one rating of one condition."""
        return float(np.sqrt(sum(v**2 for v in vars(self).values())))


def components(values: ArrayLike) -> Components:
    """Variance components of ratings (raters, faces, conditions): conditions fixed, raters and faces random and crossed.

    Complete cubes: expected mean squares of the three-way ANOVA. Others: mean products of residuals that share a rater, a
    face or a condition (Koch 1967), slightly low for few raters or faces. Estimates below zero are set to zero.
    """
    x = np.asarray(values, dtype=np.float64)
    found = _components_anova(x) if np.isfinite(x).all() else _components_products(x)
    return Components(*(float(np.sqrt(max(v, 0.0))) if np.isfinite(v) else 0.0 for v in found))


def _components_anova(x: F64) -> tuple[float, ...]:
    r, f, c = x.shape
    if min(r, f, c) < 2:
        return (np.nan,) * 6
    grand = x.mean()
    a, b, g = x.mean(axis=(1, 2)) - grand, x.mean(axis=(0, 2)) - grand, x.mean(axis=(0, 1)) - grand
    ab = x.mean(axis=2) - grand - a[:, None] - b[None, :]
    ac = x.mean(axis=1) - grand - a[:, None] - g[None, :]
    bc = x.mean(axis=0) - grand - b[:, None] - g[None, :]
    e = x - grand - a[:, None, None] - b[None, :, None] - g - ab[:, :, None] - ac[:, None, :] - bc[None]
    ms_e = (e**2).sum() / ((r - 1) * (f - 1) * (c - 1))
    ms_ab = c * (ab**2).sum() / ((r - 1) * (f - 1))
    ms_ac = f * (ac**2).sum() / ((r - 1) * (c - 1))
    ms_bc = r * (bc**2).sum() / ((f - 1) * (c - 1))
    # Interactions with the fixed conditions are independent draws (they do not sum to zero), so main effects' squares hold them.
    ms_a, ms_b = f * c * (a**2).sum() / (r - 1), r * c * (b**2).sum() / (f - 1)
    v_rf, v_rc, v_fc = (ms_ab - ms_e) / c, (ms_ac - ms_e) / f, (ms_bc - ms_e) / r
    v_r = (ms_a - ms_ab - ms_ac + ms_e) / (f * c)
    v_f = (ms_b - ms_ab - ms_bc + ms_e) / (r * c)
    return v_r, v_f, v_rc, v_fc, v_rf, ms_e


def _components_products(x: F64) -> tuple[float, ...]:
    seen = np.isfinite(x)
    counts = seen.sum(axis=(0, 1))
    means = np.where(seen, x, 0).sum(axis=(0, 1)) / np.maximum(counts, 1)
    e, n = np.where(seen, x - means, 0.0), seen.astype(np.float64)

    def sums(axes: tuple[int, ...]) -> tuple[float, float]:
        """Sum of products, and their number, over pairs equal in the axes that are not summed (each with itself included)."""
        return float((e.sum(axis=axes) ** 2).sum()), float((n.sum(axis=axes) ** 2).sum())

    same, same_n = sums(())
    rf, rf_n = sums((2,))
    rc, rc_n = sums((1,))
    fc, fc_n = sums((0,))
    r, r_n = sums((1, 2))
    f, f_n = sums((0, 2))

    def mean(total: float, number: float) -> float:
        return total / number if number > 0 else np.nan

    only_r = mean(r - rc - rf + same, r_n - rc_n - rf_n + same_n)  # same rater, other face, other condition
    only_f = mean(f - fc - rf + same, f_n - fc_n - rf_n + same_n)
    with_rc, with_fc, with_rf = mean(rc - same, rc_n - same_n), mean(fc - same, fc_n - same_n), mean(rf - same, rf_n - same_n)
    v_r, v_f = max(only_r, 0.0), max(only_f, 0.0)
    v_rc, v_fc = max(with_rc - v_r, 0.0), max(with_fc - v_f, 0.0)
    v_rf = max(with_rf - v_r - v_f, 0.0) if np.isfinite(with_rf) else 0.0
    return v_r, v_f, v_rc, v_fc, v_rf, mean(same, same_n) - v_r - v_f - v_rc - v_fc - v_rf
