"""All pairs of conditions (ratings) or of methods (scores of images): what a paper prints, and beside it what is valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.clustered import ClusteredMean, clustered_difference
from facesr.bench.stats.correction import benjamini_hochberg, holm
from facesr.bench.stats.correction import significance_letters as _letters
from facesr.bench.stats.cube import Cube
from facesr.bench.stats.effect import cliffs_delta, matched_rank_biserial, superiority
from facesr.bench.stats.equivalence import Equivalence, tost
from facesr.bench.stats.intervals import F64, bootstrap_means
from facesr.bench.stats.rank_tests import RankTest, mann_whitney, signed_rank

MARGIN = 0.1
"""Margin of equivalence for MOS, in rating points, where a study declares none."""


@dataclass(frozen=True)
class PairComparison:
    """One pair, ``a`` against ``b``; positive differences favour ``a``.

    ``p`` is the test that counts (``test`` names it) with its ``low``..``high`` interval, ``p_holm`` and ``p_bh`` the same over
    all pairs. ``paper`` is the Mann-Whitney U of pooled values: the paper's protocol, not valid for new raters or faces.
    ``over_raters`` and ``over_faces`` are signed-rank tests of rater means and face means (None where there is one rater).
    ``detectable``: the difference that has 80 % power at this standard error. ``p_left_out``: lowest and highest p when any one
    rater or face is left out.
    """

    a: str
    b: str
    n: int
    difference: float
    low: float
    high: float
    se: float
    p: float
    test: str
    paper: RankTest
    over_raters: RankTest | None
    over_faces: RankTest
    a12: float
    cliffs_delta: float
    rank_biserial_raters: float
    rank_biserial_faces: float
    detectable: float
    p_left_out: tuple[float, float] = (np.nan, np.nan)
    equivalence: Equivalence | None = None
    p_holm: float = np.nan
    p_bh: float = np.nan
    p_paper_holm: float = np.nan

    def significant(self, alpha: float = 0.05) -> bool:
        """Whether the pair differs after Holm's correction."""
        return bool(self.p_holm < alpha)


