"""Estimators and tests of ratings beside scipy, statsmodels, pingouin, scikit-posthocs, krippendorff, choix, scikit-learn and sureal."""

from __future__ import annotations

import contextlib
import io
import types
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from benchmarks.conformance import Check, Section
from benchmarks.conformance.data import ratings, study
from facesr.bench.faces import F64
from facesr.bench.stats import correction, effect, rank_tests, screening
from facesr.bench.stats.agreement import Level, alpha_value, icc, intra_rater
from facesr.bench.stats.clustered import clustered_difference, clustered_mean
from facesr.bench.stats.correlation import krocc, srocc
from facesr.bench.stats.equivalence import tost
from facesr.bench.stats.many import share_interval
from facesr.bench.stats.paired_comparison import bradley_terry
from facesr.bench.stats.recovery import recover, remove_bias, table_means, table_sd


def far(a: Any, b: Any) -> float:
    """The largest absolute difference of two sets of figures."""
    return float(np.abs(np.asarray(a, float) - np.asarray(b, float)).max())


def two() -> tuple[F64, F64]:
    """300 and 280 five-point ratings."""
    rng = np.random.default_rng(0)
    return rng.integers(1, 6, 300).astype(float), np.clip(rng.integers(1, 6, 280) + (rng.random(280) < 0.3), 1, 5).astype(float)


@cache
def blocks() -> F64:
    """30 raters' five-point ratings of 5 conditions."""
    return np.random.default_rng(1).integers(1, 6, (30, 5)).astype(float)


def signed_rank_exact() -> float:
    """p of 5 to 50 differences without ties, all signs counted."""
    from scipy.stats import wilcoxon

    rng = np.random.default_rng(0)
    return max(
        far(rank_tests.signed_rank(d).p, wilcoxon(d, method="exact").pvalue)
        for d in (rng.normal(0.3, 1, n) for n in (5, 11, 12, 25, 50))
    )


def signed_rank_pratt() -> float:
    """p of 60 tied differences with zeros."""
    from scipy.stats import wilcoxon

    d = np.random.default_rng(1).integers(-3, 5, 60).astype(float)
    return far(rank_tests.signed_rank(d).p, wilcoxon(d, zero_method="pratt", method="approx").pvalue)


def rank_sum(peer: str) -> float:
    """U and p."""
    found = rank_tests.mann_whitney(*two())
    if peer == "scipy":
        from scipy.stats import mannwhitneyu

        theirs = mannwhitneyu(*two(), method="asymptotic")
        return far([found.statistic / 84_000, found.p], [theirs.statistic / 84_000, theirs.pvalue])
    import pingouin

    table = pingouin.mwu(*two())
    return far(found.p, table[next(c for c in table.columns if c.startswith("p"))].iloc[0])


def friedman(peer: str) -> float:
    """χ² and p, or Nemenyi's table."""
    x = blocks()
    found = rank_tests.friedman(x, list("abcde"))
    if peer == "scipy":
        from scipy.stats import friedmanchisquare

        theirs = friedmanchisquare(*x.T)
        return far([found.chi2, found.p], [theirs.statistic, theirs.pvalue])
    if peer == "scikit-posthocs":
        import scikit_posthocs

        return far(found.nemenyi, scikit_posthocs.posthoc_nemenyi_friedman(x).to_numpy())
    import pandas as pd
    import pingouin

    long = pd.DataFrame(x).melt(ignore_index=False, var_name="c", value_name="y").reset_index(names="s")
    return far(found.chi2, pingouin.friedman(long, dv="y", within="c", subject="s")["Q"].iloc[0])


