"""Clustered means and variance components: against ANOVA by hand, statsmodels and simulation."""

from __future__ import annotations

import numpy as np
import pytest

from facesr.bench.stats.clustered import Components, clustered_difference, clustered_mean, components, residual_variance
from facesr.bench.stats.crossed import fit

RNG = np.random.default_rng(0)


def _table(raters: int = 12, faces: int = 9) -> np.ndarray:
    return 3 + RNG.normal(0, 0.5, (raters, 1)) + RNG.normal(0, 0.3, (1, faces)) + RNG.normal(0, 1, (raters, faces))


def test_two_way_variance_is_the_anova_of_a_complete_table() -> None:
    x = _table()
    rows, columns = x.mean(axis=1), x.mean(axis=0)
    e = x - rows[:, None] - columns + x.mean()
    v_e = (e**2).sum() / (11 * 8)
    expected = rows.var(ddof=1) / 12 + columns.var(ddof=1) / 9 - v_e / (12 * 9)
    assert clustered_mean(x).se ** 2 == pytest.approx(expected, rel=1e-12)
    assert residual_variance(x) == pytest.approx(v_e, rel=1e-10)
    assert clustered_mean(x).df == 8


def test_one_way_is_the_t_test_of_means_and_naive_of_values() -> None:
    from scipy.stats import ttest_1samp

    x = _table() - 3.1
    by_rater = ttest_1samp(x.mean(axis=1), 0)
    assert clustered_mean(x, "raters").p == pytest.approx(by_rater.pvalue, rel=1e-9)
    assert clustered_mean(x, "faces").p == pytest.approx(ttest_1samp(x.mean(axis=0), 0).pvalue, rel=1e-9)
    naive = ttest_1samp(x.ravel(), 0)
    ends = naive.confidence_interval()
    assert [clustered_mean(x, "none").low, clustered_mean(x, "none").high] == pytest.approx([ends.low, ends.high], rel=1e-9)


UNEVEN = [[5, 4, None, 3], [4, None, None, 2], [3, 3, 4, 1], [None, 5, None, None], [4, 4, 2, 3]]
"""Five raters, four faces, six gaps."""
LMER = [3.36505509364, 0.460843132965, 3.45563666377, 0.288597836904, 0.730191981777, 0.887045415851]


def test_uneven_raters_and_faces_match_clubsandwich() -> None:
    """R 4.2.2, clubSandwich 0.5.8: coef_test(lm(y ~ 1), cluster = r, vcov = "CR2", test = "Satterthwaite"), then cluster = f."""
    x = np.array(UNEVEN, dtype=float)
    raters, faces = clustered_mean(x, "raters"), clustered_mean(x, "faces")
    assert (raters.se, raters.df) == pytest.approx((0.292333010503, 3.282828282828), rel=1e-7)
    assert (faces.se, faces.df) == pytest.approx((0.487426952490, 2.777777777778), rel=1e-7)


def test_a_pair_with_gaps_is_that_of_emmeans() -> None:
    """R 4.2.2: pairs(emmeans(lmer(y ~ c + (1|r) + (1|r:c) + (1|f) + (1|f:c)), ~c, lmer.df = "satterthwaite"))."""
    raters = np.array([1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 5, 5, 5, 6, 6]) - 1
    faces = np.array([1, 2, 3, 4, 1, 3, 4, 1, 2, 2, 3, 2, 4, 1, 1, 2, 3, 4, 3, 4]) - 1
    b = np.array([k == "b" for k in "ababbabaabbaaabbabba"])
    y = np.array([4, 3, 5, 2, 3, 4, 2, 5, 4, 2, 3, 4, 3, 5, 4, 3, 5, 1, 2, 4], dtype=float)
    factors = [raters, 2 * raters + b, faces, 2 * faces + b]
    model = fit(y, np.stack([~b, b], axis=1).astype(float), factors, np.array([1.0, -1.0]))
    assert model is not None
    assert (model.value, model.variance**0.5) == pytest.approx((1.65581797787, 0.260675843272), rel=1e-6)
    assert model.df == pytest.approx(15.19735451549, rel=1e-4)
    tables = np.full((2, 6, 4), np.nan)
    tables[b.astype(int), raters, faces] = y
    found = clustered_difference(tables[0], tables[1])
    assert (found.mean, found.se) == pytest.approx((model.value, model.variance**0.5))
    assert found.df < model.df  # few faces: ours is careful


