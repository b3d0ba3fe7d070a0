"""All pairs of conditions (ratings) or of methods (scores of images): what a paper prints, and beside it what is valid.

One decision per pair, at one alpha after one correction, serves letters, guards, detectable differences and joint intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.stats.clustered import ClusteredMean, clustered_difference
from facesr.bench.stats.correction import CORRECTIONS, benjamini_hochberg, holm, letter_display, thresholds
from facesr.bench.stats.cube import Cube
from facesr.bench.stats.effect import cliffs_delta, matched_rank_biserial, superiority
from facesr.bench.stats.equivalence import Equivalence, margin_of, tost
from facesr.bench.stats.intervals import F64, mean_interval
from facesr.bench.stats.rank_tests import RankTest, friedman, mann_whitney, signed_rank, smallest_signed_rank_p
from facesr.bench.stats.sensitivity import LeftOut, left_out

Verdict = Literal["different", "equivalent", "undecided", "undefined"]


@dataclass(frozen=True)
class PairComparison:
    """One pair, ``a`` against ``b``; positive differences favour ``a``.

    ``p`` is the test that counts (``test`` names it; t with ``df`` degrees of freedom) with its ``low``..``high`` interval;
    ``undefined`` says why it is NaN. ``basis`` says which ratings the difference is of, '' where it is the difference of the two MOS.
    ``p_holm`` and ``p_bh`` are p corrected over all ``comparisons``, ``p_adjusted`` by the declared ``correction``: the pair is
    ``different`` where that is below ``alpha``, which is where p is below ``threshold``; ``low_joint``..``high_joint`` is the interval
    at that level, without 0 exactly where the pair differs.

    ``paper`` is the Mann-Whitney U of pooled values: the paper's protocol, not valid for new raters or faces. ``over_raters`` and
    ``over_faces`` are signed-rank tests of rater means and face means (None where there is one rater); ``p_nemenyi``: Nemenyi's p
    over rater means. ``detectable``: the difference found with 80 % power at this standard error, after a Bonferroni correction.
    ``p_left_out``: lowest and highest p without any one rater or face, ``left_out`` more of it. ``smallest_p``: the least that the
    test can give.
    """

    a: str
    b: str
    n: int
    difference: float
    low: float
    high: float
    se: float
    df: float
    p: float
    test: str
    paper: RankTest
    over_raters: RankTest | None
    over_faces: RankTest
    a12: float
    cliffs_delta: float
    rank_biserial_raters: float
    rank_biserial_faces: float
    detectable: float = np.nan
    p_left_out: tuple[float, float] = (np.nan, np.nan)
    left_out: LeftOut | None = None
    equivalence: Equivalence | None = None
    undefined: str = ""
    basis: str = ""
    smallest_p: float = 0.0
    alpha: float = 0.05
    correction: str = "holm"
    comparisons: int = 1
    p_holm: float = np.nan
    p_bh: float = np.nan
    p_paper_holm: float = np.nan
    p_nemenyi: float = np.nan
    threshold: float = np.nan
    low_joint: float = np.nan
    high_joint: float = np.nan

    @property
    def p_adjusted(self) -> float:
        """p after the declared correction."""
        by_bonferroni = min(1.0, self.p * self.comparisons)
        return {"holm": self.p_holm, "benjamini-hochberg": self.p_bh, "bonferroni": by_bonferroni, "none": self.p}[self.correction]

    def significant(self, alpha: float | None = None) -> bool:
        """Whether the corrected p is below ``alpha``, by default the pair's own."""
        return bool(self.p_adjusted < (self.alpha if alpha is None else alpha))

    @property
    def different(self) -> bool:
        """Whether the pair differs at ``alpha`` after correction."""
        return self.significant()

    @property
    def equivalent(self) -> bool:
        """Whether the difference is shown to lie within the margin, at ``alpha`` after the same correction."""
        return self.equivalence is not None and self.equivalence.equivalent

    @property
    def verdict(self) -> Verdict:
        """The decision: ``different`` (perhaps by less than the margin), ``equivalent``, ``undecided``, or ``undefined``."""
        if self.different:
            return "different"
        if self.equivalent:
            return "equivalent"
        return "undecided" if np.isfinite(self.p) else "undefined"


