"""Do raters agree with each other, and with themselves: Krippendorff's alpha, ICC, repeats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from facesr.bench.stats.intervals import F64, bootstrap_interval

Level = Literal["ordinal", "interval", "nominal"]


@dataclass(frozen=True)
class Alpha:
    """Krippendorff's alpha (1: perfect, 0: chance) with its interval over raters."""

    value: float
    low: float
    high: float
    raters: int
    units: int


def _counts(x: F64, values: F64) -> F64:
    """How often each value was given to each unit: (units, values). ``x`` is (units, raters)."""
    return np.stack([(x == v).sum(axis=1) for v in values], axis=1).astype(np.float64)


def _metric(values: F64, marginal: F64, level: Level) -> F64:
    if level == "nominal":
        nominal: F64 = 1.0 - np.eye(len(values))
        return nominal
    if level == "interval":
        interval: F64 = (values[:, None] - values[None, :]) ** 2
        return interval
    upto = np.cumsum(marginal)
    between = np.abs(upto[:, None] - upto[None, :] - (marginal[:, None] - marginal[None, :]) / 2)
    ordinal: F64 = between**2
    return ordinal


def alpha_value(table: ArrayLike, level: Level = "ordinal") -> float:
    """Krippendorff's alpha of a (units, raters) table, NaN where not rated; NaN where nothing varies or nothing pairs.

    Source: Krippendorff 2011, "Computing Krippendorff's alpha-reliability".
    """
    x = np.asarray(table, dtype=np.float64)
    values = np.unique(x[np.isfinite(x)])
    counts = _counts(x, values)
    return _alpha_of_counts(counts, values, level)


def _alpha_of_counts(counts: F64, values: F64, level: Level) -> float:
    pairable = counts[counts.sum(axis=1) > 1]
    if not len(pairable):
        return np.nan
    size = pairable.sum(axis=1)
    coincidence = (pairable / (size - 1)[:, None]).T @ pairable - np.diag((pairable / (size - 1)[:, None]).sum(axis=0))
    marginal = coincidence.sum(axis=1)
    distance = _metric(values, marginal, level)
    expected = float(marginal @ distance @ marginal) / (marginal.sum() - 1)
    return float(1 - (coincidence * distance).sum() / expected) if expected > 0 else np.nan


def krippendorff_alpha(
    table: ArrayLike, measure: Level = "ordinal", level: float = 0.95, draws: int = 1000, seed: int = 0
) -> Alpha:
    """Alpha of a (units, raters) table with a bootstrap interval that draws raters anew.

    A rater drawn twice would agree with themself: pairs of the same rater are left out of each draw, by taking every rater once
    with the number of times drawn as weight of the pairs with the others.
    """
    x = np.asarray(table, dtype=np.float64)
    values = np.unique(x[np.isfinite(x)])
    one_hot = np.stack([x == v for v in values], axis=2).astype(np.float64)  # (units, raters, values)
    raters = x.shape[1]

    def draw(picks: F64) -> float:
        weight = np.bincount(picks.astype(np.int64), minlength=raters).astype(np.float64)
        return _weighted_alpha(one_hot, weight, values, measure)

    low, high = bootstrap_interval(lambda i: draw(i.astype(np.float64)), raters, level, draws, seed)
    return Alpha(alpha_value(x, measure), low, high, raters, int((np.isfinite(x).sum(axis=1) > 1).sum()))


def _weighted_alpha(one_hot: F64, weight: F64, values: F64, level: Level) -> float:
    counts = np.einsum("urv,r->uv", one_hot, weight)
    own = np.einsum("urv,r->uv", one_hot, weight**2)  # what pairs a rater with themself: always the same value
    size = counts.sum(axis=1)
    pairs = size**2 - own.sum(axis=1)
    use = pairs > 0
    if not use.any():
        return np.nan
    share = (size[use] / pairs[use])[:, None]
    coincidence = (counts[use] * share).T @ counts[use] - np.diag((own[use] * share).sum(axis=0))
    marginal = coincidence.sum(axis=1)
    distance = _metric(values, marginal, level)
    expected = float(marginal @ distance @ marginal) / max(marginal.sum() - 1, 1)
    return float(1 - (coincidence * distance).sum() / expected) if expected > 0 else np.nan


