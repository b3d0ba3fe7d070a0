"""Which of two: Bradley-Terry abilities from paired comparisons, with standard errors and tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.correction import holm
from facesr.bench.stats.intervals import F64


@dataclass(frozen=True)
class BradleyTerry:
    """Log-abilities that average zero: P(i beats j) = 1 / (1 + exp(score_j - score_i)).

    ``covariance`` (n, n) of the scores; ``low``, ``high`` their intervals; ``p`` (n, n): Wald tests of score differences,
    Holm-corrected over pairs. ``clustered``: whether the covariance lets a rater's choices depend on each other.
    """

    names: tuple[str, ...]
    scores: F64
    low: F64
    high: F64
    covariance: F64
    p: F64
    comparisons: int
    clustered: bool

    def probability(self, a: str, b: str) -> float:
        """Chance that ``a`` is chosen over ``b``."""
        i, j = self.names.index(a), self.names.index(b)
        return float(1 / (1 + np.exp(self.scores[j] - self.scores[i])))


def _check(wins: F64, names: Sequence[str]) -> None:
    n = len(names)
    if wins.shape != (n, n) or n < 2 or (wins < 0).any():
        raise FaceSRError(f"wins must be a ({n}, {n}) table of counts, wins[i, j] how often i beat j, got shape {wins.shape}")
    reach = (wins > 0) | np.eye(n, dtype=bool)
    for _ in range(n):
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    if not reach.all():
        stuck = [names[i] for i in range(n) if not (reach[i].all() and reach[:, i].all())]
        raise FaceSRError(
            f"no finite Bradley-Terry scores: some of {', '.join(stuck)} never won or never lost against the rest; collect more comparisons"
        )


def bradley_terry(wins: ArrayLike, names: Sequence[str], level: float = 0.95, by_rater: ArrayLike | None = None) -> BradleyTerry:
    """Maximum-likelihood Bradley-Terry scores. ``wins[i, j]``: how often i was chosen over j; count a tie half to each.

    ``by_rater`` (raters, n, n), summing to ``wins``, makes standard errors robust to raters who each compare many times.
    Raises ``FaceSRError`` where scores would be infinite (someone never won or never lost) or the table does not fit.
    Source: Bradley & Terry 1952; Hunter 2004 for existence; Newton's method on the concave log-likelihood.
    """
    w = np.asarray(wins, dtype=np.float64)
    _check(w, names)
    played = w + w.T
    scores = np.zeros(len(names))
    for _ in range(100):
        gradient, information = _derivatives(w, played, scores)
        step = np.linalg.pinv(information) @ gradient
        scores = scores + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-12:
            break
    scores = scores - scores.mean()
    covariance = np.asarray(np.linalg.pinv(_derivatives(w, played, scores)[1]), dtype=np.float64)
    if by_rater is not None:
        covariance = _robust(np.asarray(by_rater, dtype=np.float64), scores, covariance)
    return _result(names, scores, covariance, level, int(w.sum()), by_rater is not None)


def _derivatives(w: F64, played: F64, scores: F64) -> tuple[F64, F64]:
    p = 1 / (1 + np.exp(scores[None, :] - scores[:, None]))
    weight = played * p * (1 - p)
    return (w - played * p).sum(axis=1), np.diag(weight.sum(axis=1)) - weight


def _robust(by_rater: F64, scores: F64, bread: F64) -> F64:
    """Sandwich covariance with one score vector a rater. Source: Liang & Zeger 1986."""
    parts = np.stack([_derivatives(w, w + w.T, scores)[0] for w in by_rater])
    n = len(parts)
    robust: F64 = bread @ (parts.T @ parts) @ bread * n / max(n - 1, 1)
    return robust


def _result(names: Sequence[str], scores: F64, covariance: F64, level: float, comparisons: int, clustered: bool) -> BradleyTerry:
    from scipy.special import ndtr, ndtri

    half = float(ndtri((1 + level) / 2)) * np.sqrt(np.diag(covariance))
    pairs = list(combinations(range(len(names)), 2))
    raw = []
    for i, j in pairs:
        variance = covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]
        raw.append(2 * ndtr(-abs(scores[i] - scores[j]) / np.sqrt(variance)) if variance > 0 else np.nan)
    p = np.ones((len(names), len(names)))
    for (i, j), value in zip(pairs, holm(raw), strict=True):
        p[i, j] = p[j, i] = value
    return BradleyTerry(tuple(names), scores, scores - half, scores + half, covariance, p, comparisons, clustered)
