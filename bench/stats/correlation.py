"""Metrics against people: how well a metric's values predict MOS, with intervals over faces (ITU-T P.1401)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.correction import holm
from facesr.bench.stats.intervals import F64, Interval

FEW_FACES = 60
"""Up to so many faces intervals come from leaving each face out (t, on a scale where the figure is near normal); above, a bootstrap."""
CUBIC_DF = 4
"""Parameters of the third-order mapping, taken off the count of stimuli in RMSE and RMSE*."""


@dataclass(frozen=True)
class MetricAgreement:
    """One metric against MOS over ``n`` stimuli of ``faces``; intervals draw faces anew.

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
    krocc: float
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
    """SROCC, PLCC, RMSE, RMSE*, outlier ratio."""
    fitted = monotone_cubic(x, mos)[1]
    error = np.abs(mos - fitted)
    beyond = np.maximum(error - half, 0.0)
    df = max(len(x) - CUBIC_DF, 1)
    rho = _pearson(_ranks(x), _ranks(mos))
    # A flat mapping predicts nothing: correlation 0, not undefined.
    plcc = _pearson(fitted, mos) if np.ptp(fitted) > 1e-6 * np.ptp(mos) else 0.0
    return np.array([rho, plcc, np.sqrt((error**2).sum() / df), np.sqrt((beyond**2).sum() / df), (error > half).mean()])


def _clusters(faces: Sequence[object] | None, n: int) -> list[NDArray[np.intp]]:
    names = np.arange(n) if faces is None else np.unique(np.asarray([str(f) for f in faces]), return_inverse=True)[1]
    return [np.flatnonzero(names == k) for k in range(int(names.max()) + 1)]


@dataclass(frozen=True)
class Ranking:
    """Metrics against the same MOS. ``best``: highest SROCC; ``as_good``: those it cannot be told from (with it).

    ``p``: two-sided bootstrap p of each metric's SROCC against the best one's, Holm-corrected; 1 for the best itself.
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
    metrics are compared on the same images. Raises ``FaceSRError`` for lengths that differ or fewer than six stimuli.
    """
    y, half = np.asarray(mos, dtype=np.float64), np.asarray(half_widths, dtype=np.float64)
    table = {name: np.asarray(v, dtype=np.float64) for name, v in metrics.items()}
    wrong = [name for name, v in table.items() if v.shape != y.shape]
    if wrong or half.shape != y.shape or not table or (faces is not None and len(faces) != len(y)):
        raise FaceSRError(
            f"metrics, half widths and faces must have a value for each of {len(y)} MOS; these do not: {wrong or 'see'}"
        )
    keep = np.isfinite(y) & np.isfinite(half) & np.logical_and.reduce([np.isfinite(v) for v in table.values()])
    if keep.sum() < 6:
        raise FaceSRError(f"only {int(keep.sum())} stimuli have both MOS and metrics: correlations need six or more")
    y, half = y[keep], half[keep]
    signs = {name: 1.0 if (higher_is_better or {}).get(name, True) else -1.0 for name in table}
    values = {name: signs[name] * v[keep] for name, v in table.items()}
    clusters = _clusters(None if faces is None else [f for f, k in zip(faces, keep, strict=True) if k], len(y))
    drawn = _draw(values, y, half, clusters, draws, seed)
    agreements = tuple(
        _agreement(name, x, y, half, drawn[:, i], clusters, signs[name], level) for i, (name, x) in enumerate(values.items())
    )
    return _rank(agreements, drawn[:, :, 0])


def _draw(values: Mapping[str, F64], y: F64, half: F64, clusters: list[NDArray[np.intp]], draws: int, seed: int) -> F64:
    """Figures of every metric on every resample of faces: (draws, metrics, 5); all metrics see the same faces."""
    rng = np.random.default_rng(seed)
    drawn = np.full((draws, len(values), 5), np.nan)
    for k in range(draws):
        pick = np.concatenate([clusters[i] for i in rng.integers(0, len(clusters), len(clusters))])
        if np.ptp(y[pick]) > 0:
            drawn[k] = [_figures(x[pick], y[pick], half[pick]) for x in values.values()]
    return drawn


