"""Means of ratings that share raters and faces: two-way clustered variance, interval and test; variance components."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facesr.bench.stats.crossed import fit
from facesr.bench.stats.intervals import F64, Interval

Over = Literal["none", "raters", "faces", "both"]
"""What a repetition of the study would draw anew: nothing but ratings, other raters, other faces, or both."""
SAID = {"raters": ("rater", "raters"), "faces": ("face", "faces")}


@dataclass(frozen=True)
class ClusteredMean:
    """A mean, its standard error, the degrees of freedom of its t distribution, interval and two-sided p against 0.

    ``raters`` and ``faces``: effective numbers, 1 / sum of squared weights; with gaps below the numbers who took part (a rater with
    one rating is not a whole one). ``undefined``: why se, interval and p are NaN, '' where they are known. ``basis``: which ratings
    the mean is of and how they were weighed, '' where it is the plain mean of complete tables.
    """

    mean: float
    se: float
    df: float
    low: float
    high: float
    p: float
    n: int
    raters: float = np.nan
    faces: float = np.nan
    undefined: str = ""
    basis: str = ""

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


@dataclass(frozen=True)
class Clusters:
    """Raters or faces behind a mean: the effective number, and the degrees of freedom of a variance between them."""

    effective: float
    df: float


def clusters_of(weights: F64, levels: NDArray[np.intp]) -> Clusters:
    """From the weight of every rating and its level: 1 / sum of squared weights of levels, and Bell and McCaffrey's df.

    For equal weights G and G - 1. Source: Bell & McCaffrey 2002, the Satterthwaite df of the CR2 variance of a mean.
    """
    w = np.bincount(levels, weights)
    w = w[w != 0] / w.sum()
    if len(w) < 2 or w.max() >= 1:
        return Clusters(1.0, 0.0)
    if np.ptp(w) < 1e-12:
        return Clusters(float(len(w)), len(w) - 1.0)
    spread = float(((w**2 - 2 * w**3) / (1 - w) ** 2).sum() + (w**2 / (1 - w)).sum() ** 2)
    return Clusters(float(1 / (w**2).sum()), 1 / spread)


def _why_not(over: Over, n: int, raters: float, faces: float, variance: float) -> str:
    """Why no standard error can be given; '' where one can."""
    for unit, effective in (("raters", raters), ("faces", faces)):
        if over in (unit, "both") and effective < 2 - 1e-9:
            one, many = SAID[unit]
            if effective < 1 + 1e-9:
                return f"there is one {one}: what other {many} would give is not known"
            return f"the ratings rest on the equivalent of {effective:.1f} {many}, too few to know what others would give"
    if n < 2:
        return "there are fewer than two ratings"
    return "" if variance > 0 else "the ratings do not vary, so how far others would differ is not known"


def _finish(
    mean: float,
    variance: float,
    over: Over,
    n: int,
    level: float,
    by_rater: Clusters,
    by_face: Clusters,
    basis: str = "",
    most: float = np.inf,
) -> ClusteredMean:
    from scipy.special import stdtr, stdtrit  # scipy.stats costs a second to import

    raters, faces = by_rater.effective, by_face.effective
    df = {"none": n - 1.0, "raters": by_rater.df, "faces": by_face.df, "both": min(by_rater.df, by_face.df)}[over]
    df = min(df, most)
    if abs(mean) > 0 and variance <= 1e-20 * mean**2:
        variance = 0.0  # rounding of equal ratings
    why = _why_not(over, n, raters, faces, variance)
    if why:
        return ClusteredMean(mean, np.nan, max(df, 0.0), np.nan, np.nan, np.nan, n, raters, faces, why, basis)
    se = float(np.sqrt(variance))
    half = float(stdtrit(df, (1 + level) / 2)) * se
    return ClusteredMean(mean, se, df, mean - half, mean + half, float(2 * stdtr(df, -abs(mean) / se)), n, raters, faces, "", basis)


def clustered_mean(table: ArrayLike, over: Over = "both", level: float = 0.95, *, model: bool = False) -> ClusteredMean:
    """Mean of a (raters, faces) table, NaN where not rated, with the uncertainty of new raters, new faces, or both.

    Complete tables, for both: Var = s2(raters) + s2(faces) - s2(residual) / n, which is the two-way ANOVA's
    v_r/I + v_f/J - v_e/(IJ), variances of raters and faces taken as zero where they come out below; t with min(I, J) - 1 degrees of
    freedom. With gaps the variances are those of the mixed model (REML), df the least of Satterthwaite's of their estimate and of Bell
    and McCaffrey's of the raters and of the faces; ``model`` then gives the model's estimate in place of the plain mean. Undefined, with
    the reason, where nothing varies or one rater or face carries all.

    Source: Cameron, Gelbach & Miller 2011, with the residual of the crossed model as the term subtracted; Bell & McCaffrey 2002;
    Bates et al. 2015 for the model; Kuznetsova et al. 2017 for its df.
    """
    x = np.asarray(table, dtype=np.float64)
    x = x[np.isfinite(x).any(axis=1)][:, np.isfinite(x).any(axis=0)]
    seen = np.isfinite(x)
    n = int(seen.sum())
    if n == 0:
        return ClusteredMean(np.nan, np.nan, 0, np.nan, np.nan, np.nan, 0, 0, 0, "there are no ratings")
    mean = float(x[seen].mean())
    r, f = np.nonzero(seen)
    y = x[r, f]
    weights = np.full(n, 1 / n)
    clusters = clusters_of(weights, r), clusters_of(weights, f)
    if over in ("raters", "faces") and not (model and n < x.size):
        variance = _cr2(y - mean, r if over == "raters" else f)
    elif over == "none":
        variance = float(y.var(ddof=1)) / n if n > 1 else np.nan
    elif n < x.size:
        return _gappy(x, over, level, model)
    elif min(x.shape) < 2:
        variance = np.nan
    else:
        residual = residual_variance(x) / n
        variance = residual + max(_cr2(y - mean, r) - residual, 0.0) + max(_cr2(y - mean, f) - residual, 0.0)
    return _finish(mean, variance, over, n, level, *clusters)


def _cr2(e: F64, levels: NDArray[np.intp]) -> float:
    """Variance of a mean of n values with residuals ``e`` when what shares a level is one independent draw.

    For levels of one size s^2 of their means / their number. Source: Bell & McCaffrey 2002, CR2 of an intercept.
    """
    n = len(e)
    share = np.bincount(levels) / n
    if share.max() >= 1:
        return np.nan
    return float(((np.bincount(levels, e) / n) ** 2 / (1 - share)).sum())


def _chosen(over: Over, raters: NDArray[np.intp], faces: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    return [levels for unit, levels in (("raters", raters), ("faces", faces)) if over in (unit, "both")]


def _gappy(x: F64, over: Over, level: float, model: bool) -> ClusteredMean:
    r, f = np.nonzero(np.isfinite(x))
    y = x[r, f]
    found = fit(y, np.ones((len(y), 1)), _chosen(over, r, f), np.ones(1), ordinary=not model)
    basis = f"mixed model of {len(y):,} values by {x.shape[0]} raters of {x.shape[1]} faces" if model else ""
    weights = found.weights if found else np.full(len(y), 1 / len(y))
    value, variance = (found.value, found.variance) if found else (float(y.mean()), 0.0)
    clusters = [_between(weights, np.full(len(y), 1 / len(y)), levels) for levels in (r, f)]
    return _finish(value, variance, over, len(y), level, clusters[0], clusters[1], basis, found.df if found else np.inf)


def clustered_difference(a: ArrayLike, b: ArrayLike, level: float = 0.95, over: Over = "both") -> ClusteredMean:
    """Mean of a minus b, two (raters, faces) tables, for new raters and new faces.

    Complete tables: the difference of the two means. With gaps the mixed model's estimate, ``basis`` says of what: where at least
    half of the ratings have their partner (same rater, same face), of the differences of those cells, so that rater and face effects
    cancel; otherwise of all ratings, with raters, faces and their interactions with the condition as random effects.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    paired = np.isfinite(x) & np.isfinite(y)
    total = int(np.isfinite(x).sum() + np.isfinite(y).sum())
    fewer = min(np.isfinite(x).sum(), np.isfinite(y).sum())
    if not fewer or paired.sum() < fewer / 2:
        return _unpaired(x, y, level, over)
    found = clustered_mean(x - y, over, level, model=True)
    pairs = int(paired.sum())
    if not found.basis and 2 * pairs == total:
        return found
    left = f", {total - 2 * pairs:,} ratings without a partner left out" if total > 2 * pairs else ""
    how = "mean" if not found.basis else "mixed model"
    return replace(found, basis=f"{how} of {pairs:,} differences (one rater, one face){left}")


