"""A mean, or a difference of two means, of ratings with crossed raters and faces and gaps: the linear mixed model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesr.bench.stats.intervals import F64

LEVELS = 600
"""Most levels of the smaller factors for which REML is solved with dense matrices; above, components come from moments."""

RATIO = 1e3
"""Largest standard deviation of a factor beside the residual that is tried: beyond it the residual is rounding."""

Levels = NDArray[np.intp]


@dataclass(frozen=True)
class Fit:
    """Generalised least squares of one contrast: its value, variance, the weight of every rating, and the variances found.

    ``variances``: of each factor's levels, in the order given; ``residual``: of one rating about them. ``df``: Satterthwaite's, of the
    variance (of the model's own estimate, whatever the weights).
    """

    value: float
    variance: float
    weights: F64
    variances: tuple[float, ...]
    residual: float
    df: float


class _Solver:
    """The penalised normal equations of y = X b + sum Z_k u_k + e, with the largest factor eliminated (its block is diagonal).

    ``design`` holds X and y side by side, so that one solution gives estimates and their covariance.
    """

    def __init__(self, y: F64, x: F64, factors: Sequence[Levels]) -> None:
        self.factors = list(factors)
        self.sizes = [int(f.max()) + 1 for f in self.factors]
        self.big = int(np.argmax(self.sizes))
        self.right = np.column_stack([x, y])
        self.counts = [np.bincount(f, minlength=n).astype(np.float64) for f, n in zip(self.factors, self.sizes, strict=True)]
        self.rest = [k for k in range(len(self.sizes)) if k != self.big]
        self.z_right = [self._sum(k, self.right) for k in range(len(self.sizes))]
        self.cross = np.hstack([self._table(self.big, k) for k in self.rest]) if self.rest else np.zeros((self.sizes[self.big], 0))
        blocks = [[np.diag(self.counts[k]) if k == j else self._table(k, j) for j in self.rest] for k in self.rest]
        self.block = np.block(blocks) if self.rest else np.zeros((0, 0))
        self.gram = self.right.T @ self.right

    def _sum(self, k: int, columns: F64) -> F64:
        return np.stack([np.bincount(self.factors[k], c, self.sizes[k]) for c in columns.T], axis=1)

    def _table(self, k: int, j: int) -> F64:
        flat = self.factors[k] * self.sizes[j] + self.factors[j]
        return np.bincount(flat, minlength=self.sizes[k] * self.sizes[j]).reshape(self.sizes[k], -1).astype(np.float64)

    def reduced(self, ratio: F64) -> tuple[float, F64]:
        """log |V| / residual and (X, y)' V^-1 (X, y), where V = I + sum ratio_k^2 Z_k Z_k'."""
        from scipy.linalg import cho_solve, cholesky

        b = ratio[self.big]
        diagonal = b**2 * self.counts[self.big] + 1
        log_det = float(np.log(diagonal).sum())
        right = b * self.z_right[self.big]
        gram = self.gram - right.T @ (right / diagonal[:, None])
        if not self.rest:
            return log_det, gram
        r = np.concatenate([np.full(self.sizes[k], ratio[k]) for k in self.rest])
        cross = b * self.cross * r
        inner = np.eye(len(r)) + self.block * r[:, None] * r - cross.T @ (cross / diagonal[:, None])
        lower = cholesky(inner, lower=True, check_finite=False)
        z = np.concatenate([self.z_right[k] for k in self.rest]) * r[:, None] - cross.T @ (right / diagonal[:, None])
        gram = gram - z.T @ cho_solve((lower, True), z, check_finite=False)
        return log_det + 2 * float(np.log(np.diag(lower)).sum()), gram

    def inverse_times(self, columns: F64, ratio: F64) -> F64:
        """V^-1 times ``columns`` (n, k), by conjugate gradients: exact to rounding and linear in the ratings."""
        return np.stack([self._conjugate(c, ratio) for c in columns.T], axis=1)

    def _v(self, v: F64, ratio: F64) -> F64:
        total = v.copy()
        for k, f in enumerate(self.factors):
            if ratio[k] > 0:
                total += ratio[k] ** 2 * np.bincount(f, v, self.sizes[k])[f]
        return total

    def _conjugate(self, b: F64, ratio: F64) -> F64:
        x, r = np.zeros_like(b), b.copy()
        p, size = r.copy(), float(b @ b)
        goal = 1e-24 * size
        for _ in range(2000):
            if size <= goal:
                break
            ap = self._v(p, ratio)
            step = size / float(p @ ap)
            x, r = x + step * p, r - step * ap
            size, before = float(r @ r), size
            p = r + size / before * p
        return x


def _deviance(solver: _Solver, ratio: F64, n: int, p: int) -> float:
    """REML criterion, as lme4 profiles it (Bates et al. 2015, equation 39)."""
    log_det, gram = solver.reduced(ratio)
    xx, xy, yy = gram[:p, :p], gram[:p, p], gram[p, p]
    left = float(yy - xy @ np.linalg.solve(xx, xy))
    return log_det + float(np.linalg.slogdet(xx)[1]) + (n - p) * float(np.log(max(left, 1e-300)))


def _reml(solver: _Solver, n: int, p: int) -> F64:
    from scipy.optimize import minimize

    def criterion(ratio: F64) -> float:
        return _deviance(solver, ratio, n, p)

    k = len(solver.sizes)
    options: Any = {"ftol": 1e-11, "gtol": 1e-6}
    starts = [np.full(k, start) for start in (0.5, 0.05)]
    found = [minimize(criterion, start, method="L-BFGS-B", bounds=[(0.0, RATIO)] * k, options=options) for start in starts]
    return np.asarray(min(found, key=lambda f: float(f.fun)).x, dtype=np.float64)


def _satterthwaite(solver: _Solver, ratio: F64, residual: float, contrast: F64, n: int) -> float:
    """Degrees of freedom of the estimated variance of a contrast: 2 f^2 / (g' A g), as lmerTest has them (Kuznetsova et al. 2017).

    A: covariance of the variances, twice the inverse Hessian of the REML criterion in them; g: slope of the variance f. By central
    differences. Variances estimated as zero are taken as known.
    """
    p = len(contrast)
    free = np.flatnonzero(ratio > 1e-4)
    at = np.concatenate([[residual], residual * ratio[free] ** 2])

    def both(v: F64) -> F64:
        r = np.zeros(len(ratio))
        r[free] = np.sqrt(np.maximum(v[1:], 0.0) / v[0])
        log_det, gram = solver.reduced(r)
        xx, xy, yy = gram[:p, :p], gram[:p, p], gram[p, p]
        left = float(yy - xy @ np.linalg.solve(xx, xy))
        deviance = log_det + float(np.linalg.slogdet(xx)[1]) + (n - p) * float(np.log(v[0])) + left / v[0]
        return np.array([deviance, v[0] * float(contrast @ np.linalg.solve(xx, contrast))])

    size = len(at)
    steps = np.diag(1e-3 * at)
    plus, minus, middle = [both(at + h) for h in steps], [both(at - h) for h in steps], both(at)
    slope = np.array([(a[1] - b[1]) / (2e-3 * v) for a, b, v in zip(plus, minus, at, strict=True)])
    hessian = np.empty((size, size))
    for i in range(size):
        hessian[i, i] = (plus[i][0] + minus[i][0] - 2 * middle[0]) / (1e-3 * at[i]) ** 2
        for j in range(i):
            h, k = steps[i], steps[j]
            mixed = both(at + h + k)[0] + both(at - h - k)[0] - both(at + h - k)[0] - both(at - h + k)[0]
            hessian[i, j] = hessian[j, i] = mixed / (4e-6 * at[i] * at[j])
    covariance = 2 * np.linalg.pinv(hessian)
    noise = float(slope @ covariance @ slope)
    return float(2 * middle[1] ** 2 / noise) if noise > 0 else np.inf


def _moments(y: F64, x: F64, factors: Sequence[Levels], solver: _Solver) -> F64:
    """Ratios from moments, for tables too large for REML: sums of squares of level sums against their expectations.

    Residuals about the ordinary estimate stand for the errors, which is harmless with hundreds of levels.
    """
    e = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    n, k = len(y), len(factors)
    left, right = np.ones((k + 1, k + 1)), np.empty(k + 1)
    right[k] = float((e**2).mean())
    for i in range(k):
        sums = np.bincount(factors[i], e, solver.sizes[i])
        right[i] = float((sums**2).sum()) / n
        left[i, k] = 1.0
        for j in range(k):
            shared = np.unique(factors[i] * solver.sizes[j] + factors[j], return_counts=True)[1].astype(np.float64)
            left[i, j] = float((shared**2).sum()) / n if i != j else float((solver.counts[i] ** 2).sum()) / n
    found = np.linalg.lstsq(left, right, rcond=None)[0]
    residual = max(float(found[k]), 1e-12)
    ratios: F64 = np.sqrt(np.maximum(found[:k], 0.0) / residual)
    return ratios


def fit(y: F64, x: F64, factors: Sequence[Levels], contrast: F64, *, ordinary: bool = False) -> Fit | None:
    """Estimate ``contrast @ b`` of y = X b + random effects of ``factors`` (levels of every rating, from 0) by REML.

    ``ordinary``: weigh every rating alike (the plain mean), and use the model for the variance only. None where the ratings do
    not vary about the model, or there are fewer of them than it needs. Same estimates as lme4's ``lmer``. Source: Bates et al.
    2015, "Fitting linear mixed-effects models using lme4".
    """
    n, p = x.shape
    used = [np.unique(f, return_inverse=True)[1].astype(np.intp) for f in factors]
    if n - p < 1 or np.linalg.matrix_rank(x) < p:
        return None
    plain = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    if float(np.abs(plain).max()) <= 1e-10 * max(float(np.abs(y).max()), 1e-300):
        return None
    kept = [
        k for k, f in enumerate(used) if 1 < int(f.max()) + 1 < n
    ]  # one level, or one rating a level: not to be told from the rest
    solver = _Solver(y, x, [used[k] for k in kept]) if kept else None
    ratio, small = np.zeros(0), False
    if solver is not None:
        small = sum(solver.sizes) - max(solver.sizes) <= LEVELS
        ratio = _reml(solver, n, p) if small else _moments(y, x, solver.factors, solver)
    inverse = solver.inverse_times(np.column_stack([x, y]), ratio) if solver is not None else np.column_stack([x, y])
    gram = np.column_stack([x, y]).T @ inverse
    inner = np.linalg.inv(gram[:p, :p])
    beta = inner @ gram[:p, p]
    residual = float(gram[p, p] - gram[:p, p] @ beta) / (n - p)
    weights = inverse[:, :p] @ inner @ contrast
    variance = residual * float(contrast @ inner @ contrast)
    if ordinary:
        weights = x @ np.linalg.inv(x.T @ x) @ contrast
        spread = solver._v(weights, ratio) if solver is not None else weights
        variance = residual * float(weights @ spread)
    variances = np.zeros(len(factors))
    variances[kept] = residual * ratio**2
    df = _satterthwaite(solver, ratio, residual, contrast, n) if solver is not None and small else np.inf
    return Fit(float(weights @ y), variance, weights, tuple(map(float, variances)), residual, df)