def corrections(peer: str) -> float:
    """15 p-values by Holm, Benjamini-Hochberg and Bonferroni."""
    p = np.random.default_rng(2).uniform(size=15) ** 3
    ways = {"holm": correction.holm, "fdr_bh": correction.benjamini_hochberg, "bonferroni": correction.bonferroni}
    if peer == "statsmodels":
        from statsmodels.stats.multitest import multipletests

        return max(far(way(p), multipletests(p, method=name)[1]) for name, way in ways.items())
    import pingouin

    return max(far(way(p), pingouin.multicomp(p, method=name.replace("bonferroni", "bonf"))[1]) for name, way in ways.items())


def effects() -> float:
    """A12 from scipy's U, and the matched-pairs rank-biserial correlation from pingouin's."""
    import pingouin
    from scipy.stats import mannwhitneyu

    a, b = two()
    d = np.random.default_rng(3).normal(0.4, 1, 40)
    table = pingouin.wilcoxon(d, np.zeros(40))
    return max(
        far(effect.superiority(a, b), mannwhitneyu(a, b).statistic / a.size / b.size),
        far(effect.cliffs_delta(a, b), pingouin.mwu(a, b)["RBC"].iloc[0]),
        far(effect.matched_rank_biserial(d), table["RBC"].iloc[0]),
    )


def wilson() -> float:
    """Shares of 0, 3 and 8 of 8, and 40 of 300."""
    from scipy.stats import binomtest

    return max(
        far(share_interval(k, n), binomtest(k, n).proportion_ci(method="wilson")[:2])
        for k, n in ((0, 8), (3, 8), (8, 8), (40, 300))
    )


def wilson_statsmodels() -> float:
    """The same of statsmodels."""
    from statsmodels.stats.proportion import proportion_confint

    return max(far(share_interval(k, n), proportion_confint(k, n, method="wilson")) for k, n in ((3, 8), (8, 8), (40, 300)))


def correlations(peer: str) -> float:
    """Spearman and Kendall's tau-b with ties."""
    rng = np.random.default_rng(4)
    x = rng.integers(1, 20, 80).astype(float)
    y = np.rint(x / 2 + rng.normal(0, 3, 80))
    if peer == "scipy":
        from scipy.stats import kendalltau, spearmanr

        return far([srocc(x, y), krocc(x, y)], [spearmanr(x, y).statistic, kendalltau(x, y).statistic])
    import pingouin

    return far([srocc(x, y), krocc(x, y)], [pingouin.corr(x, y, method=m)["r"].iloc[0] for m in ("spearman", "kendall")])


def alpha(level: Level) -> float:
    """40 images, 12 raters, a third missing."""
    import krippendorff

    table = ratings(5, raters=12, stimuli=40, missing=0.3)
    return far(alpha_value(table, level), krippendorff.alpha(table.T, level_of_measurement=level))


def reliability() -> float:
    """ICC(A,1) and ICC(A,k) with intervals; pingouin rounds those to two digits."""
    import pandas as pd
    import pingouin

    x = ratings(6, raters=9, stimuli=30)
    long = pd.DataFrame(x).melt(ignore_index=False, var_name="r", value_name="y").reset_index(names="t")
    table = pingouin.intraclass_corr(long, targets="t", raters="r", ratings="y").set_index("Type")
    one, many = (table.loc[next(i for i in table.index if i in names)] for names in (("ICC2", "ICC(A,1)"), ("ICC2k", "ICC(A,k)")))
    found = icc(x)
    return far([found.single, found.average], [one["ICC"], many["ICC"]])


def reliability_ends() -> float:
    """Ends of the intervals."""
    import pandas as pd
    import pingouin

    x = ratings(6, raters=9, stimuli=30)
    long = pd.DataFrame(x).melt(ignore_index=False, var_name="r", value_name="y").reset_index(names="t")
    table = pingouin.intraclass_corr(long, targets="t", raters="r", ratings="y").set_index("Type")
    ends = next(c for c in table.columns if c.startswith("CI95"))
    one, many = (table.loc[next(i for i in table.index if i in names)] for names in (("ICC2", "ICC(A,1)"), ("ICC2k", "ICC(A,k)")))
    found = icc(x)
    ours = [found.single_low, found.single_high, found.average_low, found.average_high]
    return far(ours, [*one[ends], *many[ends]])


