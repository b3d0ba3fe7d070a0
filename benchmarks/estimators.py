"""Our estimators beside other programs' on the same numbers: writes the table of docs/statistics.md.

Figures of R are recorded, with the call that made them (R 4.2.2, lme4 1.1-31, lmerTest 3.1-3, clubSandwich 0.5.8, emmeans 1.8.4, ordinal
2022.11-16; the ordinal model needs the extra clmm); the others are computed
here, with whatever versions are installed. Each line's goal is 1e-6 unless it says otherwise; 1 where one is missed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facesr.bench.stats.agreement import alpha_value
from facesr.bench.stats.clustered import clustered_mean
from facesr.bench.stats.correction import benjamini_hochberg, holm
from facesr.bench.stats.crossed import fit
from facesr.bench.stats.cube import Cube
from facesr.bench.stats.effect import superiority
from facesr.bench.stats.intervals import F64
from facesr.bench.stats.many import share_interval
from facesr.bench.stats.ordinal import ordinal_model
from facesr.bench.stats.rank_tests import friedman, mann_whitney, signed_rank

PAGE = Path(__file__).parent.parent / "docs" / "statistics.md"
START, END = "<!-- estimators: written by python -m benchmarks estimators -->", "<!-- end of estimators -->"
UNEVEN = [[5, 4, None, 3], [4, None, None, 2], [3, 3, 4, 1], [None, 5, None, None], [4, 4, 2, 3]]

RATERS = [1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 5, 5, 5, 6, 6]
FACES = [1, 2, 3, 4, 1, 3, 4, 1, 2, 2, 3, 2, 4, 1, 1, 2, 3, 4, 3, 4]
CONDITIONS, SCORES = "ababbabaabbaaabbabba", [4, 3, 5, 2, 3, 4, 2, 5, 4, 2, 3, 4, 3, 5, 4, 3, 5, 1, 2, 4]
"""Twenty ratings of two conditions, of which few cells hold both."""

Line = tuple[str, str, str, float, float]


def two_conditions() -> F64:
    """The twenty ratings as a cube (6 raters, 4 faces, 2 conditions)."""
    x = np.full((6, 4, 2), np.nan)
    for r, f, c, y in zip(RATERS, FACES, CONDITIONS, SCORES, strict=True):
        x[r - 1, f - 1, "ab".index(c)] = y
    return x


def ordinal_ratings() -> Cube:
    """240 five-point ratings of three conditions by 10 raters of 8 faces, made by a proportional-odds model."""
    rng = np.random.default_rng(0)
    latent = (
        rng.normal(0, 1, (10, 1, 1)) + rng.normal(0, 0.7, (1, 8, 1)) + np.array([0.0, -1.0, 1.0]) + rng.logistic(0, 1, (10, 8, 3))
    )
    scores = 1.0 + (latent[..., None] > np.array([-2.0, -0.7, 0.7, 2.0])).sum(axis=-1)
    return Cube(scores, tuple(map(str, range(10))), tuple(map(str, range(8))), ("a", "b", "c"))


def _models() -> list[Line]:
    x = two_conditions()
    r, f, c = np.nonzero(np.isfinite(x))
    design = np.stack([c == 0, c == 1], axis=1).astype(float)
    pair = fit(x[r, f, c], design, [r, 2 * r + c, f, 2 * f + c], np.array([1.0, -1.0]))
    assert pair is not None
    model = ordinal_model(ordinal_ratings())
    clmm = np.array([-0.971535573570, 0.665831768986, 0.287575665486, 0.292635157083, 0.799993215315, 0.127874509867])
    ours = np.array([*model.effects[1:], *model.errors[1:], model.rater_sd, model.face_sd])
    return [
        ("difference of two conditions with gaps: estimate, se", "R emmeans of lmer, r, r:c, f, f:c random", "20 ratings, few cells of both",
         float(np.abs(np.array([pair.value, pair.variance**0.5]) - [1.65581797787, 0.260675843272]).max()), 1e-6),
        ("its degrees of freedom", "R lmerTest and emmeans, Satterthwaite", "the same", abs(pair.df - 15.19735451549), 1e-3),
        ("ordinal mixed model: effects, SE, sd of raters, faces", "R ordinal, clmm, raters and faces random", "240 ratings, 3 conditions",
         float(np.abs(ours - clmm).max()), 0.01),
    ]  # fmt: skip


def _recorded() -> list[Line]:
    x = np.array(UNEVEN, dtype=float)
    r, f = np.nonzero(np.isfinite(x))
    raters, faces, model = (
        clustered_mean(x, "raters"),
        clustered_mean(x, "faces"),
        fit(x[r, f], np.ones((len(r), 1)), [r, f], np.ones(1)),
    )
    assert model is not None
    club = np.array([0.292333010503, 3.282828282828, 0.487426952490, 2.777777777778])
    lmer = np.array([3.36505509364, 0.460843132965, 0.288597836904, 0.730191981777, 0.887045415851])
    ours = np.array([model.value, model.variance**0.5, *np.sqrt(model.variances), model.residual**0.5])
    data = "5 raters x 4 faces, 6 gaps"
    return [
        ("clustered mean over raters, over faces: se, df", "R clubSandwich, CR2 and Satterthwaite", data,
         float(np.abs(np.array([raters.se, raters.df, faces.se, faces.df]) - club).max()), 1e-6),
        ("mixed model: mean, se, standard deviations", "R lme4, lmer by REML", data, float(np.abs(ours - lmer).max()), 1e-4),
        ("its degrees of freedom", "R lmerTest, Satterthwaite", data, abs(model.df - 3.45563666377), 1e-3),
    ]  # fmt: skip


def _computed() -> list[Line]:
    import krippendorff
    from scipy import stats
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(0)
    plain = [rng.normal(0.3, 1, n) for n in (5, 11, 12, 25, 50)]
    signed = max(abs(signed_rank(d).p - stats.wilcoxon(d, method="exact").pvalue) for d in plain)
    a, b = rng.integers(1, 6, 300).astype(float), rng.integers(1, 6, 280).astype(float)
    rank_sum = abs(mann_whitney(a, b).p - stats.mannwhitneyu(a, b, method="asymptotic").pvalue)
    blocks = rng.integers(1, 6, (30, 5)).astype(float)
    p = rng.uniform(size=15) ** 3
    table = rng.integers(1, 6, (40, 12)).astype(float)
    table[rng.random(table.shape) < 0.3] = np.nan
    levels = ("ordinal", "interval", "nominal")
    alpha = max(abs(alpha_value(table, k) - krippendorff.alpha(table.T, level_of_measurement=k)) for k in levels)
    wilson = stats.binomtest(3, 8).proportion_ci(method="wilson")
    shares = max(abs(v - w) for v, w in zip(share_interval(3, 8), (wilson.low, wilson.high), strict=True))
    correct = max(
        float(np.abs(ours(p) - multipletests(p, method=name)[1]).max())
        for ours, name in ((holm, "holm"), (benjamini_hochberg, "fdr_bh"))
    )
    return [
        ("signed rank, exact to 50 pairs: p", "scipy wilcoxon, exact", "5 to 50 normal differences", signed, 1e-6),
        ("Mann-Whitney U: p", "scipy mannwhitneyu, asymptotic", "300 and 280 five-point ratings", rank_sum, 1e-6),
        ("A12", "scipy U / (n m)", "the same", abs(superiority(a, b) - stats.mannwhitneyu(a, b).statistic / a.size / b.size), 1e-6),
        ("Friedman: χ²", "scipy friedmanchisquare", "30 x 5 five-point ratings",
         abs(friedman(blocks, list("abcde")).chi2 - stats.friedmanchisquare(*blocks.T).statistic), 1e-6),
        ("Holm, Benjamini-Hochberg", "statsmodels multipletests", "15 p-values", correct, 1e-6),
        ("Krippendorff's α, three measures", "krippendorff", "40 images x 12 raters, 30 % missing", float(alpha), 1e-6),
        ("interval of a share", "scipy binomtest, Wilson", "3 of 8", float(shares), 1e-6),
    ]  # fmt: skip


def main(argv: Sequence[str] = ()) -> int:
    """Write the table; 1 where a difference is larger than its line allows."""
    lines = [*_recorded(), *_models(), *_computed()]
    rows = [f"| {name} | {peer} | {data} | {apart:.1e} | {goal:g} |" for name, peer, data, apart, goal in lines]
    text = "\n".join(
        [START, "", "| estimator | reference | data | largest difference | allowed |", "|---|---|---|---:|---:|", *rows, "", END]
    )
    page = PAGE.read_text()
    before, _, rest = page.partition(START)
    PAGE.write_text(before + text + rest.partition(END)[2])
    print(text)
    return int(any(not apart <= goal for *_, apart, goal in lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
