"""Mean opinion scores of conditions, with the three intervals that answer three different questions; SOS; DMOS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.stats.clustered import clustered_mean
from facesr.bench.stats.cube import Cube
from facesr.bench.stats.intervals import F64, Interval, pigeonhole_interval
from facesr.bench.stats.recovery import table_means, table_sd

DRAWS = 2_000
"""Two-way bootstrap draws for the intervals of MOS; ten thousand change the second decimal of none."""


@dataclass(frozen=True)
class ConditionMos:
    """MOS of one condition. ``n`` ratings by ``raters`` of ``faces``; ``sd`` of the ratings.

    ``naive``: as if every rating were independent (what most papers print); ``over_raters``: other raters, these faces;
    ``over_both``: other raters and other faces, the one a general claim needs. ``histogram``: ratings at each point of the scale.
    ``top_two``: share of ratings in the top quarter of the scale, the two best of five points (``top_from``). ``design_effect``: variance
    over_both / naive; n / design_effect independent ratings would be as precise. ``se`` and ``df`` belong to ``over_both``.
    ``bootstrap``: raters and faces drawn anew (pigeonhole), without normality; ``crowdmos``: as CrowdMOS has it. ``note``: what the reader
    must know of the interval, '' where there is nothing.
    """

    condition: str
    mean: float
    sd: float
    n: int
    raters: int
    faces: int
    naive: Interval
    over_raters: Interval
    over_both: Interval
    histogram: tuple[int, ...]
    top_two: float
    design_effect: float
    se: float = np.nan
    df: float = np.nan
    bootstrap: Interval | None = None
    crowdmos: Interval | None = None
    note: str = ""


def top_from(scale: tuple[float, float] = (1, 5)) -> float:
    """The lowest rating that counts as one of the top: three quarters up the scale, 4 of 1 to 5, 75 of 0 to 100."""
    return scale[0] + 0.75 * (scale[1] - scale[0])


def alike_interval(value: float, n: int, scale: tuple[float, float], level: float = 0.95) -> tuple[float, float]:
    """Where the mean may lie when ``n`` independent clusters all gave ``value``: exact for any distribution on the scale.

    A share pi of clusters that would answer otherwise stays unseen with chance (1 - pi)^n; where that is (1 - level) / 2, all of
    them may lie at the far end of the scale. Source: the rule of three made exact, as Clopper & Pearson 1934 for no events.
    """
    unseen = 1 - ((1 - level) / 2) ** (1 / max(n, 1))
    return value - unseen * (value - scale[0]), value + unseen * (scale[1] - value)


def condition_mos(cube: Cube, scale: tuple[int, int] = (1, 5), level: float = 0.95) -> tuple[ConditionMos, ...]:
    """MOS of each condition in the cube's order. ``scale``: lowest and highest point. Source: ITU-T P.800.2, P.910."""
    drawn = pigeonhole_interval(cube.values, level, DRAWS) if cube.values.size else []
    return tuple(_one(name, cube.values[:, :, i], scale, level, drawn[i]) for i, name in enumerate(cube.conditions))


def _one(name: str, table: F64, scale: tuple[int, int], level: float, bootstrap: Interval) -> ConditionMos:
    seen = np.isfinite(table)
    x = table[seen]
    naive, by_rater, both = (clustered_mean(table, over, level) for over in ("none", "raters", "both"))
    points = np.arange(scale[0], scale[1] + 1)
    raters, faces = int(seen.any(axis=1).sum()), int(seen.any(axis=0).sum())
    intervals = [naive.interval, by_rater.interval, both.interval]
    note = both.undefined
    if len(x) and np.ptp(x) == 0:
        clusters = (len(x), raters, min(raters, faces))
        intervals = [Interval(both.mean, *alike_interval(both.mean, n, scale, level), len(x)) for n in clusters]
        bootstrap = intervals[2]
        note = f"all {len(x):,} ratings are {x[0]:g}: the interval is what {clusters[2]} unanimous raters and faces leave possible"
    return ConditionMos(
        condition=name,
        mean=both.mean,
        sd=float(x.std(ddof=1)) if len(x) > 1 else np.nan,
        n=len(x),
        raters=raters,
        faces=faces,
        naive=intervals[0],
        over_raters=intervals[1],
        over_both=intervals[2],
        histogram=tuple(int(k) for k in (np.rint(x)[:, None] == points).sum(axis=0)),
        top_two=float((x >= top_from(scale)).mean()) if len(x) else np.nan,
        design_effect=both.se**2 / naive.se**2 if naive.se > 0 else np.nan,
        se=both.se,
        df=both.df,
        bootstrap=bootstrap,
        crowdmos=crowdmos_interval(table, level),
        note=note,
    )