def detectable_difference(se: float, df: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The true difference that a two-sided t test with this standard error finds with ``power`` (shifted t approximation)."""
    from scipy.special import stdtrit

    if not (np.isfinite(se) and df >= 1):
        return np.nan
    return float(se * (stdtrit(df, 1 - alpha / 2) + stdtrit(df, power)))


def _corrected(pairs: list[PairComparison]) -> list[PairComparison]:
    p = [pair.p for pair in pairs]
    columns = zip(holm(p), benjamini_hochberg(p), holm([pair.paper.p for pair in pairs]), strict=True)
    return [replace(q, p_holm=float(h), p_bh=float(b), p_paper_holm=float(m)) for q, (h, b, m) in zip(pairs, columns, strict=True)]


def _left_out(x: F64, y: F64) -> tuple[float, float]:
    """Lowest and highest p of the clustered difference when one rater or one face is left out."""
    p = [clustered_difference(np.delete(x, i, axis), np.delete(y, i, axis)).p for axis in (0, 1) for i in range(x.shape[axis])]
    known = [v for v in p if np.isfinite(v)]
    return (min(known), max(known)) if known else (np.nan, np.nan)


def _means(x: F64, axis: int) -> F64:
    seen = np.isfinite(x)
    n = seen.sum(axis=axis)
    means: F64 = np.divide(np.where(seen, x, 0.0).sum(axis=axis), n, out=np.full(n.shape, np.nan), where=n > 0)
    return means


def _differences(x: F64, y: F64, axis: int) -> F64:
    """Differences of rater means (axis 1) or face means (axis 0), over cells that have both where any unit has such."""
    paired = _means(x - y, axis)
    return paired if np.isfinite(paired).sum() >= 2 else _means(x, axis) - _means(y, axis)


def compare_pair(
    cube: Cube, a: str, b: str, level: float = 0.95, margin: float = MARGIN, *, leave_out: bool = True
) -> PairComparison:
    """Compare two conditions of a rating study; p-values not yet corrected for other pairs. See ``PairComparison``."""
    x, y = (cube.values[:, :, cube.conditions.index(name)] for name in (a, b))
    found: ClusteredMean = clustered_difference(x, y, level)
    raters, faces = _differences(x, y, 1), _differences(x, y, 0)
    return PairComparison(
        a=a, b=b, n=found.n, difference=found.mean, low=found.low, high=found.high, se=found.se, p=found.p,
        test="two-way clustered t (raters and faces)",
        paper=mann_whitney(x, y), over_raters=signed_rank(raters), over_faces=signed_rank(faces),
        a12=superiority(x, y), cliffs_delta=cliffs_delta(x, y),
        rank_biserial_raters=matched_rank_biserial(raters), rank_biserial_faces=matched_rank_biserial(faces),
        detectable=detectable_difference(found.se, found.df, 1 - level),
        p_left_out=_left_out(x, y) if leave_out else (np.nan, np.nan),
        equivalence=tost(found, margin, 1 - level),
    )  # fmt: skip


def compare_conditions(cube: Cube, level: float = 0.95, margin: float = MARGIN, *, leave_out: bool = True) -> list[PairComparison]:
    """All pairs of conditions of a rating study, in the cube's order, Holm and Benjamini-Hochberg over all of them."""
    pairs = [compare_pair(cube, a, b, level, margin, leave_out=leave_out) for a, b in combinations(cube.conditions, 2)]
    return _corrected(pairs)


def compare_methods(
    scores: ArrayLike, names: Sequence[str], level: float = 0.95, draws: int = 10_000, seed: int = 0
) -> list[PairComparison]:
    """All pairs of methods by a metric: ``scores`` (faces, methods), NaN where a face has no score, paired by face.

    Wilcoxon's signed-rank test (Pratt) and a bootstrap interval of the mean difference over faces; faces with both scores count.
    Raises ``FaceSRError`` where names and columns differ in number.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(names):
        raise FaceSRError(f"scores of shape {table.shape} do not fit {len(names)} methods: give (faces, methods)")
    pairs = [_compare_scores(table[:, i], table[:, j], names[i], names[j], level, draws, seed)
             for i, j in combinations(range(len(names)), 2)]  # fmt: skip
    return _corrected(pairs)


def _compare_scores(x: F64, y: F64, a: str, b: str, level: float, draws: int, seed: int) -> PairComparison:
    both = ~(np.isnan(x) | np.isnan(y))
    x, y = x[both], y[both]
    same = x == y  # two perfect images have infinite PSNR and no difference
    d = np.where(same, 0.0, x - np.where(same, 0.0, y))
    n = len(d)
    test = signed_rank(d)
    low, high, se = np.nan, np.nan, np.nan
    if n > 1 and np.isfinite(d).all():
        drawn = bootstrap_means(d, draws, seed)
        low, high = map(float, np.quantile(drawn, ((1 - level) / 2, (1 + level) / 2)))
        se = float(d.std(ddof=1) / np.sqrt(n))
    return PairComparison(
        a=a, b=b, n=n, difference=float(d.mean()) if n else np.nan, low=low, high=high, se=se, p=test.p,
        test="Wilcoxon signed-rank over faces", paper=mann_whitney(x, y), over_raters=None, over_faces=test,
        a12=superiority(x, y), cliffs_delta=cliffs_delta(x, y), rank_biserial_raters=np.nan,
        rank_biserial_faces=matched_rank_biserial(d), detectable=detectable_difference(se, n - 1, 1 - level),
    )  # fmt: skip


def significance_letters(
    pairs: Sequence[PairComparison], means: Mapping[str, float], alpha: float = 0.05, *, higher_is_better: bool = True
) -> dict[str, str]:
    """Letters for a table: methods share one where they cannot be told apart (Holm-corrected p >= alpha); 'a' holds the best."""
    sign = 1 if higher_is_better else -1
    return _letters({k: sign * v for k, v in means.items()}, [(q.a, q.b) for q in pairs if q.significant(alpha)])
