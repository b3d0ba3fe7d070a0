"""Many comparisons at once: Holm and Benjamini-Hochberg adjusted p-values, and letters for what cannot be told apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from facesr.bench.stats.intervals import F64


def _adjust(p: ArrayLike, adjust: Callable[[F64], F64]) -> F64:
    """Apply ``adjust`` to the p-values that are numbers; NaN stays NaN and does not count as a comparison."""
    given = np.asarray(p, dtype=np.float64)
    result = np.full(given.shape, np.nan)
    known = np.isfinite(given)
    order = np.argsort(given[known], kind="stable")
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(adjust(given[known][order]), 1.0)
    result[known] = adjusted
    return result


def holm(p: ArrayLike) -> F64:
    """Holm's step-down adjusted p-values (n,): reject where they are below alpha, and the chance of any false rejection is alpha.

    Source: Holm 1979.
    """
    return _adjust(p, lambda s: np.maximum.accumulate(s * np.arange(len(s), 0, -1)))


def benjamini_hochberg(p: ArrayLike) -> F64:
    """Benjamini-Hochberg adjusted p-values (n,): reject below q, and the expected share of false rejections is at most q.

    Source: Benjamini & Hochberg 1995.
    """
    return _adjust(p, lambda s: np.minimum.accumulate((s * len(s) / np.arange(1, len(s) + 1))[::-1])[::-1])


def bonferroni(p: ArrayLike) -> F64:
    """p-values (n,) times their number: intervals at 1 - alpha / n hold jointly."""
    return _adjust(p, lambda s: s * len(s))


CORRECTIONS: dict[str, Callable[[ArrayLike], F64]] = {
    "holm": holm,
    "bonferroni": bonferroni,
    "benjamini-hochberg": benjamini_hochberg,
    "none": lambda p: _adjust(p, lambda s: s),
}
"""Corrections a plan may declare, by name."""


def thresholds(p: ArrayLike, alpha: float, correction: str = "holm") -> F64:
    """For each p (n,) the level it is compared with: p is below it exactly where the corrected p is below ``alpha``.

    Holm: alpha / n for the smallest p, alpha / (n - 1) for the next, until one is not rejected; its level is that of all the rest. NaN
    where p is.
    """
    given = np.asarray(p, dtype=np.float64)
    found = np.full(given.shape, np.nan)
    known = np.flatnonzero(np.isfinite(given))
    n = len(known)
    if not n:
        return found
    rejected = int((CORRECTIONS[correction](given)[known] < alpha).sum())
    if correction == "holm":
        order = known[np.argsort(given[known], kind="stable")]
        found[order] = alpha / np.maximum(n - np.minimum(np.arange(n), rejected), 1)
    else:
        found[known] = {"bonferroni": alpha / n, "none": alpha, "benjamini-hochberg": alpha * max(rejected, 1) / n}[correction]
    return found


def letter_display(means: Mapping[str, float], different: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Compact letter display: two names share a letter exactly where they are not among the ``different`` pairs.

    ``means`` orders the letters, the highest first ('a'). Source: Piepho 2004, the insert-and-absorb algorithm.
    """
    names = sorted(means, key=lambda name: -means[name])
    groups = [frozenset(names)]
    for a, b in different:
        split = [part for group in groups for part in ((group - {a}, group - {b}) if {a, b} <= group else (group,))]
        groups = [g for i, g in enumerate(split) if not any(g < h or (g == h and i > j) for j, h in enumerate(split))]
    groups.sort(key=lambda group: sorted(names.index(n) for n in group))
    return {name: "".join(_letter(i) for i, group in enumerate(groups) if name in group) for name in names}


def _letter(i: int) -> str:
    return chr(ord("a") + i) if i < 26 else f"({i + 1})"