def crowdmos_interval(table: ArrayLike, level: float = 0.95) -> Interval:
    """CrowdMOS's interval of one condition: (raters, faces) table, NaN where not rated, three Gaussian components.

    Kept for comparison with studies that used it; population variances as its authors' program has them. Source: Ribeiro,
    Florencio, Zhang & Seltzer 2011.
    """
    from scipy.special import stdtrit

    x = np.asarray(table, dtype=np.float64)
    seen = np.isfinite(x)
    total = int(seen.sum())
    if total < 2:
        return Interval(float(x[seen][0]) if total else np.nan, np.nan, np.nan, total)
    within_rater, within_face = (_mean_variance(x, axis) for axis in (1, 0))
    overall = float(x[seen].var())
    faces, raters, noise = _crowdmos_components(within_rater, within_face, overall)
    by_face, by_rater = seen.sum(axis=0), seen.sum(axis=1)
    variance = (faces * (by_face**2).sum() + raters * (by_rater**2).sum()) / total**2 + noise / total
    half = float(stdtrit(min(x.shape) - 1, (1 + level) / 2)) * float(np.sqrt(variance)) if min(x.shape) > 1 else np.nan
    mean = float(x[seen].mean())
    return Interval(mean, mean - half, mean + half, total)


def _crowdmos_components(within_rater: float, within_face: float, overall: float) -> tuple[float, float, float]:
    """Variances of faces, raters and noise: within a rater vary faces and noise, within a face raters and noise, overall all.

    Where one of the first two is unknown, what is left goes where the authors' program puts it.
    """
    if np.isnan(within_rater) and np.isnan(within_face):
        return 0.0, 0.0, overall
    if np.isnan(within_rater):
        return 0.0, max(overall - within_face, 0.0), within_face
    if np.isnan(within_face):
        return max(overall - within_rater, 0.0), 0.0, within_rater
    return max(overall - within_face, 0.0), max(overall - within_rater, 0.0), max(within_rater + within_face - overall, 0.0)


def _mean_variance(x: F64, axis: int) -> float:
    """Mean of the population variances along an axis, of those with two values or more."""
    enough = np.isfinite(x).sum(axis=axis) > 1
    return float((table_sd(x, axis, 0)[enough] ** 2).mean()) if enough.any() else np.nan


@dataclass(frozen=True)
class Sos:
    """Hossfeld's a: variance = a (MOS - low)(high - MOS) over stimuli; 0: all agree, 1: everyone at an end of the scale."""

    a: float
    stimuli: int


def sos(table: ArrayLike, scale: tuple[int, int] = (1, 5)) -> Sos:
    """The SOS parameter of a (stimuli, raters) table, by least squares. Typical for images .1 to .25.

    Source: Hossfeld, Schatz & Egger 2011, "SOS: the MOS is not enough!".
    """
    x = np.asarray(table, dtype=np.float64)
    mean, variance = table_means(x, 1), table_sd(x, 1, 1) ** 2
    known = np.isfinite(variance)
    curve = (mean[known] - scale[0]) * (scale[1] - mean[known])
    weight = float((curve**2).sum())
    return Sos(float((variance[known] * curve).sum() / weight) if weight > 0 else np.nan, int(known.sum()))


def difference_scores(cube: Cube, reference: str, scale: tuple[int, int] = (1, 5), *, crush: bool = False) -> Cube:
    """Each rater's score of a face minus the same rater's score of its reference, plus the scale's top (ACR-HR).

    Values above the top are allowed, or crushed by 7 DV / (2 + DV) on a five-point scale. The means are DMOS. Raises
    ``FaceSRError`` for a reference that was not rated. Source: ITU-T P.910, P.913 7.2.2.
    """
    if reference not in cube.conditions:
        raise FaceSRError(f"no condition {reference!r} to take differences from: {suggest(reference, cube.conditions)}")
    k = cube.conditions.index(reference)
    keep = [i for i in range(len(cube.conditions)) if i != k]
    top = float(scale[1])
    d = cube.values[:, :, keep] - cube.values[:, :, [k]] + top
    if crush:
        d = np.where(d > top, (top + 2) * d / (2 + d), d)
    return Cube(d, cube.raters, cube.faces, tuple(cube.conditions[i] for i in keep))
