"""The level that a plan's stopping rule allows now."""

from __future__ import annotations

from functools import lru_cache

from facesr.bench.stats.sequential import always_valid_level, family_level, nominal_levels
from facesr.bench.study.plan import Stopping


@lru_cache(maxsize=256)
def level_now(rule: Stopping, alpha: float, finished: int, raters: int, comparisons: int) -> float:
    """The family-wise level for tests after ``finished`` of ``raters``; ``comparisons`` tests are corrected together.

    ``finished`` is the number at the latest look of a group-sequential rule. Before the first look nothing may be decided: 0.
    """
    if rule.kind == "fixed":
        return alpha
    if rule.kind == "always-valid":
        return family_level(lambda a: always_valid_level(finished, a, raters), alpha, comparisons) if finished else 0.0
    if finished not in rule.looks:
        return 0.0
    look = rule.looks.index(finished)
    return family_level(lambda a: _levels(rule, a)[look], alpha, comparisons)


@lru_cache(maxsize=256)
def _levels(rule: Stopping, alpha: float) -> list[float]:
    return nominal_levels(rule.looks, alpha, rule.spending)
