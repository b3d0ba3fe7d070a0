"""Clustered means and variance components: against ANOVA by hand, statsmodels and simulation."""

from __future__ import annotations

import numpy as np
import pytest

from facesr.bench.stats.clustered import Components, clustered_difference, clustered_mean, components, residual_variance

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


def test_ragged_cluster_sums_match_statsmodels() -> None:
    import statsmodels.api as sm

    x = _table(30, 20)
    x[RNG.random(x.shape) < 0.3] = np.nan
    r, f = np.nonzero(np.isfinite(x))
    y = x[r, f]
    for over, groups, k in (("raters", r, 30), ("faces", f, 20)):
        fit = sm.OLS(y, np.ones((len(y), 1))).fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False})
        assert clustered_mean(x, over).se == pytest.approx(fit.bse[0] * np.sqrt(k / (k - 1)), rel=1e-9)  # type: ignore[arg-type]


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
    assert clustered_mean(np.full((3, 3), 2.0)).p == 0.0
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