def _few_face_ends(point: F64, x: F64, y: F64, half: F64, clusters: list[NDArray[np.intp]], level: float) -> F64:
    """Ends (2, 5) of the figures' intervals for few faces: jackknife over faces, t with faces - 1 degrees of freedom.

    Correlations on Fisher's z, RMSE and RMSE* on the logarithm, the outlier ratio as it is, cut to [0, 1]. The percentile bootstrap of
    5 faces covers .79 of the true correlations. NaN with fewer than three faces. Source: Fisher 1921; Efron & Tibshirani 1993, chapter 11.
    """
    from scipy.special import stdtrit

    faces = len(clusters)
    if faces < 3:
        return np.full((2, 5), np.nan)
    left = np.array([_figures(*(np.delete(v, c) for v in (x, y, half))) for c in clusters])

    def forth(v: F64) -> F64:
        with np.errstate(divide="ignore", invalid="ignore"):
            near = np.clip(v[..., :2], -1 + 1e-9, 1 - 1e-9)
            return np.concatenate([np.arctanh(near), np.log(np.maximum(v[..., 2:4], 1e-12)), v[..., 4:]], axis=-1)

    z = forth(left)
    se = np.sqrt((faces - 1) / faces * ((z - z.mean(axis=0)) ** 2).sum(axis=0))
    reach = float(stdtrit(faces - 1, (1 + level) / 2)) * se
    middle = forth(point)
    ends = np.stack([middle - reach, middle + reach])
    return np.concatenate([np.tanh(ends[:, :2]), np.exp(ends[:, 2:4]), np.clip(ends[:, 4:], 0, 1)], axis=1)


def _agreement(
    name: str, x: F64, y: F64, half: F64, drawn: F64, clusters: list[NDArray[np.intp]], sign: float, level: float
) -> MetricAgreement:
    from scipy.stats import kendalltau

    point = _figures(x, y, half)
    if len(clusters) <= FEW_FACES:
        ends = _few_face_ends(point, x, y, half, clusters, level)
    else:
        ends = np.nanquantile(drawn, ((1 - level) / 2, (1 + level) / 2), axis=0) if len(drawn) else np.full((2, 5), np.nan)
    rho, plcc, rmse, star, outliers = (Interval(float(p), float(a), float(b), len(x)) for p, a, b in zip(point, *ends, strict=True))
    c = monotone_cubic(x, y)[0] * sign ** np.arange(4)
    return MetricAgreement(
        name,
        len(x),
        len(clusters),
        rho,
        plcc,
        float(kendalltau(x, y).statistic),
        rmse,
        star,
        outliers,
        (float(c[0]), float(c[1]), float(c[2]), float(c[3])),
    )


def _rank(agreements: tuple[MetricAgreement, ...], rho: F64) -> Ranking:
    names = [a.metric for a in agreements]
    best = int(np.nanargmax([a.srocc.mean for a in agreements]))
    p = np.full(len(names), np.nan)
    for i in range(len(names)):
        d = rho[:, best] - rho[:, i]
        d = d[np.isfinite(d)]
        if i != best and len(d):
            # Counting the observed sample as a draw keeps p above zero and the test valid (Davison & Hinkley 1997, 4.2).
            p[i] = min(1.0, 2 * (1 + min((d <= 0).sum(), (d >= 0).sum())) / (len(d) + 1))
    adjusted = holm(p)
    adjusted[best] = 1.0
    known = rho[np.isfinite(rho).all(axis=1)]
    share = np.bincount(known.argmax(axis=1), minlength=len(names)) / max(len(known), 1)
    as_good = tuple(n for n, q in zip(names, adjusted, strict=True) if not q < 0.05)
    return Ranking(
        agreements, names[best], as_good, dict(zip(names, adjusted, strict=True)), dict(zip(names, map(float, share), strict=True))
    )
