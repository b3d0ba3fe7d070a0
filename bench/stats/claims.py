"""What p-value published MOS figures can support: two means, how many ratings, and an assumed spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.intervals import F64
from facesr.bench.stats.power import StudySize, standard_error, typical

SPREADS = (0.9, 1.0, 1.1)
"""Standard deviations of five-point ratings of one condition that studies of faces report."""
POWERS = (0.5, 0.8, 0.9)
MOST_POINTS = 1001


def spreads_of(scale: tuple[int, int] = (1, 5)) -> tuple[float, ...]:
    """``SPREADS`` on another scale: the same shares of its range."""
    return tuple(s * (scale[1] - scale[0]) / 4 for s in SPREADS)


def rating_distribution(mean: float, sd: float, scale: tuple[int, int] = (1, 5)) -> F64:
    """Probabilities of each point of the scale: a normal rounded to whole points and cut at the ends, with this mean and sd.

    Raises ``FaceSRError`` where no such distribution exists: a mean outside the scale, or an sd too large for a mean near its end.
    """
    from scipy.optimize import root

    low, high = scale
    if not (low < high and low < mean < high):
        raise FaceSRError(f"a MOS of {mean:g} is outside the scale {low} to {high}: give --scale")
    limit = np.sqrt((mean - low) * (high - mean))
    if not 0 < sd < limit:
        raise FaceSRError(
            f"ratings with mean {mean:g} on {low} to {high} cannot have sd {sd:g}: it lies below {limit:.2f}; give --sd"
        )
    points = np.arange(low, high + 1, dtype=np.float64)

    def miss(latent: F64) -> F64:
        p = _rounded_normal(latent[0], float(np.exp(latent[1])), points)
        m = p @ points
        return np.array([m - mean, np.sqrt(np.maximum(p @ (points - m) ** 2, 1e-12)) - sd])

    found = root(miss, np.array([mean, np.log(sd)]), method="hybr")
    if not found.success:
        raise FaceSRError(f"no rounded normal has mean {mean:g} and sd {sd:g} on {low} to {high}: try another --sd")
    return _rounded_normal(found.x[0], float(np.exp(found.x[1])), points)


def _rounded_normal(mean: float, sd: float, points: F64) -> F64:
    from scipy.special import ndtr

    inner: F64 = np.asarray(ndtr((points[:-1] + 0.5 - mean) / sd), dtype=np.float64)
    return np.diff(np.concatenate([[0.0], inner, [1.0]]))


def plausible_distribution(mean: float, sd: float, scale: tuple[int, int] = (1, 5)) -> F64:
    """``rating_distribution`` where it exists; near an end of the scale a normal of that sd, cut there: its ratings vary less.

    Raises ``FaceSRError`` for a mean outside the scale.
    """
    from scipy.optimize import brentq

    try:
        return rating_distribution(mean, sd, scale)
    except FaceSRError:
        if not scale[0] < mean < scale[1]:
            raise
    points = np.arange(scale[0], scale[1] + 1, dtype=np.float64)
    latent = brentq(lambda m: float(_rounded_normal(m, sd, points) @ points) - mean, scale[0] - 30 * sd, scale[1] + 30 * sd)
    return _rounded_normal(float(latent), sd, points)


@dataclass(frozen=True)
class ExpectedTest:
    """Mann-Whitney's z and two-sided p when the observed shares are exactly these, and the effect size."""

    z: float
    p: float
    a12: float


def expected_mann_whitney(p: ArrayLike, q: ArrayLike, n: float, m: float) -> ExpectedTest:
    """The test of ``n`` ratings with shares ``p`` against ``m`` with shares ``q`` (points of one scale, lowest first), tie-corrected."""
    from scipy.special import ndtr

    a, b = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    a12 = float(a @ (np.cumsum(b) - b / 2))
    total, ties = n + m, n * a + m * b
    variance = n * m / 12 * ((total + 1) - (ties**3 - ties).sum() / (total * (total - 1)))
    z = float((a12 - 0.5) * n * m / np.sqrt(variance))
    return ExpectedTest(z, float(2 * ndtr(-abs(z))), a12)


@dataclass(frozen=True)
class ClaimAtSpread:
    """A pair under one assumed sd: expected z and p, A12, power at alpha, and detectable differences by power."""

    sd: float
    z: float
    p: float
    a12: float
    power: float
    detectable: dict[float, float]
    n_needed: int


@dataclass(frozen=True)
class Claim:
    """A published pair: ``p_low``..``p_high`` over the spreads, ``p_best`` with the rounding of the figures in its favour.

    ``verdict``: ``expected`` (p below alpha under every spread), ``borderline``, or ``not expected``.
    ``p_clustered``: when other raters and faces count, with the variance components given.
    """

    a: str
    b: str
    mos: tuple[float, float]
    n: int
    alpha: float
    at: tuple[ClaimAtSpread, ...]
    p_low: float
    p_high: float
    p_best: float
    p_clustered: float
    verdict: str

    @property
    def difference(self) -> float:
        """First MOS minus second."""
        return self.mos[0] - self.mos[1]


