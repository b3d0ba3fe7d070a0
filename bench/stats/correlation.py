"""Metrics against people: how well a metric's values predict MOS, with intervals over faces (ITU-T P.1401)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.correction import holm
from facesr.bench.stats.intervals import F64, Interval

GROUPS = 60
"""Most groups of faces that the jackknife leaves out in turn; with fewer faces each is a group of its own."""
CUBIC_DF = 4
"""Parameters of the third-order mapping, taken off the count of stimuli in RMSE and RMSE*."""


@dataclass(frozen=True)
class MetricAgreement:
    """One metric against MOS over ``n`` stimuli of ``faces``; intervals are for other faces.

    ``srocc`` and ``krocc`` (Kendall's tau-b) need no mapping and are positive where the metric points the right way; ``plcc``,
    ``rmse``, ``rmse_star`` and ``outlier_ratio`` are after the monotonic cubic mapping, in MOS points. RMSE* counts only errors
    beyond a stimulus' own 95 % interval; an outlier is a stimulus whose error exceeds it. ``mapping``: coefficients of the cubic
    in the metric, lowest power first.
    """

    metric: str
    n: int
    faces: int
    srocc: Interval
    plcc: Interval
    krocc: Interval
    rmse: Interval
    rmse_star: Interval
    outlier_ratio: Interval
    mapping: tuple[float, float, float, float]


def monotone_cubic(x: ArrayLike, y: ArrayLike) -> tuple[F64, F64]:
    """Least-squares third-order polynomial that rises over the range of ``x``: (coefficients lowest power first, fitted values).

    Where the free fit already rises it is the answer. Otherwise its derivative is a non-negative sum of t(1 - t) and squares
    (t - r)^2, r on a fine grid of [0, 1]: every non-negative quadratic on the range is such a sum. Source: ITU-T P.1401 7.3.2.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    low, width = float(a.min()), float(np.ptp(a))
    if width == 0:
        return np.array([float(b.mean()), 0.0, 0.0, 0.0]), np.full(len(b), b.mean())
    t = (a - low) / width
    basis = np.stack([np.ones_like(t), t, t**2, t**3], axis=1)
    q, r = np.linalg.qr(basis)
    goal = q.T @ b
    coefficients = np.linalg.lstsq(r, goal, rcond=None)[0]
    if not _rises(coefficients):
        coefficients = _rising(r, goal)
    return _unscale(coefficients, low, width), basis @ coefficients


def _rises(c: F64) -> bool:
    slope = np.array([c[1], c[1] + 2 * c[2] + 3 * c[3]])
    turn = -c[2] / (3 * c[3]) if c[3] > 0 else -1.0
    at_turn = c[1] + c[2] * turn if 0 < turn < 1 else 0.0
    return bool(slope.min() >= 0 and at_turn >= 0)


def _rising(r: F64, goal: F64) -> F64:
    from scipy.optimize import nnls

    roots = np.linspace(0, 1, 65)
    zero = np.zeros_like(roots)
    squares = np.stack([zero, roots**2, -roots, zero + 1 / 3])  # integral of (t - r)^2
    cone = np.concatenate([np.array([[1.0, -1.0, 0], [0, 0, 0], [0, 0, 0.5], [0, 0, -1 / 3]]), squares], axis=1)
    weights, _ = nnls(r @ cone, goal)
    rising: F64 = cone @ weights
    return rising


def _unscale(c: F64, low: float, width: float) -> F64:
    """Coefficients in x from those in t = (x - low) / width."""
    a, b = -low / width, 1 / width
    c0, c1, c2, c3 = c
    return np.array([
        c0 + a * (c1 + a * (c2 + a * c3)), b * (c1 + a * (2 * c2 + 3 * a * c3)), b**2 * (c2 + 3 * a * c3), b**3 * c3,
    ])  # fmt: skip


def _pearson(a: F64, b: F64) -> float:
    x, y = a - a.mean(), b - b.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 1e-12 * len(x) else np.nan


def _ranks(x: F64) -> F64:
    """Ranks from 1, ties averaged; as scipy's rankdata, many times faster on the short vectors of a bootstrap."""
    order = np.argsort(x, kind="stable")
    s = x[order]
    start = np.flatnonzero(np.concatenate([[True], s[1:] != s[:-1]]))
    size = np.diff(np.append(start, len(s)))
    ranks = np.empty(len(x))
    ranks[order] = np.repeat(start + (size + 1) / 2, size)
    return ranks


def _figures(x: F64, mos: F64, half: F64) -> F64:
    """SROCC, PLCC, Kendall's tau-b, RMSE, RMSE*, outlier ratio."""
    fitted = monotone_cubic(x, mos)[1]
    error = np.abs(mos - fitted)
    beyond = np.maximum(error - half, 0.0)
    df = max(len(x) - CUBIC_DF, 1)
    # A flat mapping predicts nothing: correlation 0, not undefined.
    plcc = _pearson(fitted, mos) if np.ptp(fitted) > 1e-6 * np.ptp(mos) else 0.0
    return np.array(
        [
            srocc(x, mos),
            plcc,
            krocc(x, mos),
            np.sqrt((error**2).sum() / df),
            np.sqrt((beyond**2).sum() / df),
            _share_beyond(error, half),
        ]
    )


def _share_beyond(error: F64, half: F64) -> float:
    return float((error > half).mean()) if np.isfinite(half).all() else np.nan


def srocc(x: F64, y: F64) -> float:
    """Spearman's rank correlation, ties averaged; NaN where one side does not vary."""
    return _pearson(_ranks(x), _ranks(y))


def krocc(x: F64, y: F64) -> float:
    """Kendall's tau-b; NaN where one side does not vary."""
    from scipy.stats import kendalltau

    return float(kendalltau(x, y).statistic)


def clusters_of_faces(faces: Sequence[object] | None, n: int) -> list[NDArray[np.intp]]:
    """Places of each face's stimuli among ``n``; without ``faces`` each stimulus is a face of its own."""
    names = np.arange(n) if faces is None else np.unique(np.asarray([str(f) for f in faces]), return_inverse=True)[1]
    return [np.flatnonzero(names == k) for k in range(int(names.max()) + 1)]


@dataclass(frozen=True)
class Ranking:
    """Metrics against the same MOS. ``best``: highest SROCC; ``as_good``: those it cannot be told from (with it).

    ``p``: two-sided p of each metric's SROCC against the best one's (paired jackknife over faces, t), Holm-corrected; 1 for the best itself.
    ``share_best``: how often each metric was best when faces were drawn anew.
    """

    agreements: tuple[MetricAgreement, ...]
    best: str
    as_good: tuple[str, ...]
    p: Mapping[str, float]
    share_best: Mapping[str, float]


def metrics_against_people(
    metrics: Mapping[str, ArrayLike],
    mos: ArrayLike,
    half_widths: ArrayLike,
    faces: Sequence[object] | None = None,
    higher_is_better: Mapping[str, bool] | None = None,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Ranking:
    """Compare every metric (values (n,) of the stimuli) with their ``mos`` (n,) and 95 % ``half_widths`` (n,).

    ``faces`` (n,) names each stimulus' face: stimuli of one face are drawn together; without it each stimulus is its own.
    Metrics where lower is better are turned round first. Stimuli with a gap in any metric or in MOS are left out of all, so that
    metrics are compared on the same images; where a half width is unknown RMSE* and outlier ratio are too. Raises ``FaceSRError`` for
    lengths that differ or fewer than six stimuli.
    """
    y, half = np.asarray(mos, dtype=np.float64), np.asarray(half_widths, dtype=np.float64)
    table = {name: np.asarray(v, dtype=np.float64) for name, v in metrics.items()}
    wrong = [name for name, v in table.items() if v.shape != y.shape]
    if wrong or half.shape != y.shape or not table or (faces is not None and len(faces) != len(y)):
        raise FaceSRError(
            f"metrics, half widths and faces must have a value for each of {len(y)} MOS; these do not: {wrong or 'see'}"
        )
    keep = np.isfinite(y) & np.logical_and.reduce([np.isfinite(v) for v in table.values()])
    if keep.sum() < 6:
        raise FaceSRError(f"only {int(keep.sum())} stimuli have both MOS and metrics: correlations need six or more")
    y, half = y[keep], half[keep]
    signs = {name: 1.0 if (higher_is_better or {}).get(name, True) else -1.0 for name in table}
    values = {name: signs[name] * v[keep] for name, v in table.items()}
    clusters = clusters_of_faces(None if faces is None else [f for f, k in zip(faces, keep, strict=True) if k], len(y))
    groups = face_groups(clusters)
    left = {name: _left_out(x, y, half, groups) for name, x in values.items()}
    agreements = tuple(_agreement(name, x, y, half, left[name], len(clusters), signs[name], level) for name, x in values.items())
    z = {name: np.concatenate([[a.srocc.mean], left[name][:, 0]]) for name, a in zip(values, agreements, strict=True)}
    return _rank(agreements, {name: _z(v) for name, v in z.items()}, _share_best(values, y, clusters, draws, seed))


def face_groups(clusters: Sequence[NDArray[np.intp]]) -> list[NDArray[np.intp]]:
    """Faces' stimuli in at most ``GROUPS`` groups of nearly equal size, dealt out in turn: what a jackknife leaves out at once."""
    return [np.concatenate(clusters[k::GROUPS]) for k in range(min(GROUPS, len(clusters)))]


def jackknife_interval(point: float, left: F64, level: float) -> tuple[float, float]:
    """Ends of a figure's interval from its values without each group: t with groups - 1 degrees of freedom; NaN below three groups.

    Source: Efron & Tibshirani 1993, chapter 11.
    """
    from scipy.special import stdtrit

    n = len(left)
    if n < 3 or not np.isfinite(left).all():
        return np.nan, np.nan
    reach = float(stdtrit(n - 1, (1 + level) / 2) * np.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum()))
    return point - reach, point + reach


def _z(v: ArrayLike) -> F64:
    z: F64 = np.arctanh(np.clip(np.asarray(v, dtype=np.float64), -1 + 1e-9, 1 - 1e-9))
    return z


def correlation_interval(point: float, left: F64, level: float, n: int) -> Interval:
    """A correlation with its jackknife interval on Fisher's z; the percentile bootstrap of 5 faces covers .79 of the true ones."""
    low, high = jackknife_interval(float(_z(point)), _z(left), level)
    return Interval(point, float(np.tanh(low)), float(np.tanh(high)), n)


def _with_bias(plcc: Interval, left: F64) -> Interval:
    """The interval, longer at one end by the jackknife's bias: a mapping fitted to few stimuli flatters the metric."""
    if not np.isfinite(plcc.low):
        return plcc
    bias = (len(left) - 1) * float(_z(left).mean() - _z(plcc.mean))
    low, high = np.tanh(_z(plcc.low) - max(bias, 0.0)), np.tanh(_z(plcc.high) - min(bias, 0.0))
    return Interval(plcc.mean, float(low), float(high), plcc.n)


def _left_out(x: F64, y: F64, half: F64, groups: Sequence[NDArray[np.intp]]) -> F64:
    """The figures without each group of faces, (groups, 6)."""
    return np.array([_figures(*(np.delete(v, g) for v in (x, y, half))) for g in groups])


def _agreement(name: str, x: F64, y: F64, half: F64, left: F64, faces: int, sign: float, level: float) -> MetricAgreement:
    point = _figures(x, y, half)
    rho, plcc, tau = (correlation_interval(float(point[k]), left[:, k], level, len(x)) for k in range(3))
    plcc = _with_bias(plcc, left[:, 1])
    rmse, star = (_error_interval(float(point[k]), left[:, k], level, len(x)) for k in (3, 4))
    low, high = np.clip(jackknife_interval(float(point[5]), left[:, 5], level), 0, 1)
    outliers = Interval(float(point[5]), float(low), float(high), len(x))
    c = monotone_cubic(x, y)[0] * sign ** np.arange(4)
    mapping = (float(c[0]), float(c[1]), float(c[2]), float(c[3]))
    plcc, rmse, star, outliers = (_unless_alike(i) for i in (plcc, rmse, star, outliers))
    return MetricAgreement(name, len(x), faces, rho, plcc, tau, rmse, star, outliers, mapping)


def _unless_alike(one: Interval) -> Interval:
    """Without ends where the figure is the same whichever faces are left out (a flat mapping, no outlier): that tells nothing of others."""
    return one if one.high > one.low else Interval(one.mean, np.nan, np.nan, one.n)


def _error_interval(point: float, left: F64, level: float, n: int) -> Interval:
    """An error with its interval on the logarithm."""
    low, high = jackknife_interval(float(np.log(max(point, 1e-12))), np.log(np.maximum(left, 1e-12)), level)
    return Interval(point, float(np.exp(low)), float(np.exp(high)), n)


def _share_best(values: Mapping[str, F64], y: F64, clusters: Sequence[NDArray[np.intp]], draws: int, seed: int) -> dict[str, float]:
    """How often each metric has the highest SROCC when faces are drawn anew; all metrics see the same faces."""
    rng = np.random.default_rng(seed)
    won = np.zeros(len(values))
    for _ in range(draws):
        pick = np.concatenate([clusters[i] for i in rng.integers(0, len(clusters), len(clusters))])
        mos = _ranks(y[pick])
        rho = np.array([_pearson(_ranks(x[pick]), mos) for x in values.values()])
        if np.isfinite(rho).all():
            won[int(rho.argmax())] += 1
    return dict(zip(values, map(float, won / max(won.sum(), 1)), strict=True))


def difference_p(a: F64, b: F64) -> float:
    """Two-sided p of a difference of two figures; each array is the figure of all faces, then without each group of them."""
    from scipy.special import stdtr

    d = a - b
    n = len(d) - 1
    se = float(np.sqrt((n - 1) / n * ((d[1:] - d[1:].mean()) ** 2).sum())) if n > 2 else np.nan
    return float(2 * stdtr(n - 1, -abs(d[0]) / se)) if se > 0 else 1.0 if d[0] == 0 else np.nan


def _rank(agreements: tuple[MetricAgreement, ...], z: Mapping[str, F64], share: dict[str, float]) -> Ranking:
    names = [a.metric for a in agreements]
    known = [a.srocc.mean for a in agreements]
    if not np.isfinite(known).any():
        raise FaceSRError("neither the metrics nor MOS vary over these stimuli: there is no correlation to compute")
    best = names[int(np.nanargmax(known))]
    adjusted = holm([np.nan if n == best else difference_p(z[best], z[n]) for n in names])
    p = {n: 1.0 if n == best else float(q) for n, q in zip(names, adjusted, strict=True)}
    as_good = tuple(n for n, rho in zip(names, known, strict=True) if np.isfinite(rho) and not p[n] < 0.05)
    return Ranking(agreements, best, as_good, p, share)