def kappa() -> float:
    """Quadratic weights."""
    from sklearn.metrics import cohen_kappa_score

    x = ratings(7, raters=2, stimuli=200)
    return far(
        intra_rater(x[:, 0], x[:, 1]).kappa, cohen_kappa_score(x[:, 0].astype(int), x[:, 1].astype(int), weights="quadratic")
    )


def abilities() -> float:
    """Scores of five conditions."""
    import choix

    wins = np.random.default_rng(0).integers(1, 15, (5, 5)).astype(float)
    np.fill_diagonal(wins, 0)
    data = [(i, j) for i in range(5) for j in range(5) for _ in range(int(wins[i, j]))]
    theirs = choix.opt_pairwise(5, data, alpha=0, tol=1e-12)
    return far(bradley_terry(wins, list("abcde")).scores, theirs - theirs.mean())


def abilities_glm() -> float:
    """Standard errors of differences: a logistic regression."""
    import statsmodels.api as sm

    wins = np.random.default_rng(0).integers(1, 15, (5, 5)).astype(float)
    np.fill_diagonal(wins, 0)
    pairs = [(i, j) for i in range(5) for j in range(i)]
    design = np.array([np.eye(5)[i] - np.eye(5)[j] for i, j in pairs])[:, 1:]
    fit = sm.GLM(np.array([[wins[i, j], wins[j, i]] for i, j in pairs]), design, family=sm.families.Binomial()).fit()
    found = bradley_terry(wins, list("abcde"))
    ours = [found.covariance[0, 0] + found.covariance[k, k] - 2 * found.covariance[0, k] for k in range(1, 5)]
    return far([*(found.scores[1:] - found.scores[0]), *np.sqrt(ours)], [*fit.params, *fit.bse])


def one_way() -> float:
    """Mean over raters of a complete table: t test of rater means; over ratings: t test of all."""
    from scipy.stats import ttest_1samp

    x = study().values[:, :, 0] - 3.1
    found = clustered_mean(x, "raters"), clustered_mean(x, "none")
    theirs = ttest_1samp(x.mean(axis=1), 0), ttest_1samp(x.ravel(), 0)
    return max(
        far([f.p, f.low, f.high], [t.pvalue, *t.confidence_interval()]) for f, t in zip(found, theirs, strict=True)
    )  # fmt: skip


def paired(peer: str) -> float:
    """Two one-sided tests of a difference over raters at a margin of .5."""
    x = study().values
    found = tost(clustered_difference(x[:, :, 0], x[:, :, 1], over="raters"), 0.5)
    a, b = x[:, :, 0].mean(axis=1), x[:, :, 1].mean(axis=1)
    if peer == "statsmodels":
        from statsmodels.stats.weightstats import ttost_paired

        return far(found.p, ttost_paired(a, b, -0.5, 0.5)[0])
    import pingouin

    table = pingouin.tost(a, b, bound=0.5, paired=True)
    return far(found.p, table[next(c for c in table.columns if c.startswith("p"))].iloc[0])


# -- sureal --------------------------------------------------------------------------------------------------------------------------


@cache
def sureal_model(name: str, missing: float, noisy: bool) -> dict[str, Any]:
    """What a model of sureal makes of the simulated ratings."""
    import sureal
    from sureal import subjective_model
    from sureal.dataset_reader import RawDatasetReader

    table = sureal_table(missing, noisy)
    videos = [
        {"asset_id": i, "content_id": 0, "path": f"{i}", "os": {f"{r:03d}": float(v) for r, v in enumerate(row) if np.isfinite(v)}}
        for i, row in enumerate(table)
    ]
    dataset = types.SimpleNamespace(ref_videos=[{"content_id": 0, "path": "0"}], dis_videos=videos)
    with contextlib.redirect_stdout(io.StringIO()):
        made: dict[str, Any] = (getattr(sureal, name, None) or getattr(subjective_model, name))(
            RawDatasetReader(dataset)
        ).run_modeling()
    return made


