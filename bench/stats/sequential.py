"""Looking at results while a study runs without spending the level: group-sequential looks, and tests that hold whenever one looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.intervals import F64

SPENDING = ("obrien-fleming", "pocock")


def spent(alpha: float, fraction: float, spending: str) -> float:
    """How much of a two-sided level ``alpha`` may be spent once ``fraction`` of the raters have finished.

    Source: Lan & DeMets 1983, Biometrika 70, 659; each side spends half. O'Brien-Fleming's form spends late, Pocock's evenly.
    """
    from scipy.special import ndtr, ndtri

    if spending == "obrien-fleming":
        return float(2 * 2 * ndtr(ndtri(alpha / 4) / np.sqrt(fraction)))
    if spending == "pocock":
        return float(alpha * np.log1p((np.e - 1) * fraction))
    raise FaceSRError(f"no way of spending the level named {spending!r}: choose obrien-fleming or pocock")


def nominal_levels(looks: Sequence[int], alpha: float, spending: str = "obrien-fleming") -> list[float]:
    """The two-sided level to test at, at each of ``looks`` (growing numbers of raters; the last one is all of them).

    Under independent increments the chance that any look rejects a true null is ``alpha``. Where looks share the same faces their results are
    more alike than that, and the chance is smaller. By numerical integration over the continuation region (Armitage, McPherson & Rowe 1969).
    """
    from scipy.special import ndtr, ndtri

    if not looks or list(looks) != sorted(set(looks)) or looks[0] < 1:
        raise FaceSRError(f"looks must be growing numbers of raters, not {list(looks)}")
    times = np.asarray(looks, dtype=np.float64) / looks[-1]
    levels: list[float] = []
    grid, density = np.zeros(1), np.ones(1)
    before, gone = 0.0, 0.0
    for k, time in enumerate(times):
        step = float(np.sqrt(time - before))
        due = spent(alpha, float(time), spending) - gone
        limit = _limit(grid, density, step, due, float(ndtri(1 - alpha / 2)) * np.sqrt(time))
        levels.append(float(2 * ndtr(-limit / np.sqrt(time))))
        if k + 1 < len(times):
            inside = np.linspace(-limit, limit, 1201)
            kernel = np.exp(-0.5 * ((inside[:, None] - grid[None, :]) / step) ** 2) / (step * np.sqrt(2 * np.pi))
            density = (kernel @ density) * (inside[1] - inside[0])
            density[[0, -1]] /= 2  # trapezium rule
            grid = inside
        before, gone = float(time), gone + due
    return levels


def _limit(grid: F64, density: F64, step: float, due: float, start: float) -> float:
    """Where the score must lie so that it is outside with chance ``due``, given the ``density`` of where it was."""
    from scipy.optimize import brentq
    from scipy.special import ndtr

    def outside(limit: float) -> float:
        return float((density * (ndtr((grid - limit) / step) + ndtr((-grid - limit) / step))).sum()) - due

    high = max(start, 1.0)
    while outside(high) > 0:
        high *= 1.5
    return float(brentq(outside, 0.0, high, xtol=1e-10))


def always_valid_level(raters: int, alpha: float, tuned_for: int) -> float:
    """The two-sided level at which to test after ``raters``, whenever one looks: the chance ever to reject a true null is about ``alpha``.

    Asymptotic in the number of raters, so begin at 8 or more. ``tuned_for``: the number of raters at which it costs least.
    Source: Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2024, Annals of Statistics 52, 2613 (asymptotic confidence sequence, Robbins' mixture).
    """
    from scipy.special import ndtr

    rho2 = (-2 * np.log(alpha) + np.log(-2 * np.log(alpha) + 1)) / tuned_for
    spread = raters * rho2 + 1
    limit = np.sqrt(2 * spread / (raters * rho2) * np.log(np.sqrt(spread) / alpha))
    return float(2 * ndtr(-limit))


def family_level(level: Callable[[float], float], alpha: float, comparisons: int) -> float:
    """The level for a step-down correction over ``comparisons``: at most j x (level of a test at ``alpha`` / j), for every step j.

    A look's level is not proportional to the level of the whole test, so each step of Holm's procedure must be covered by itself.
    """
    return float(min(j * level(alpha / j) for j in range(1, max(comparisons, 1) + 1)))