def _unpaired(x: F64, y: F64, level: float, over: Over) -> ClusteredMean:
    seen = [np.isfinite(x), np.isfinite(y)]
    if min(s.sum() for s in seen) == 0:
        why = "one of the two has no ratings"
        return ClusteredMean(np.nan, np.nan, 0, np.nan, np.nan, np.nan, 0, 0, 0, why, "ratings of one condition only")
    cells = [np.nonzero(s) for s in seen]
    r, f = (np.concatenate([c[k] for c in cells]) for k in (0, 1))
    condition = np.repeat([0, 1], [len(c[0]) for c in cells])
    values = np.concatenate([x[seen[0]], y[seen[1]]])
    design = np.stack([condition == 0, condition == 1], axis=1).astype(np.float64)
    contrast = np.array([1.0, -1.0])
    factors = [g for levels in _chosen(over, r, f) for g in (levels, 2 * levels + condition)]
    found = fit(values, design, factors, contrast)
    plain = design @ (contrast / design.sum(axis=0))
    weights = found.weights if found else plain
    value, variance = (found.value, found.variance) if found else (float(weights @ values), 0.0)
    basis = f"mixed model of {len(values):,} ratings; too few cells hold both conditions to pair them"
    sides = [_fewer(weights, plain, levels, condition) for levels in (r, f)]
    return _finish(value, variance, over, len(values), level, sides[0], sides[1], basis, found.df if found else np.inf)