@cache
def sureal_table(missing: float, noisy: bool) -> F64:
    """60 stimuli, 24 raters; of the noisy panel four raters answer at random."""
    x = ratings(8, missing=missing).copy()
    if noisy:
        x[:, :4] = np.where(np.isfinite(x[:, :4]), np.random.default_rng(9).integers(1, 6, x[:, :4].shape), np.nan)
    return x


def plain_mos(missing: float, noisy: bool) -> float:
    """MOS and standard errors."""
    theirs, x = sureal_model("MosModel", missing, noisy), sureal_table(missing, noisy)
    errors = table_sd(x, 1, 1) / np.sqrt(np.isfinite(x).sum(axis=1))
    return far([table_means(x, 1), errors], [theirs["quality_scores"], theirs["quality_scores_std"]])


def bt500(missing: float, noisy: bool) -> float:
    """MOS of those who are kept; all the scale where others are rejected."""
    theirs, x = sureal_model("BT500Model", missing, noisy), sureal_table(missing, noisy)
    found = screening.bt500_literal(x)
    if list(found.rejected) != [int(i) for i in np.flatnonzero(theirs["observer_rejected"])]:
        return 4.0
    return far(table_means(np.delete(x, found.rejected, axis=1), 1), theirs["quality_scores"])


def p913(missing: float, noisy: bool) -> float:
    """Biases, and MOS of those who are kept after their removal."""
    theirs, x = sureal_model("P913124Model", missing, noisy), sureal_table(missing, noisy)
    removed, found = remove_bias(x), screening.p913_bias_bt500(x, 0, literal=True)
    if list(found.rejected) != [int(i) for i in np.flatnonzero(theirs["observer_rejected"])]:
        return 4.0
    return far(table_means(np.delete(removed.scores, found.rejected, axis=1), 1), theirs["quality_scores"])


def p910(missing: float, noisy: bool) -> float:
    """Quality, its standard errors, biases, inconsistencies."""
    theirs, found = sureal_model("P910AnnexEModel", missing, noisy), recover(sureal_table(missing, noisy))
    return max(
        far(found.quality, theirs["quality_scores"]), far(found.se, theirs["quality_scores_std"]),
        far(found.bias, theirs["observer_bias"]), far(found.inconsistency, theirs["observer_inconsistency"]),
    )  # fmt: skip


def over_panels(one: Callable[[float, bool], float]) -> float:
    """Complete and with gaps, with and without raters who answer at random."""
    return max(one(missing, noisy) for missing in (0.0, 0.3) for noisy in (False, True))


