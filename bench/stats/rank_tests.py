"""Rank tests as scipy has them, with the settings that tied five-point ratings need, and the omnibus test."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.intervals import F64

SMALL = 12
"""Below this many values on a side the normal approximation of a rank sum is poor: all splits are counted instead."""
COUNTED = 50_000_000
"""Most additions spent on counting the splits of one rank sum: 11 values against 20,000 would take 10^11."""
EXACT = 50
"""Up to this many pairs all signs of a signed rank sum are counted; beyond, the normal approximation is good to two digits."""


@dataclass(frozen=True)
class RankTest:
    """Statistic, two-sided p-value and how p was found: ``exact`` or, given the ties, ``permutation``; else ``asymptotic``."""

    statistic: float
    p: float
    method: str
    n: int


def mann_whitney(a: ArrayLike, b: ArrayLike) -> RankTest:
    """Mann-Whitney U of two samples; NaN left out. Asymptotic with tie and continuity correction, by all permutations when small.

    scipy's ``exact`` ignores ties, so it is never used. Valid for independent samples: pooled ratings of a crossed study are not.
    Source: Mann & Whitney 1947; scipy.stats.mannwhitneyu.
    """
    from scipy.stats import mannwhitneyu

    x, y = (np.asarray(v, dtype=np.float64).ravel() for v in (a, b))
    x, y = x[~np.isnan(x)], y[~np.isnan(y)]
    n = len(x) + len(y)
    if not len(x) or not len(y):
        return RankTest(np.nan, np.nan, "asymptotic", n)
    if len(np.unique(np.concatenate([x, y]))) == 1:
        return RankTest(len(x) * len(y) / 2, 1.0, "asymptotic", n)
    size = min(len(x), len(y))
    if size < SMALL and 2 * size**2 * n**2 <= COUNTED:
        return _exact_rank_sum(x, y)
    result = mannwhitneyu(x, y, method="asymptotic")
    return RankTest(float(result.statistic), float(result.pvalue), "asymptotic", n)


def _exact_rank_sum(x: F64, y: F64) -> RankTest:
    """All ways to pick the smaller sample's ranks, ties and all, counted by their sum (no list of splits is made)."""
    from scipy.stats import rankdata

    twice = np.rint(2 * rankdata(np.concatenate([x, y]))).astype(np.int64)  # tied ranks are halves: twice them are whole
    size, n = min(len(x), len(y)), len(twice)
    top = int(np.sort(twice)[-size:].sum())
    ways = np.zeros((size + 1, top + 1))
    ways[0, 0] = 1.0
    for rank in twice:
        for k in range(size, 0, -1):
            ways[k, rank:] += ways[k - 1, : top + 1 - rank]
    found = int(twice[: len(x)].sum() if len(x) == size else twice[len(x) :].sum())
    middle = size * (n + 1)
    far = np.abs(np.arange(top + 1) - middle) >= abs(found - middle)
    u = twice[: len(x)].sum() / 2 - len(x) * (len(x) + 1) / 2
    return RankTest(float(u), float(min(1.0, ways[size, far].sum() / ways[size].sum())), "permutation", n)


def signed_rank(differences: ArrayLike) -> RankTest:
    """Wilcoxon's signed-rank test of paired differences; zeros kept by Pratt's rule; NaN left out.

    p counts all signs the ranks could have: the exact distribution without ties and zeros, the permutation one with them. More than
    ``EXACT`` pairs: normal approximation, variance corrected for ties. Valid where each difference is one independent unit: a
    rater's mean, a face's mean, a face's score. Source: Wilcoxon 1945, Pratt 1959.
    """
    from scipy.stats import rankdata, wilcoxon

    d = np.asarray(differences, dtype=np.float64).ravel()
    # Means of equal ratings differ by rounding alone; without this they are no longer zeros or ties.
    d = np.round(d[~np.isnan(d)], 12)
    if not len(d):
        return RankTest(np.nan, np.nan, "exact", 0)
    if not np.any(d):
        return RankTest(0.0, 1.0, "permutation", len(d))
    if len(d) <= EXACT:
        return _all_signs(d, np.asarray(rankdata(np.abs(d)), dtype=np.float64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # scipy's note on ties: the asymptotic variance below is corrected for them
        result = wilcoxon(d, zero_method="pratt", method="approx")
    return RankTest(float(result.statistic), float(result.pvalue), "asymptotic", len(d))


def _all_signs(d: F64, ranks: F64) -> RankTest:
    """The distribution of the positive rank sum over all 2^n signs, counted by its value: no sign is listed."""
    twice = np.rint(2 * ranks[d != 0]).astype(np.int64)  # tied ranks are halves: twice them are whole
    total = int(twice.sum())
    chance = np.zeros(total + 1)
    chance[0] = 1.0
    for rank in twice:
        moved = chance / 2
        moved[rank:] += chance[: total + 1 - rank] / 2
        chance = moved
    up = int(np.rint(2 * ranks[d > 0].sum()))
    far = np.abs(2 * np.arange(total + 1) - total) >= abs(2 * up - total)
    plain = len(twice) == len(d) and len(np.unique(twice)) == len(twice)
    return RankTest(min(up, total - up) / 2, float(min(1.0, chance[far].sum())), "exact" if plain else "permutation", len(d))


def smallest_signed_rank_p(n: int) -> float:
    """The smallest two-sided p that ``n`` pairs can give: all of one sign, 2^(1 - n)."""
    return float(min(1.0, 2.0 ** (1 - n)))


@dataclass(frozen=True)
class Omnibus:
    """Friedman's test over conditions with blocks, and Nemenyi's p of each pair (``nemenyi[i, j]``); mean ranks, 1 = lowest."""

    chi2: float
    p: float
    blocks: int
    ranks: tuple[float, ...]
    critical_difference: float
    nemenyi: F64
    names: tuple[str, ...]


def friedman(table: ArrayLike, names: Sequence[str], alpha: float = 0.05) -> Omnibus:
    """Friedman's test of a (blocks, conditions) table, ties corrected, with Nemenyi's pairs; blocks with a gap are left out.

    Blocks must be independent units (rater means, faces' scores). Raises ``FaceSRError`` for fewer than two conditions or blocks.
    Source: Friedman 1937; Nemenyi 1963; Demsar 2006 for the critical difference.
    """
    from scipy.special import chdtrc
    from scipy.stats import rankdata, studentized_range

    x = np.round(np.asarray(table, dtype=np.float64), 12)
    x = x[np.isfinite(x).all(axis=1)]
    n, k = x.shape
    if n < 2 or k < 2:
        raise FaceSRError(f"Friedman's test needs two conditions and two complete blocks, got {k} and {n}")
    ranks = rankdata(x, axis=1)
    mean = ranks.mean(axis=0)
    spread = float(((ranks - (k + 1) / 2) ** 2).sum()) / (n * (k - 1))
    chi2 = float(n * ((mean - (k + 1) / 2) ** 2).sum() / spread) if spread > 0 else 0.0
    step = np.sqrt(k * (k + 1) / (6 * n))
    q = np.abs(mean[:, None] - mean[None, :]) / step * np.sqrt(2)
    upper = np.triu_indices(k, 1)
    nemenyi = np.ones((k, k))
    nemenyi[upper] = studentized_range.sf(q[upper], k, np.inf)
    nemenyi = np.minimum(nemenyi, nemenyi.T)
    critical = float(studentized_range.isf(alpha, k, np.inf) / np.sqrt(2) * step)
    return Omnibus(chi2, float(chdtrc(k - 1, chi2)), n, tuple(map(float, mean)), critical, nemenyi, tuple(names))
