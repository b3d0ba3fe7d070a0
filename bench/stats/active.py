"""Which two to compare next: the pair whose answer is expected to tell most about all scores, under a Bradley-Terry posterior."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from facesr.bench.stats.intervals import F64

PRIOR_SD = 2.0
"""Standard deviation of a score before any comparison, in log-odds: the best of six then wins against the worst in nearly all cases."""


def posterior(wins: ArrayLike, prior_sd: float = PRIOR_SD) -> tuple[F64, F64]:
    """Mean (n,) and covariance (n, n) of Bradley-Terry scores given ``wins[i, j]``, how often i was chosen over j (a tie half to each).

    Laplace's approximation at the mode, with independent normal priors: it exists from the first comparison on.
    """
    w = np.asarray(wins, dtype=np.float64)
    played = w + w.T
    scores = np.zeros(len(w))
    precision = np.eye(len(w)) / prior_sd**2
    for _ in range(50):
        p = 1 / (1 + np.exp(scores[None, :] - scores[:, None]))
        gradient = (w - played * p).sum(axis=1) - scores / prior_sd**2
        weight = played * p * (1 - p)
        hessian = np.diag(weight.sum(axis=1)) - weight + precision
        step = np.linalg.solve(hessian, gradient)
        scores = scores + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-10:
            break
    return scores, np.asarray(np.linalg.inv(hessian), dtype=np.float64)


def expected_information(mean: F64, covariance: F64, points: int = 11) -> F64:
    """Expected information (nats) about the order of all pairs from one comparison of each pair: (n, n), symmetric.

    A comparison of i and j narrows every difference a little; the order of a pair is then known with chance Phi(m / sd), and its entropy falls.
    Summed over pairs, in expectation over where the means will go (Gauss-Hermite). Pairs that are decided already have nothing to give, however
    far apart their scores are still uncertain. Source of the approach: Lindley 1956; Mikhailiuk et al. 2021 (ASAP).
    """
    from scipy.special import ndtr

    n = len(mean)
    first, second = np.triu_indices(n, 1)
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    weights = weights / weights.sum()
    d = mean[first] - mean[second]
    towards = covariance[:, first] - covariance[:, second]  # (n, pairs): column q moves with the difference q
    across = towards[first] - towards[second]  # (pairs, pairs): covariances of differences
    variance = np.diag(across)
    p = 1 / (1 + np.exp(-d))
    weight = np.maximum(p * (1 - p), 1e-9)
    fall = across**2 * (weight / (1 + weight * variance))[:, None]  # [candidate, pair]: how much its variance falls
    left = np.sqrt(np.maximum(variance[None, :] - fall, 1e-12))
    moved = d[None, :, None] + np.sqrt(fall)[..., None] * nodes
    after = (_entropy(ndtr(moved / left[..., None])) * weights).sum(-1)
    gain = (_entropy(ndtr(d / np.sqrt(variance)))[None, :] - after).sum(1)
    result = np.zeros((n, n))
    result[first, second] = result[second, first] = gain
    return result


def _entropy(p: F64) -> F64:
    inside = np.clip(p, 1e-12, 1 - 1e-12)
    result: F64 = -inside * np.log(inside) - (1 - inside) * np.log1p(-inside)
    return result


def choose_pairs(mean: F64, covariance: F64, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """``count`` pairs for one rater, chosen one after the other: each choice narrows the posterior as its answer is expected to.

    Pairs within one part in a thousand of the best are drawn at random, so that a first rater without knowledge sees all pairs alike.
    """
    pairs = list(combinations(range(len(mean)), 2))
    left = covariance.copy()
    chosen = []
    for _ in range(count):
        gain = expected_information(mean, left)
        values = np.array([gain[i, j] for i, j in pairs])
        if values.max() < 1e-9:  # the order is settled: narrow the widest difference
            values = np.array([left[i, i] + left[j, j] - 2 * left[i, j] for i, j in pairs])
        best = np.flatnonzero(values >= values.max() - 1e-3 * abs(values.max()))
        i, j = pairs[int(best[int(rng.integers(len(best)))])]
        chosen.append((i, j))
        p = 1 / (1 + np.exp(mean[j] - mean[i]))
        towards = left[:, i] - left[:, j]
        spread = towards[i] - towards[j]
        left = left - np.outer(towards, towards) * p * (1 - p) / (1 + p * (1 - p) * spread)
    return chosen