def _at(high: float, low: float, sd: float, n: int, alpha: float, scale: tuple[int, int]) -> ClaimAtSpread:
    from scipy.special import ndtr, ndtri

    test = expected_mann_whitney(plausible_distribution(high, sd, scale), plausible_distribution(low, sd, scale), n, n)
    critical = float(-ndtri(alpha / 2))
    power = float(ndtr(abs(test.z) - critical) + ndtr(-abs(test.z) - critical))
    per_point = abs(test.z) / (high - low) if high > low else 1 / (sd * np.sqrt(2 / n))
    detectable = {w: float((critical + ndtri(w)) / per_point) for w in POWERS}
    needed = int(np.ceil(n * ((critical + float(ndtri(0.8))) / abs(test.z)) ** 2)) if test.z else 0
    return ClaimAtSpread(sd, test.z, test.p, test.a12, power, detectable, needed)


def check_pair(
    mos: tuple[float, float],
    n: int,
    alpha: float = 0.01,
    spreads: Sequence[float] = SPREADS,
    scale: tuple[int, int] = (1, 5),
    names: tuple[str, str] = ("A", "B"),
    rounding: float = 0.005,
    clustered_se: float = np.nan,
    clustered_df: float = np.nan,
) -> Claim:
    """What a reader should expect of two published MOS with ``n`` ratings each, by pooled Mann-Whitney U.

    ``rounding``: half of the last printed digit, 0.005 for two decimals. The best case takes it in the claim's favour with the
    smallest spread. Raises ``FaceSRError`` for impossible figures.
    """
    from scipy.special import stdtr

    if n < 2:
        raise FaceSRError(f"a test needs at least two ratings per condition, got {n}: give --raters and --images")
    _refuse(mos, 2, 2, alpha, spreads, scale, ("A", "B"), rounding)
    high, low = max(mos), min(mos)
    at = tuple(_at(high, low, sd, n, alpha, scale) for sd in spreads)
    edge = 1e-6
    best_high, best_low = min(high + rounding, scale[1] - edge), max(low - rounding, scale[0] + edge)
    best = _at(best_high, best_low, min(spreads), n, alpha, scale).p
    p = [c.p for c in at]
    verdict = "expected" if max(p) < alpha else "borderline" if min(*p, best) < alpha else "not expected"
    clustered = float(2 * stdtr(clustered_df, -(high - low) / clustered_se)) if np.isfinite(clustered_se) else np.nan
    return Claim(names[0], names[1], mos, n, alpha, at, min(p), max(p), best, clustered, verdict)


def check_claims(
    mos: Sequence[float],
    raters: int,
    faces: int,
    alpha: float = 0.01,
    spreads: Sequence[float] | None = None,
    scale: tuple[int, int] = (1, 5),
    names: Sequence[str] | None = None,
    rounding: float = 0.005,
) -> list[Claim]:
    """Every pair of published MOS, for ``raters`` who each rated ``faces`` in every condition. See ``check_pair``.

    ``spreads``: standard deviations to assume, by default ``spreads_of(scale)``; variance components are those of one five-point study,
    scaled by the range. Raises one ``FaceSRError`` with everything that is impossible.
    """
    labels = [chr(ord("A") + i) if len(mos) <= 26 else f"method {i + 1}" for i in range(len(mos))] if names is None else list(names)
    sds = spreads_of(scale) if spreads is None else tuple(spreads)
    _refuse(mos, raters, faces, alpha, sds, scale, labels, rounding)
    design = StudySize(raters, faces)
    se = standard_error(typical(scale), design)
    return [
        check_pair((mos[i], mos[j]), raters * faces, alpha, sds, scale, (labels[i], labels[j]), rounding, se, design.df)
        for i, j in combinations(range(len(mos)), 2)
    ]


def _refuse(
    mos: Sequence[float], raters: int, faces: int, alpha: float, spreads: Sequence[float], scale: tuple[int, int],
    names: Sequence[str], rounding: float,
) -> None:  # fmt: skip
    """All that is wrong with a claim's figures, in one error."""
    low, high = scale
    wrong = []
    if not low < high or high - low >= MOST_POINTS:
        wrong.append(
            f"a scale runs from a lower to a higher point with at most {MOST_POINTS:,} points, got {low} to {high}: give --scale"
        )
    else:
        wrong += [f"a MOS of {m:g} is outside the scale {low} to {high}: give --scale" for m in mos if not low < m < high]
    if len(mos) < 2 or len(names) != len(mos):
        wrong.append(f"give two or more MOS and as many names, got {len(mos)} and {len(names)}")
    if len(set(names)) < len(names):
        wrong.append(f"names must differ, got {', '.join(names)}")
    if not 0 < alpha < 1:
        wrong.append(f"alpha is a chance between 0 and 1, got {alpha:g}: give --alpha, 0.01 for instance")
    wrong += [
        f"a standard deviation is a positive number of rating points, got {s:g}: give --sd" for s in spreads if not 0 < s < np.inf
    ]
    if not spreads:
        wrong.append("give one standard deviation or more: --sd")
    if not 0 <= rounding < (high - low) / 2:
        wrong.append(f"means are printed with 0 to 15 decimals, got a rounding of {rounding:g}: give --decimals")
    if raters < 2 or faces < 2:
        wrong.append(f"a study needs two raters and two faces, got {raters} raters and {faces} faces: give --raters and --images")
    if wrong:
        raise FaceSRError("; ".join(wrong))