def detectable_difference(se: float, df: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The true difference that a two-sided t test with this standard error finds with ``power`` (shifted t approximation)."""
    from scipy.special import stdtrit

    if not (np.isfinite(se) and df >= 1):
        return np.nan
    return float(se * (stdtrit(df, 1 - alpha / 2) + stdtrit(df, power)))


def decide(pairs: Sequence[PairComparison], alpha: float = 0.05, correction: str = "holm") -> list[PairComparison]:
    """The pairs with corrected p-values, decisions, detectable differences and joint intervals, all at one ``alpha``.

    Undefined pairs do not count as comparisons. Raises ``FaceSRError`` for an alpha outside (0, 1) or an unknown correction.
    """
    from scipy.special import stdtrit

    if not 0 < alpha < 1:
        raise FaceSRError(f"alpha is a chance between 0 and 1, got {alpha:g}: 0.05 and 0.01 are usual")
    if correction not in CORRECTIONS:
        raise FaceSRError(f"no correction {correction!r} for many comparisons: {suggest(correction, CORRECTIONS)}")
    p = [q.p for q in pairs]
    equal = [q.equivalence.p if q.equivalence else np.nan for q in pairs]
    not_worse = [q.equivalence.p_noninferior if q.equivalence else np.nan for q in pairs]
    columns = zip(
        pairs, holm(p), benjamini_hochberg(p), holm([q.paper.p for q in pairs]),
        *(thresholds(each, alpha, correction) for each in (p, equal, not_worse)), strict=True,
    )  # fmt: skip
    count = max(int(np.isfinite(p).sum()), 1)
    decided = []
    for q, by_holm, by_bh, paper, level, level_equal, level_worse in columns:
        joint = float(stdtrit(q.df, 1 - level / 2)) * q.se if q.test == CLUSTERED and np.isfinite(level * q.se) else np.nan
        equivalence = q.equivalence and replace(q.equivalence, alpha=float(level_equal), alpha_noninferior=float(level_worse))
        decided.append(
            replace(
                q, alpha=alpha, correction=correction, comparisons=count, p_holm=float(by_holm), p_bh=float(by_bh),
                p_paper_holm=float(paper), threshold=float(level), low_joint=q.difference - joint, high_joint=q.difference + joint,
                equivalence=equivalence, detectable=detectable_difference(q.se, q.df, alpha / count),
            )
        )  # fmt: skip
    return decided


CLUSTERED = "two-way clustered t (raters and faces)"
SIGNED = "Wilcoxon signed-rank over faces"


def _means(x: F64, axis: int) -> F64:
    seen = np.isfinite(x)
    n = seen.sum(axis=axis)
    means: F64 = np.divide(np.where(seen, x, 0.0).sum(axis=axis), n, out=np.full(n.shape, np.nan), where=n > 0)
    return means


def _differences(x: F64, y: F64, axis: int) -> F64:
    """Differences of rater means (axis 1) or face means (axis 0), over cells that have both where any unit has such."""
    paired = _means(x - y, axis)
    return paired if np.isfinite(paired).sum() >= 2 else _means(x, axis) - _means(y, axis)


def compare_pair(cube: Cube, a: str, b: str, level: float = 0.95, margin: float = 0.1, *, leave_out: bool = True) -> PairComparison:
    """Compare two conditions of a rating study; nothing is corrected or decided yet. See ``PairComparison`` and ``decide``."""
    x, y = (cube.values[:, :, cube.conditions.index(name)] for name in (a, b))
    found: ClusteredMean = clustered_difference(x, y, level)
    raters, faces = _differences(x, y, 1), _differences(x, y, 0)
    several = np.isfinite(raters).sum() > 1
    without = left_out(x, y, cube.raters, cube.faces) if leave_out else None
    return PairComparison(
        a=a, b=b, n=found.n, difference=found.mean, low=found.low, high=found.high, se=found.se, df=found.df, p=found.p, test=CLUSTERED,
        paper=mann_whitney(x, y), over_raters=signed_rank(raters) if several else None, over_faces=signed_rank(faces),
        a12=superiority(x, y), cliffs_delta=cliffs_delta(x, y),
        rank_biserial_raters=matched_rank_biserial(raters), rank_biserial_faces=matched_rank_biserial(faces),
        p_left_out=(without.p_low, without.p_high) if without else (np.nan, np.nan), left_out=without,
        equivalence=tost(found, margin, 1 - level) if margin else None, undefined=found.undefined, basis=found.basis,
    )  # fmt: skip


def compare_conditions(
    cube: Cube, level: float = 0.95, margin: float | None = None, *, alpha: float = 0.05, correction: str = "holm",
    scale: tuple[float, float] = (1, 5), leave_out: bool = True,
) -> list[PairComparison]:  # fmt: skip
    """All pairs of conditions of a rating study, in the cube's order, decided at ``alpha`` after ``correction``.

    ``margin``: of equivalence, in rating points; by default ``margin_of(scale)``, 0 for no test of
    equivalence. ``level``: of the intervals of single pairs.
    """
    wide = margin_of(scale) if margin is None else margin
    pairs = [compare_pair(cube, a, b, level, wide, leave_out=leave_out) for a, b in combinations(cube.conditions, 2)]
    means = np.stack([_means(cube.values[:, :, k], 1) for k in range(len(cube.conditions))], axis=1)
    if len(cube.conditions) > 1 and np.isfinite(means).all(axis=1).sum() > 1:
        nemenyi = friedman(means, cube.conditions, alpha).nemenyi
        place = {name: k for k, name in enumerate(cube.conditions)}
        pairs = [replace(q, p_nemenyi=float(nemenyi[place[q.a], place[q.b]])) for q in pairs]
    return decide(pairs, alpha, correction)


def decided(cube: Cube, *, alpha: float = 0.05, correction: str = "holm", margin: float = 0.0) -> dict[tuple[str, str], bool]:
    """For each pair whether ``compare_conditions`` calls it different or equivalent, and nothing else of what that computes."""
    names = list(combinations(range(len(cube.conditions)), 2))
    found = [clustered_difference(cube.values[:, :, i], cube.values[:, :, j]) for i, j in names]
    yes = np.zeros(len(names), dtype=bool)
    for p in [[f.p for f in found], *([[tost(f, margin).p for f in found]] if margin else [])]:
        yes |= np.asarray(p) < thresholds(p, alpha, correction)
    return {(cube.conditions[i], cube.conditions[j]): bool(y) for (i, j), y in zip(names, yes, strict=True)}


def compare_methods(
    scores: ArrayLike, names: Sequence[str], level: float = 0.95, *, alpha: float = 0.05, correction: str = "holm"
) -> list[PairComparison]:  # fmt: skip
    """All pairs of methods by a metric: ``scores`` (faces, methods), NaN where a face has no score, paired by face.

    Wilcoxon's signed-rank test (Pratt) and an interval of the mean difference over faces; faces with both scores count. Raises
    ``FaceSRError`` where names and columns differ in number.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(names):
        raise FaceSRError(f"scores of shape {table.shape} do not fit {len(names)} methods: give (faces, methods)")
    pairs = [_compare_scores(table[:, i], table[:, j], names[i], names[j], level)
             for i, j in combinations(range(len(names)), 2)]  # fmt: skip
    return decide(pairs, alpha, correction)


def _compare_scores(x: F64, y: F64, a: str, b: str, level: float) -> PairComparison:
    both = ~(np.isnan(x) | np.isnan(y))
    x, y = x[both], y[both]
    same = x == y  # two perfect images have infinite PSNR and no difference
    d = np.where(same, 0.0, x - np.where(same, 0.0, y))
    n = len(d)
    test = signed_rank(d)
    low, high, se = np.nan, np.nan, np.nan
    if n > 1 and np.isfinite(d).all():
        found = mean_interval(d, level)
        low, high, se = found.low, found.high, float(d.std(ddof=1) / np.sqrt(n))
    return PairComparison(
        a=a, b=b, n=n, difference=float(d.mean()) if n else np.nan, low=low, high=high, se=se, df=n - 1.0, p=test.p, test=SIGNED,
        paper=mann_whitney(x, y), over_raters=None, over_faces=test, a12=superiority(x, y), cliffs_delta=cliffs_delta(x, y),
        rank_biserial_raters=np.nan, rank_biserial_faces=matched_rank_biserial(d), smallest_p=smallest_signed_rank_p(n),
        undefined="" if n else "no face has both scores",
    )  # fmt: skip


def letters_refused(pairs: Sequence[PairComparison]) -> str:
    """Why these pairs get no letters, as a sentence with what would do; '' where letters may be given.

    No letters where no test can reach the level, however clear the data, or where a pair that is apart could not be tested: sharing
    a letter would then read as "not distinguishable" though nothing was tried.
    """
    if not pairs:
        return ""
    untested = [q for q in pairs if not np.isfinite(q.p) and q.difference != 0]
    if untested:
        q = untested[0]
        return f"No letters: {q.a} and {q.b} could not be tested, {q.undefined or 'there is no p-value'}."
    alpha, count = pairs[0].alpha, sum(np.isfinite(q.p) for q in pairs)
    if not count:  # all differences are 0
        return f"No letters: no pair could be tested, {pairs[0].undefined or 'there is no p-value'}."
    level = alpha if pairs[0].correction == "none" else alpha / max(count, 1)
    least = min((q.smallest_p for q in pairs if np.isfinite(q.p)), default=1.0)
    if least < level:
        return ""
    needed = int(np.floor(1 - np.log2(level))) + 1
    most = max(q.n for q in pairs)
    return (
        f"No letters: the smallest p that {most} faces can give is {least:.2g}, after correction for {count} pairs {min(1.0, least * count):.2g}, "
        f"above {alpha:g}: {needed} faces would do."
    )


def significance_letters(
    pairs: Sequence[PairComparison], means: Mapping[str, float], *, higher_is_better: bool = True
) -> dict[str, str]:
    """Letters for a table: methods share one where they cannot be told apart by the pairs' decisions; 'a' holds the best.

    Empty letters where they would mislead: ``letters_refused`` says why.
    """
    if letters_refused(pairs):
        return dict.fromkeys(means, "")
    sign = 1 if higher_is_better else -1
    return letter_display({k: sign * v for k, v in means.items()}, [(q.a, q.b) for q in pairs if q.different])
