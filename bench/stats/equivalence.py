"""Saying "as good as": two one-sided tests against a margin set before looking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.clustered import ClusteredMean


@dataclass(frozen=True)
class Equivalence:
    """``p`` of |difference| >= margin (TOST) and of difference <= -margin (non-inferiority of the first), at ``alpha``."""

    margin: float
    alpha: float
    p: float
    p_noninferior: float

    @property
    def equivalent(self) -> bool:
        """The difference is shown to lie within the margin."""
        return self.p < self.alpha

    @property
    def noninferior(self) -> bool:
        """The first is shown not to be worse than the second by the margin."""
        return self.p_noninferior < self.alpha


def tost(difference: ClusteredMean, margin: float, alpha: float = 0.05) -> Equivalence:
    """Two one-sided t tests of a clustered mean difference against ``margin`` > 0 (in rating units).

    A p-value above alpha never shows equality; this does, where the whole 1 - 2 alpha interval lies within the margin.
    Raises ``FaceSRError`` on a margin that is not positive. Source: Schuirmann 1987.
    """
    from scipy.special import stdtr

    if not margin > 0:
        raise FaceSRError(f"an equivalence margin is a positive number of rating points, got {margin:g}: 0.1 is usual for MOS")
    if not np.isfinite(difference.se):
        return Equivalence(margin, alpha, np.nan, np.nan)
    if difference.se == 0:
        lower, upper = float(difference.mean <= -margin), float(difference.mean >= margin)
    else:
        lower = float(stdtr(difference.df, -(difference.mean + margin) / difference.se))
        upper = float(stdtr(difference.df, (difference.mean - margin) / difference.se))
    return Equivalence(margin, alpha, max(lower, upper), lower)
