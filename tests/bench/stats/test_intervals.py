"""Intervals of means and bootstrap intervals: against normal theory, themselves and a plain loop; memory and speed are benchmarks/bootstrap.py's."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.clustered import clustered_mean
from facesr.bench.stats.intervals import bootstrap_interval, mean_interval, pigeonhole_interval, pigeonhole_means
from facesr.bench.stats.many import mean_intervals


def test_mean_interval_matches_normal_theory() -> None:
    x = np.random.default_rng(0).normal(3, 1, 2000)
    found = mean_interval(x)
    half = 1.959964 * x.std() / np.sqrt(len(x))
    assert found.mean == x.mean()
    assert found.n == 2000
    assert [found.low, found.high] == pytest.approx([x.mean() - half, x.mean() + half], abs=0.01 * half)


@pytest.mark.parametrize("n", [3, 8, 40, 41, 80, 500])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_mean_interval_is_johnsons_widened(n: int, level: float) -> None:
    """Recomputed from scipy's t and bias-corrected skewness: t se (1 + 3 / n), and Johnson's correction on the longer side."""
    from scipy import stats

    x = np.random.default_rng(n).exponential(1, n)
    se, t = stats.sem(x), stats.t.ppf((1 + level) / 2, n - 1)
    skew = float(stats.skew(x, bias=False))
    more = (1 + min(1, 40 / n)) * abs(skew) / (6 * np.sqrt(n)) * (1 + 2 * t**2)
    down, up = (0.0, more) if skew > 0 else (more, 0.0)
    found = mean_interval(x, level)
    assert found.low == pytest.approx(x.mean() - se * (t * (1 + 3 / n) + down), abs=1e-12)
    assert found.high == pytest.approx(x.mean() + se * (t * (1 + 3 / n) + up), abs=1e-12)
    mirrored = mean_interval(-x, level)
    assert [mirrored.low, mirrored.high] == pytest.approx([-found.high, -found.low])


def test_more_values_never_make_a_jump() -> None:
    """The formula has no border at which an interval widens or narrows by more than one more value can."""
    x = np.tile([0.0, 0.1, 0.3, 2.0], 13)
    half = [mean_interval(x[:n]).high - mean_interval(x[:n]).low for n in range(8, 53, 4)]
    assert all(b < a for a, b in itertools.pairwise(half))


def test_gaps_and_edges() -> None:
    assert mean_interval([1.0, np.nan, 3.0]).n == 2
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
    x = np.random.default_rng(4).exponential(1, (60, 2000))
    assert np.mean([i.low <= 1 <= i.high for i in mean_intervals(x)]) > 0.95


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
        assert [found.low, found.high] == pytest.approx([alone.low, alone.high])


def test_import_is_light() -> None:
    code = "import facesr.bench.stats.intervals, sys; print([m for m in ('scipy', 'pandas', 'torch', 'statsmodels') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