def sections() -> list[Section]:
    """Tests, agreement, recovery of scores."""
    five, tied = "300 and 280 five-point ratings", "30 × 5 five-point ratings"
    tests = [
        Check("signed rank, exact: p", "scipy", "`wilcoxon`, exact", "5 to 50 normal differences", 1e-12, signed_rank_exact),
        Check("signed rank with ties and zeros: p", "scipy", "`wilcoxon`, Pratt, approximate", "60 whole differences", 1e-12, signed_rank_pratt),
        Check("Mann-Whitney: U, p", "scipy", "`mannwhitneyu`, asymptotic", five, 1e-12, partial(rank_sum, "scipy")),
        Check("Mann-Whitney: p", "pingouin", "`mwu`", five, 1e-12, partial(rank_sum, "pingouin")),
        Check("Friedman: χ², p", "scipy", "`friedmanchisquare`", tied, 1e-10, partial(friedman, "scipy")),
        Check("Friedman: χ²", "pingouin", "`friedman`", tied, 1e-10, partial(friedman, "pingouin")),
        Check("Nemenyi: p of all pairs", "scikit-posthocs", "`posthoc_nemenyi_friedman`", tied, 1e-9, partial(friedman, "scikit-posthocs")),
        Check("Holm, Benjamini-Hochberg, Bonferroni", "statsmodels", "`multipletests`", "15 p-values", 1e-12, partial(corrections, "statsmodels")),
        Check("Holm, Benjamini-Hochberg, Bonferroni", "pingouin", "`multicomp`", "15 p-values", 1e-12, partial(corrections, "pingouin")),
        Check("A12, Cliff's δ, rank-biserial", "pingouin", "`mwu`, `wilcoxon`: RBC; scipy's U / nm", f"{five}; 40 differences", 1e-12, effects),
        Check("equivalence (TOST): p", "statsmodels", "`ttost_paired`", "8 raters × 6 faces", 1e-12, partial(paired, "statsmodels")),
        Check("equivalence (TOST): p", "pingouin", "`tost`", "8 raters × 6 faces", 1e-12, partial(paired, "pingouin")),
        Check("mean over raters; over ratings: p, interval", "scipy", "`ttest_1samp`", "8 raters × 6 faces", 1e-10, one_way),
        Check("interval of a share", "scipy", "`binomtest`, Wilson", "0, 3, 8 of 8; 40 of 300", 1e-12, wilson),
        Check("interval of a share", "statsmodels", "`proportion_confint`, Wilson", "3, 8 of 8; 40 of 300", 1e-12, wilson_statsmodels),
        Check("SROCC, KROCC", "scipy", "`spearmanr`, `kendalltau`", "80 pairs with ties", 1e-12, partial(correlations, "scipy")),
        Check("SROCC, KROCC", "pingouin", "`corr`", "80 pairs with ties", 1e-12, partial(correlations, "pingouin")),
    ]  # fmt: skip
    gaps = "40 images × 12 raters, 30 % missing"
    levels: tuple[Level, ...] = ("ordinal", "interval", "nominal")
    agree = [
        *[Check(f"Krippendorff's α, {k}", "krippendorff", f"`alpha`, {k}", gaps, 1e-12, partial(alpha, k)) for k in levels],
        Check("ICC(A,1), ICC(A,k)", "pingouin", "`intraclass_corr`", "30 images × 9 raters", 1e-9, reliability),
        Check("their intervals", "pingouin", "`intraclass_corr`, rounded to two digits", "30 images × 9 raters", 0.0051, reliability_ends),
        Check("κ of repeats, quadratic", "scikit-learn", "`cohen_kappa_score`", "200 pairs", 1e-12, kappa),
        Check("Bradley-Terry: scores", "choix", "`opt_pairwise`", "5 conditions, 140 choices", 1e-6, abilities),
        Check("Bradley-Terry: differences, standard errors", "statsmodels", "`GLM`, binomial", "5 conditions, 140 choices", 1e-6, abilities_glm),
    ]  # fmt: skip
    panels = "60 stimuli × 24 raters; complete, 30 % missing; 4 who answer at random"
    recovered = [
        Check("MOS, standard errors", "sureal", "`MosModel`", panels, 1e-9, partial(over_panels, plain_mos)),
        Check("`bt500_literal`: who is rejected, MOS", "sureal", "`BT500Model`", panels, 1e-9, partial(over_panels, bt500)),
        Check("`p913_bias_bt500`, literal: the same", "sureal", "`P913124Model`", panels, 1e-9, partial(over_panels, p913)),
        Check("`recover`: quality, errors, bias, inconsistency", "sureal", "`P910AnnexEModel`", panels, 1e-7, partial(over_panels, p910)),
    ]  # fmt: skip
    return [
        Section("Tests and intervals", tests),
        Section("Agreement and choices", agree),
        Section(
            "Recovery of scores",
            recovered,
            "sureal counts with the population's standard deviation, BT.500 with the sample's, and stimuli on which all agree; a study's own rules "
            "(`bt500`, `p913-12.4`) follow the text and skip those. What is compared here are the literal forms.",
        ),
    ]
