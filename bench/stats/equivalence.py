"""Saying "as good as": two one-sided tests against a margin set before looking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.clustered import ClusteredMean


@dataclass(frozen=True)
class Equivalence:
    """``p`` of |difference| >= margin (TOST) and of difference <= -margin (non-inferiority of the first).

    ``alpha`` and ``alpha_noninferior``: the levels these are compared with, among several pairs those of the correction.
    """

    margin: float
    alpha: float
    p: float
    p_noninferior: float
    alpha_noninferior: float = np.nan

    @property
    def equivalent(self) -> bool:
        """The difference is shown to lie within the margin."""
        return bool(self.p < self.alpha)


def margin_of(scale: tuple[float, float] = (1, 5)) -> float:
    """Margin of equivalence where a study declares none: a fortieth of the scale's range, 0.1 of five points."""
    return (scale[1] - scale[0]) / 40


def tost(difference: ClusteredMean, margin: float, alpha: float = 0.05) -> Equivalence:
    """Two one-sided t tests of a clustered mean difference against ``margin`` > 0 (in rating units).

    A p-value above alpha never shows equality; this does, where the whole 1 - 2 alpha interval lies within the margin. NaN where the
    standard error is unknown or 0: ratings that do not vary say nothing about others.
    Raises ``FaceSRError`` on a margin that is not positive. Source: Schuirmann 1987.
    """
    from scipy.special import stdtr

    if not 0 < margin < np.inf:
        raise FaceSRError(f"an equivalence margin is a positive number of rating points, got {margin:g}: 0.1 is usual for MOS")
    if not difference.se > 0:
        return Equivalence(margin, alpha, np.nan, np.nan, alpha)
    lower = float(stdtr(difference.df, -(difference.mean + margin) / difference.se))
    upper = float(stdtr(difference.df, (difference.mean - margin) / difference.se))
    return Equivalence(margin, alpha, max(lower, upper), lower, alpha)