def _between(weights: F64, plain: F64, levels: NDArray[np.intp]) -> Clusters:
    """Clusters of the model's weights, with df halfway (geometrically) to those of plain weights, since the weights are estimates.

    Halfway is a choice: it holds the levels in docs/statistics.md, where the model's df alone let them rise to .075.
    """
    model, even = clusters_of(weights, levels), clusters_of(plain, levels)
    return Clusters(model.effective, min(model.df, float(np.sqrt(model.df * even.df))))


def _fewer(weights: F64, plain: F64, levels: NDArray[np.intp], condition: NDArray[np.intp]) -> Clusters:
    """Of the two conditions' raters (or faces) the fewer."""
    sides = [_between(weights[condition == k], plain[condition == k], levels[condition == k]) for k in (0, 1)]
    return min(sides, key=lambda c: c.df)


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
    def unknown(self) -> list[str]:
        """Names of those that the ratings cannot tell."""
        return [name.replace("_", " x ") for name, sd in vars(self).items() if not np.isfinite(sd)]

    @property
    def rating(self) -> float:
        """Standard deviation of one rating of one condition."""
        return float(np.sqrt(sum(v**2 for v in vars(self).values())))


def components(values: ArrayLike) -> Components:
    """Variance components of ratings (raters, faces, conditions): conditions fixed, raters and faces random and crossed.

    Complete cubes: expected mean squares of the three-way ANOVA. Others: mean products of residuals that share a rater, a
    face or a condition (Koch 1967), slightly low for few raters or faces. Estimates below zero are set to zero; NaN is what these ratings
    cannot tell (a single rater, face or condition).
    """
    x = np.asarray(values, dtype=np.float64)
    found = _components_anova(x) if np.isfinite(x).all() else _components_products(x)
    return Components(*(float(np.sqrt(max(v, 0.0))) if np.isfinite(v) else np.nan for v in found))


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