@dataclass(frozen=True)
class Icc:
    """Two-way random effects, absolute agreement: of one rater, ICC(A,1), and of the mean of all, ICC(A,k), with intervals."""

    single: float
    single_low: float
    single_high: float
    average: float
    average_low: float
    average_high: float
    units: int
    raters: int


def icc(table: ArrayLike, level: float = 0.95) -> Icc:
    """ICC(A,1) and ICC(A,k) of the units every rater rated; (units, raters). NaN with fewer than two of either.

    Source: McGraw & Wong 1996, table 7 for the intervals; Shrout & Fleiss 1979 call them ICC(2,1) and ICC(2,k).
    """
    x = np.asarray(table, dtype=np.float64)
    # Raters who left many units out would empty the table: keep those who rated at least half of what is rated at all.
    x = x[:, np.isfinite(x).sum(axis=0) >= 0.5 * max(np.isfinite(x).any(axis=1).sum(), 1)]
    x = x[np.isfinite(x).all(axis=1)]
    n, k = x.shape
    if n < 2 or k < 2:
        return Icc(*(np.nan,) * 6, n, k)
    grand = x.mean()
    ms_r = k * ((x.mean(axis=1) - grand) ** 2).sum() / (n - 1)
    ms_c = n * ((x.mean(axis=0) - grand) ** 2).sum() / (k - 1)
    e = x - x.mean(axis=1)[:, None] - x.mean(axis=0) + grand
    ms_e = (e**2).sum() / ((n - 1) * (k - 1))
    bottom = ms_r + (k - 1) * ms_e + k * (ms_c - ms_e) / n
    if bottom <= 0:
        return Icc(*(np.nan,) * 6, n, k)
    single = (ms_r - ms_e) / bottom
    low, high = _icc_interval(single, ms_r, ms_c, ms_e, n, k, level)
    up = tuple(float(k * v / (1 + (k - 1) * v)) for v in (low, high))
    return Icc(float(single), low, high, float((ms_r - ms_e) / (ms_r + (ms_c - ms_e) / n)), up[0], up[1], n, k)


def _icc_interval(r: float, ms_r: float, ms_c: float, ms_e: float, n: int, k: int, level: float) -> tuple[float, float]:
    from scipy.special import fdtri

    if ms_e <= 0:
        return np.nan, np.nan
    a, b = k * r / (n * (1 - r)), 1 + k * r * (n - 1) / (n * (1 - r))
    v = (a * ms_c + b * ms_e) ** 2 / ((a * ms_c) ** 2 / (k - 1) + (b * ms_e) ** 2 / ((n - 1) * (k - 1)))
    q = (1 + level) / 2
    f1, f2 = fdtri(n - 1, v, q), fdtri(v, n - 1, q)
    spread = k * ms_c + (k * n - k - n) * ms_e
    return float(n * (ms_r - f1 * ms_e) / (f1 * spread + n * ms_r)), float(n * (f2 * ms_r - ms_e) / (spread + n * f2 * ms_r))


@dataclass(frozen=True)
class IntraRater:
    """Repeats of the same stimulus by the same rater: shares equal and within one point, Pearson r, quadratic kappa.

    ``noise``: standard deviation of one rating about the rater's own mean.
    """

    pairs: int
    exact: float
    within_one: float
    r: float
    kappa: float
    noise: float


def intra_rater(first: ArrayLike, second: ArrayLike) -> IntraRater:
    """Agreement of raters with themselves, from two ratings (n,) of the same stimulus each. Source of kappa: Cohen 1968."""
    a, b = np.asarray(first, dtype=np.float64).ravel(), np.asarray(second, dtype=np.float64).ravel()
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    if not len(a):
        return IntraRater(0, *(np.nan,) * 5)
    d = np.abs(a - b)
    scale = float(a.std() * b.std())
    r = float(((a - a.mean()) * (b - b.mean())).mean() / scale) if scale > 0 else np.nan
    # Expected squared distance of independent raters with these marginals, without making the table.
    by_chance = float(a.var() + b.var() + (a.mean() - b.mean()) ** 2)
    kappa = 1 - float((d**2).mean()) / by_chance if by_chance > 0 else np.nan
    noise = float(np.sqrt(((a - b) ** 2).mean() / 2))
    return IntraRater(len(a), float((d == 0).mean()), float((d <= 1).mean()), r, kappa, noise)
