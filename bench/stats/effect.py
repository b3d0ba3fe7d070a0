"""How large a difference is, whatever its p-value: A12, Cliff's delta, matched-pairs rank-biserial, standardised mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from facesr.bench.stats.intervals import F64


def _values(x: ArrayLike) -> F64:
    flat = np.asarray(x, dtype=np.float64).ravel()
    finite: F64 = flat[~np.isnan(flat)]
    return finite


def superiority(a: ArrayLike, b: ArrayLike) -> float:
    """Vargha and Delaney's A12: the chance that a value of ``a`` is above one of ``b``, ties counted half. 0.5: no difference.

    O(n log n). Equals U / (n_a n_b). Source: Vargha & Delaney 2000.
    """
    x, y = _values(a), np.sort(_values(b))
    if not len(x) or not len(y):
        return np.nan
    below = np.searchsorted(y, x, side="left").sum()
    upto = np.searchsorted(y, x, side="right").sum()
    return float((below + upto) / (2 * len(x) * len(y)))


def cliffs_delta(a: ArrayLike, b: ArrayLike) -> float:
    """Cliff's delta in [-1, 1]: P(a > b) - P(a < b) = 2 A12 - 1. Source: Cliff 1993."""
    return 2 * superiority(a, b) - 1


def matched_rank_biserial(differences: ArrayLike) -> float:
    """Share of signed-rank sum that is positive minus the share that is negative, in [-1, 1]; zeros by Pratt's rule.

    The effect size that belongs to Wilcoxon's signed-rank test. Source: Kerby 2014; Pratt 1959 for the zeros.
    """
    from scipy.stats import rankdata

    d = np.round(_values(differences), 12)  # means of equal ratings differ by rounding alone
    if not len(d) or not np.any(d):
        return 0.0 if len(d) else np.nan
    ranks = rankdata(np.abs(d))
    up, down = ranks[d > 0].sum(), ranks[d < 0].sum()
    return float((up - down) / (up + down))
