"""Does a difference hang on one rater or one face: the comparison again without each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facesr.bench.stats.clustered import clusters_of, residual_variance
from facesr.bench.stats.crossed import fit
from facesr.bench.stats.intervals import F64

MOST = 400
"""Raters and faces together up to which each is left out in turn: one of more carries too little to matter."""


@dataclass(frozen=True)
class LeftOut:
    """A difference without any one rater or face: lowest and highest p and difference, and without whom p is highest."""

    p_low: float
    p_high: float
    difference_low: float
    difference_high: float
    hangs_on: str


def left_out(a: F64, b: F64, raters: Sequence[str], faces: Sequence[str]) -> LeftOut | None:
    """The clustered difference of two (raters, faces) tables, each rater and each face left out in turn.

    Complete tables: the whole test again. With gaps the weights and variances of the full model are kept, so only what a unit adds is
    taken away. None where there are more than ``MOST`` of them, or nothing to test.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if sum(x.shape) > MOST or min(x.shape) < 2:
        return None
    d = x - y
    found = _complete(d) if np.isfinite(d).all() else _gaps(x, y)
    if found is None:
        return None
    p, difference = found
    known = np.isfinite(p)
    if not known.any():
        return None
    worst = int(np.argmax(np.where(known, p, -1)))
    name = f"rater {raters[worst]}" if worst < len(raters) else f"face {faces[worst - len(raters)]}"
    return LeftOut(
        float(p[known].min()), float(p[known].max()), float(difference[known].min()), float(difference[known].max()), name
    )


def _complete(d: F64) -> tuple[F64, F64]:
    """p and mean without each rater, then without each face, of a complete table of differences."""
    from scipy.special import stdtr

    found = []
    for axis in (0, 1):
        for i in range(d.shape[axis]):
            x = np.delete(d, i, axis)
            rows, columns = x.shape
            n, mean = x.size, float(x.mean())
            if min(rows, columns) < 2:
                found.append((np.nan, mean))
                continue
            residual = residual_variance(x) / n
            spread = [float(x.mean(axis=k).var(ddof=1)) / x.shape[1 - k] for k in (0, 1)]
            variance = residual + sum(max(v - residual, 0.0) for v in spread)
            known = variance > 1e-20 * mean**2
            p = 2 * float(stdtr(min(rows, columns) - 1, -abs(mean) / np.sqrt(variance))) if known else np.nan
            found.append((p, mean))
    return np.array([p for p, _ in found]), np.array([m for _, m in found])


def _gaps(x: F64, y: F64) -> tuple[F64, F64] | None:
    """The same from the weights and variances of the mixed model of all ratings."""
    from scipy.special import stdtr

    both = np.isfinite(x) & np.isfinite(y)
    fewer = min(np.isfinite(x).sum(), np.isfinite(y).sum())
    if not fewer:
        return None
    if both.sum() >= fewer / 2:
        r, f = np.nonzero(both)
        condition, values, design, contrast = np.zeros(len(r), dtype=np.intp), (x - y)[both], np.ones((len(r), 1)), np.ones(1)
        factors: list[NDArray[np.intp]] = [r, f]
    else:
        cells = [np.nonzero(np.isfinite(t)) for t in (x, y)]
        r, f = (np.concatenate([c[k] for c in cells]) for k in (0, 1))
        condition = np.repeat([0, 1], [len(c[0]) for c in cells])
        values, contrast = np.concatenate([x[cells[0]], y[cells[1]]]), np.array([1.0, -1.0])
        design = np.stack([condition == 0, condition == 1], axis=1).astype(np.float64)
        factors = [r, 2 * r + condition, f, 2 * f + condition]
    model = fit(values, design, factors, contrast)
    if model is None:
        return None
    p, means = [], []
    for levels, size in ((r, x.shape[0]), (f, x.shape[1])):
        for i in range(size):
            w = np.where(levels == i, 0.0, model.weights)
            totals = np.bincount(condition, w, design.shape[1])
            if (totals == 0).any():
                p.append(np.nan)
                means.append(np.nan)
                continue
            w = w * (contrast / totals)[condition]
            spread = sum(v * float((np.bincount(g, w) ** 2).sum()) for v, g in zip(model.variances, factors, strict=True))
            se = float(np.sqrt(spread + model.residual * float((w**2).sum())))
            df = min(clusters_of(w[condition == k], g[condition == k]).df for k in range(design.shape[1]) for g in (r, f))
            mean = float(w @ values)
            p.append(2 * float(stdtr(df, -abs(mean) / se)) if df >= 1 and se > 0 else np.nan)
            means.append(mean)
    return np.array(p), np.array(means)
