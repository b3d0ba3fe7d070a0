"""Bootstrap intervals: against normal theory, themselves and a plain loop; memory and speed are benchmarks/bootstrap.py's."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.clustered import clustered_mean
from facesr.bench.stats.intervals import bootstrap_interval, bootstrap_means, mean_interval, pigeonhole_interval, pigeonhole_means
from facesr.bench.stats.many import mean_intervals


def test_mean_interval_matches_normal_theory() -> None:
    x = np.random.default_rng(0).normal(3, 1, 2000)
    found = mean_interval(x)
    half = 1.959964 * x.std() / np.sqrt(len(x))
    assert found.mean == x.mean()
    assert found.n == 2000
    assert [found.low, found.high] == pytest.approx(
        [x.mean() - half, x.mean() + half], abs=0.06 * half
    )  # 10,000 draws and the sample's own skewness


def test_mean_interval_matches_scipy_bootstrap() -> None:
    from scipy.stats import bootstrap

    x = np.random.default_rng(1).exponential(1, 80)
    theirs = bootstrap((x,), np.mean, n_resamples=20_000, method="BCa", rng=2).confidence_interval
    found = mean_interval(x, draws=20_000)
    assert [found.low, found.high] == pytest.approx([theirs.low, theirs.high], abs=0.015)


def test_counting_levels_gives_the_same_distribution_as_drawing_values() -> None:
    ratings = np.random.default_rng(2).integers(1, 6, 400).astype(float)
    counted = bootstrap_means(ratings, 20_000)
    drawn = bootstrap_means(ratings + np.linspace(0, 1e-9, 400), 20_000)  # 400 distinct levels: drawn one by one
    assert counted.std() == pytest.approx(drawn.std(), rel=0.03)
    assert counted.mean() == pytest.approx(ratings.mean(), abs=2e-3)


def test_gaps_seeds_and_edges() -> None:
    assert mean_interval([1.0, np.nan, 3.0]).n == 2
    assert mean_interval([1.0, 2.0, 5.0], seed=3) == mean_interval([1.0, 2.0, 5.0], seed=3)
    one = mean_interval([4.0])
    assert (one.mean, one.n) == (4.0, 1)
    assert np.isnan(one.low)
    assert np.isnan(mean_interval([]).mean)
    perfect = mean_interval([30.0, np.inf])
    assert (perfect.mean, perfect.n) == (np.inf, 2)
    assert np.isnan(perfect.low)
    same = mean_interval([2.0] * 10)
    assert (same.low, same.high) == (2.0, 2.0)
    with pytest.raises(FaceSRError, match="between 0 and 1, got 95"):
        mean_interval([1.0, 2.0], level=95)


def test_coverage_of_the_mean_interval() -> None:
    rng = np.random.default_rng(4)
    hits = [i.low <= 1 <= i.high for i in (mean_interval(rng.exponential(1, 60), draws=1000, seed=k) for k in range(400))]
    assert np.mean(hits) == pytest.approx(0.925, abs=0.035)  # skewed values, n = 60: a little short of .95, as is known


def test_pigeonhole_matches_a_plain_loop() -> None:
    rng = np.random.default_rng(5)
    cube = rng.integers(1, 6, (6, 5, 2)).astype(float)
    cube[0, 1, 0] = np.nan
    fast = pigeonhole_means(cube, 4000, seed=0)
    slow = np.array([np.nanmean(cube[np.ix_(rng.integers(0, 6, 6), rng.integers(0, 5, 5))], axis=(0, 1)) for _ in range(4000)])
    np.testing.assert_allclose(fast.mean(axis=0), slow.mean(axis=0), atol=0.03)
    np.testing.assert_allclose(fast.std(axis=0), slow.std(axis=0), rtol=0.06)


def test_pigeonhole_covers_like_the_clustered_interval() -> None:
    rng = np.random.default_rng(6)
    table = 3 + rng.normal(0, 0.6, (40, 1)) + rng.normal(0, 0.4, (1, 40)) + rng.normal(0, 0.9, (40, 40))
    boot, closed = pigeonhole_interval(table[:, :, None])[0], clustered_mean(table)
    assert boot.high - boot.low == pytest.approx(closed.high - closed.low, rel=0.1)
    raters = pigeonhole_interval(table[:, :, None], faces=False)[0]
    assert raters.high - raters.low < boot.high - boot.low


def test_bootstrap_interval_of_any_statistic() -> None:
    x = np.random.default_rng(7).normal(size=200)
    low, high = bootstrap_interval(lambda i: float(np.median(x[i])), len(x))
    assert low < np.median(x) < high
    assert np.isnan(bootstrap_interval(lambda i: np.nan, 10)[0])


def test_many_means_at_once_match_one_by_one() -> None:
    table = np.random.default_rng(8).normal(size=(300, 3))
    table[:40, 1] = np.nan
    for column, found in enumerate(mean_intervals(table)):
        alone = mean_interval(table[:, column])
        assert (found.mean, found.n) == (pytest.approx(alone.mean), alone.n)
        assert [found.low, found.high] == pytest.approx([alone.low, alone.high], abs=0.01)


def test_import_is_light() -> None:
    code = "import facesr.bench.stats.intervals, sys; print([m for m in ('scipy', 'pandas', 'torch', 'statsmodels') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
