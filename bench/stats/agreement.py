"""Do raters agree with each other, and with themselves: Krippendorff's alpha, ICC, repeats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facesr.bench.stats.intervals import F64, bootstrap_interval

Level = Literal["ordinal", "interval", "nominal"]
WORK = 50_000_000
"""Ratings times bootstrap draws of alpha that take about two seconds."""


@dataclass(frozen=True)
class Alpha:
    """Krippendorff's alpha (1: perfect, 0: chance, below: systematic disagreement) with its interval over raters.

    ``raters`` who rated anything, ``units`` (images) that two or more of them rated: what alpha is computed of. It describes agreement
    of raters like these on these images.
    """

    value: float
    low: float
    high: float
    raters: int
    units: int

    @property
    def words(self) -> str:
        """What it was computed of, and for whom it holds."""
        return f"all {self.raters} raters and the {self.units:,} images that two or more of them rated; interval over raters"


@dataclass(frozen=True)
class _Ratings:
    """The ratings of a (units, raters) table one by one: unit, rater, and the place of the value among ``values``."""

    unit: NDArray[np.intp]
    rater: NDArray[np.intp]
    place: NDArray[np.intp]
    values: F64
    units: int


def _ratings(table: F64) -> _Ratings:
    unit, rater = np.nonzero(np.isfinite(table))
    values, place = np.unique(table[unit, rater], return_inverse=True)
    return _Ratings(unit, rater, place.astype(np.intp), values, table.shape[0])


def _alpha(x: _Ratings, weight: F64, level: Level) -> float:
    """Alpha where rater r counts ``weight[r]`` times and is never paired with themself; linear in the ratings.

    Ordinal distances are squared differences of mean ranks, and squared differences need sums of ranks and of their squares only: no
    table of values by values is made.
    """
    w = weight[x.rater]
    size = np.bincount(x.unit, w, x.units)
    pairs = size**2 - np.bincount(x.unit, w**2, x.units)
    share = np.divide(size, pairs, out=np.zeros_like(size), where=pairs > 1e-12)[x.unit]
    marginal = np.bincount(x.place, share * (w * size[x.unit] - w**2), len(x.values))
    total = float(marginal.sum())
    if total <= 1:
        return np.nan
    if level == "nominal":
        key = x.unit * len(x.values) + x.place
        _, group, at = np.unique(key, return_index=True, return_inverse=True)
        same = np.bincount(at, w) ** 2 - np.bincount(at, w**2)
        observed = total - float((share[group] * same).sum())
        expected = (total**2 - float((marginal**2).sum())) / (total - 1)
    else:
        # of any two ratings of a unit: sum of w_r w_s (v_r - v_s)^2 = 2 (W sum w v^2 - (sum w v)^2)
        scale = np.cumsum(marginal) - marginal / 2 if level == "ordinal" else x.values
        scale = scale - float(marginal @ scale) / total
        v = scale[x.place]
        first, second = np.bincount(x.unit, w * v, x.units), np.bincount(x.unit, w * v**2, x.units)
        apart = np.divide(size, pairs, out=np.zeros_like(size), where=pairs > 1e-12) * 2 * (size * second - first**2)
        observed = float(apart.sum())
        expected = 2 * (total * float(marginal @ scale**2) - float(marginal @ scale) ** 2) / (total - 1)
    return 1 - observed / expected if expected > 0 else np.nan


def alpha_value(table: ArrayLike, level: Level = "ordinal") -> float:
    """Krippendorff's alpha of a (units, raters) table, NaN where not rated; NaN where nothing varies or nothing pairs.

    Time grows with the ratings, not with the number of distinct values. Source: Krippendorff 2011, "Computing Krippendorff's
    alpha-reliability".
    """
    x = np.asarray(table, dtype=np.float64)
    return _alpha(_ratings(x), np.ones(x.shape[1]), level)


def krippendorff_alpha(
    table: ArrayLike, measure: Level = "ordinal", level: float = 0.95, draws: int = 1000, seed: int = 0
) -> Alpha:
    """Alpha of a (units, raters) table with a bootstrap interval that draws raters anew.

    A rater drawn twice would agree with themself: pairs of the same rater are left out of each draw, by taking every rater once
    with the number of times drawn as weight of the pairs with the others. Of more than ``WORK`` ratings times draws fewer draws are
    made, at least 200.
    """
    x = np.asarray(table, dtype=np.float64)
    ratings, raters = _ratings(x), x.shape[1]
    times = int(min(draws, max(200, WORK // max(len(ratings.unit), 1))))

    def draw(picks: NDArray[np.intp]) -> float:
        return _alpha(ratings, np.bincount(picks, minlength=raters).astype(np.float64), measure)

    low, high = bootstrap_interval(draw, raters, level, times, seed)
    rated = np.isfinite(x)
    return Alpha(
        _alpha(ratings, np.ones(raters), measure), low, high, int(rated.any(axis=0).sum()), int((rated.sum(axis=1) > 1).sum())
    )


@dataclass(frozen=True)
class Icc:
    """Two-way random effects, absolute agreement: of one rater, ICC(A,1), and of the mean of all, ICC(A,k), with intervals.

    ``units`` and ``raters``: of what it was computed, ``left_out`` raters not among them. An estimate outside [0, 1] is no reliability and
    is NaN, ``undefined`` says so.
    """

    single: float
    single_low: float
    single_high: float
    average: float
    average_low: float
    average_high: float
    units: int
    raters: int
    left_out: int = 0
    undefined: str = ""

    @property
    def words(self) -> str:
        """What it was computed of, and for whom it holds."""
        out = f" ({self.left_out} raters with gaps left out)" if self.left_out else ""
        return f"{self.raters} raters{out} and the {self.units:,} images that all of them rated; for other raters like them and other images"


def icc(table: ArrayLike, level: float = 0.95) -> Icc:
    """ICC(A,1) and ICC(A,k) of the units every rater rated; (units, raters). NaN with fewer than two of either.

    Raters who left out more than half are not used, since they would empty the table. Source: McGraw & Wong 1996, table 7 for the
    intervals; Shrout & Fleiss 1979 call them ICC(2,1) and ICC(2,k).
    """
    x = np.asarray(table, dtype=np.float64)
    took_part = int(np.isfinite(x).any(axis=0).sum())
    x = x[:, np.isfinite(x).sum(axis=0) >= 0.5 * max(np.isfinite(x).any(axis=1).sum(), 1)]
    x = x[np.isfinite(x).all(axis=1)]
    n, k = x.shape
    left_out = took_part - k
    if n < 2 or k < 2:
        return Icc(*(np.nan,) * 6, n, k, left_out, f"reliability needs two raters who rated the same two images, got {k} and {n}")
    grand = x.mean()
    ms_r = k * ((x.mean(axis=1) - grand) ** 2).sum() / (n - 1)
    ms_c = n * ((x.mean(axis=0) - grand) ** 2).sum() / (k - 1)
    e = x - x.mean(axis=1)[:, None] - x.mean(axis=0) + grand
    ms_e = (e**2).sum() / ((n - 1) * (k - 1))
    bottom = ms_r + (k - 1) * ms_e + k * (ms_c - ms_e) / n
    if bottom <= 1e-20 * max(grand**2, 1e-300):
        return Icc(*(np.nan,) * 6, n, k, left_out, "the ratings do not vary")
    single = (ms_r - ms_e) / bottom
    whole = ms_r + (ms_c - ms_e) / n
    average = (ms_r - ms_e) / whole if whole > 0 else np.nan
    if not 0 <= single <= 1 or not 0 <= average <= 1:
        why = f"the estimate is {single:.2f} for one rater, outside 0 to 1: images differ less than raters disagree about them"
        return Icc(*(np.nan,) * 6, n, k, left_out, why)
    low, high = _icc_interval(single, ms_r, ms_c, ms_e, n, k, level)
    up = tuple(float(k * v / (1 + (k - 1) * v)) for v in (low, high))
    return Icc(float(single), low, high, float(average), up[0], up[1], n, k, left_out)


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
