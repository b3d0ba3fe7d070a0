"""Agreement figures against the krippendorff package, Shrout & Fleiss' example, scikit-free kappa and simulation."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest

from facesr.bench.stats.agreement import alpha_value, icc, intra_rater, krippendorff_alpha
from facesr.bench.stats.mos import sos

RNG = np.random.default_rng(0)


def _ratings(noise: float, missing: float = 0.0) -> np.ndarray:
    x = np.clip(np.rint(RNG.uniform(1, 5, (80, 1)) + RNG.normal(0, noise, (80, 12))), 1, 5)
    x[RNG.random(x.shape) < missing] = np.nan
    return x


@pytest.mark.parametrize("measure", ["ordinal", "interval", "nominal"])
@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_alpha_matches_the_krippendorff_package(measure: str, missing: float) -> None:
    x = _ratings(0.8, missing)
    theirs = krippendorff.alpha(reliability_data=x.T, level_of_measurement=measure)
    assert alpha_value(x, measure) == pytest.approx(theirs, abs=1e-12)  # type: ignore[arg-type]


def test_alpha_interval_covers_and_duplicated_raters_do_not_raise_it() -> None:
    found = krippendorff_alpha(_ratings(0.8), draws=300)
    assert found.low < found.value < found.high
    noise = np.random.default_rng(1).integers(1, 6, (100, 8)).astype(float)
    chance = krippendorff_alpha(noise, draws=300)
    # A draw that took a rater twice would find them agreeing with themself, and the interval would leave 0 behind.
    assert chance.low < 0 < chance.high


def test_alpha_edges() -> None:
    assert alpha_value(np.tile([[1.0], [3.0], [5.0]], 4)) == 1.0
    assert np.isnan(alpha_value(np.full((4, 4), 3.0)))
    assert np.isnan(alpha_value(np.array([[1.0, np.nan], [np.nan, 2.0]])))


def test_icc_of_shrout_and_fleiss() -> None:
    """Shrout & Fleiss 1979, table 2: ICC(2,1) .29, ICC(2,4) .62; intervals [.02, .76] and [.07, .93] as R's psych prints them."""
    judges = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)
    found = icc(judges)
    assert [found.single, found.average] == pytest.approx([0.2898, 0.6201], abs=5e-5)
    assert [found.single_low, found.single_high] == pytest.approx([0.0188, 0.7611], abs=5e-4)
    assert [found.average_low, found.average_high] == pytest.approx([0.0712, 0.9272], abs=5e-4)


def test_icc_without_enough_data_is_nan() -> None:
    assert np.isnan(icc(np.ones((1, 4))).single)
    assert np.isnan(icc(np.ones((5, 4))).single)


def test_intra_rater_by_hand() -> None:
    found = intra_rater([1, 2, 3, 4, 5, np.nan], [1, 2, 4, 4, 3, 2])
    assert (found.pairs, found.exact, found.within_one) == (5, 0.6, 0.8)
    assert found.r == pytest.approx(np.corrcoef([1, 2, 3, 4, 5], [1, 2, 4, 4, 3])[0, 1])
    assert found.noise == pytest.approx(np.sqrt((1 + 4) / 5 / 2))
    # quadratic kappa from the full table of agreement
    a, b = np.array([1, 2, 3, 4, 5]), np.array([1, 2, 4, 4, 3])
    chance = np.mean((a[:, None] - b[None, :]) ** 2)
    assert found.kappa == pytest.approx(1 - np.mean((a - b) ** 2) / chance)
    assert intra_rater([], []).pairs == 0


def test_sos_parameter_is_found_again() -> None:
    """Ratings whose variance is a (MOS - 1)(5 - MOS), from a beta distribution on the scale."""
    rng = np.random.default_rng(3)
    a = 0.2
    mean = rng.uniform(0.15, 0.85, (400, 1))
    x = 1 + 4 * rng.beta(mean * (1 / a - 1), (1 - mean) * (1 / a - 1), (400, 60))
    assert sos(x).a == pytest.approx(a, abs=0.01)
    assert sos(np.tile([[1.0], [5.0]], 10)).stimuli == 2