def test_gaps_are_the_mixed_model_of_lme4() -> None:
    """R 4.2.2, lme4 1.1-31, lmerTest 3.1-3: coef(summary(lmer(y ~ 1 + (1 | r) + (1 | f)))) and VarCorr of it."""
    x = np.array(UNEVEN, dtype=float)
    r, f = np.nonzero(np.isfinite(x))
    found = fit(x[r, f], np.ones((len(r), 1)), [r, f], np.ones(1))
    assert found is not None
    ours = [found.value, found.variance**0.5, found.df, *np.sqrt(found.variances), found.residual**0.5]
    assert ours == pytest.approx(LMER, rel=2e-4)


def test_residual_variance_of_a_ragged_table_is_that_of_the_additive_fit() -> None:
    x = _table(8, 7)
    x[RNG.random(x.shape) < 0.25] = np.nan
    r, f = np.nonzero(np.isfinite(x))
    design = np.concatenate([np.eye(8)[r], np.eye(7)[f]], axis=1)
    fit, _, rank, _ = np.linalg.lstsq(design, x[r, f], rcond=None)
    rss = ((x[r, f] - design @ fit) ** 2).sum()
    assert residual_variance(x) == pytest.approx(rss / (len(r) - rank), rel=1e-6)


def test_pairing_removes_what_raters_and_faces_share() -> None:
    a = _table(20, 20)
    b = a - 0.5 + RNG.normal(0, 0.1, a.shape)
    paired = clustered_difference(a, b)
    apart_a, apart_b = a.copy(), b.copy()
    apart_a[:, ::2], apart_b[:, 1::2] = np.nan, np.nan  # no cell has both: the same faces are never compared
    apart = clustered_difference(apart_a, apart_b)
    assert paired.mean == pytest.approx(0.5, abs=0.03)
    assert paired.p < 1e-10
    assert apart.se > 3 * paired.se


def test_too_little_data_is_nan_not_a_crash() -> None:
    assert np.isnan(clustered_mean(np.full((2, 2), np.nan)).mean)
    assert np.isnan(clustered_mean(np.array([[3.0]])).p)
    alike = clustered_mean(np.full((3, 3), 2.0))
    assert np.isnan([alike.se, alike.low, alike.p]).all()  # not p = 0: how far others would differ is not known
    assert "do not vary" in alike.undefined


def test_two_raters_two_faces_five_against_four_is_undefined() -> None:
    """Not p < 1e-99: signs of two raters can be permuted in four ways only, and nothing varies."""
    found = clustered_difference(np.full((2, 2), 5.0), np.full((2, 2), 4.0))
    assert found.mean == 1.0
    assert np.isnan([found.se, found.p, found.low, found.high]).all()
    assert "do not vary" in found.undefined
    alone = clustered_difference(np.array([[5.0, 4.0, 4.0]]), np.array([[3.0, 3.0, 4.0]]))
    assert np.isnan(alone.p)
    assert "one rater" in alone.undefined


def test_a_rater_with_one_rating_is_not_a_whole_one() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 40))
    x[3:] = np.where(np.arange(40) == rng.integers(0, 40, (37, 1)), x[3:], np.nan)
    found = clustered_mean(x)
    assert found.df < 6 and found.raters < 6
    assert clustered_mean(x[:3]).df == 2
    assert np.isnan(clustered_difference(np.array([[3.0]]), np.array([[np.nan]])).p)


@pytest.mark.parametrize(("missing", "tolerance"), [(0.0, 0.03), (0.4, 0.05)])
def test_components_recover_what_was_put_in(missing: float, tolerance: float) -> None:
    truth = Components(0.55, 0.34, 0.27, 0.36, 0.31, 0.91)
    rng = np.random.default_rng(1)
    r, f, c = 60, 60, 6
    found = []
    for _ in range(6):
        x = (
            rng.normal(0, truth.rater, (r, 1, 1))
            + rng.normal(0, truth.face, (1, f, 1))
            + rng.normal(0, truth.rater_condition, (r, 1, c))
        )
        x = x + rng.normal(0, truth.face_condition, (1, f, c)) + rng.normal(0, truth.rater_face, (r, f, 1))
        x = x + rng.normal(0, truth.residual, (r, f, c)) + np.arange(c)
        x[rng.random(x.shape) < missing] = np.nan
        found.append(list(vars(components(x)).values()))
    assert np.mean(found, axis=0) == pytest.approx(list(vars(truth).values()), abs=tolerance)
