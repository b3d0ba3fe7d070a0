"""Tables so small that the answer is worked out on paper, in the comment beside it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from facesr.bench.stats import screening
from facesr.bench.stats.claims import check_pair
from facesr.bench.stats.crossed import fit
from facesr.bench.stats.mos import crowdmos_interval
from facesr.bench.stats.paired_comparison import bradley_terry
from facesr.bench.stats.power import Components, StudySize, _null
from facesr.bench.stats.sensitivity import left_out
from facesr.bench.stats.sequential import always_valid_level, nominal_levels
from facesr.bench.stats.validation import validate


def test_crowdmos_of_four_ratings() -> None:
    """Two raters, two faces: (1, 2) and (3, 5).

    Population variances: within raters (1/4 + 1) / 2 = 5/8, within faces (1 + 9/4) / 2 = 13/8, overall 35/16. So faces have 35/16 - 13/8 = 9/16,
    raters 35/16 - 5/8 = 25/16, noise 5/8 + 13/8 - 35/16 = 1/16. The mean's: (9/16 + 25/16) (4 + 4) / 16 + 1/64 = 69/64.
    Student's t with one degree of freedom at .975 is tan(.475 pi).
    """
    found = crowdmos_interval([[1, 2], [3, 5]])
    half = np.tan(0.475 * np.pi) * np.sqrt(69 / 64)
    assert (found.mean, found.low, found.high, found.n) == (2.75, pytest.approx(2.75 - half), pytest.approx(2.75 + half), 4)
    alone = crowdmos_interval([[1, 2, 4]])
    assert alone.mean == pytest.approx(7 / 3)
    assert np.isnan([alone.low, alone.high]).all()


def test_a_difference_without_one_rater() -> None:
    """Without rater c the differences are (1, 2) and (3, 6): mean 3; interaction (1 - 2 - 3 + 6)^2 / 4 = 1, over 4 cells 1/4.

    Means of raters 3/2 and 9/2: variance 9/2, halved 9/4. Of faces 2 and 4: 2, halved 1. Together 1/4 + 2 + 3/4 = 3, t = sqrt(3) with one
    degree of freedom: p = 1 - 2/pi arctan(sqrt(3)) = 1/3.
    """
    d = np.array([[1.0, 2], [3, 6], [40, 1]])
    found = left_out(d, np.zeros((3, 2)), ["a", "b", "c"], ["x", "y"])
    assert found is not None
    assert found.p_low == pytest.approx(1 / 3)
    assert found.difference_low == pytest.approx(3)  # every other table has the 40
    assert found.p_high <= 1


def test_two_ratings_have_a_mean_and_its_error() -> None:
    """Of 1 and 3: mean 2, variance 2, of the mean 1; nothing tells raters from ratings."""
    once = np.arange(2)
    found = fit(np.array([1.0, 3.0]), np.ones((2, 1)), [once, once], np.ones(1))
    assert found is not None
    assert (found.value, found.variance, found.residual) == (pytest.approx(2), pytest.approx(1), pytest.approx(2))
    assert fit(np.array([1.0]), np.ones((1, 1)), [once[:1], once[:1]], np.ones(1)) is None


def test_the_literal_rule_divides_by_all_raters_unless_told() -> None:
    """0, 0, 0, 0, 5: mean 1, population variance 4, fourth moment 52, kurtosis 3.25, so the limit is 1 + 2 x 2 = 5, which 5 reaches.

    The sample's deviation is sqrt(5): the limit 5.47 is not reached. 0, 0, 0, 1, 5: mean 1.2, squares 18.8, population deviation 1.94: limit 5.08.
    """
    assert screening.bt500_literal([[0.0, 0, 0, 0, 5]]).statistic[:, 0].tolist() == [0, 0, 0, 0, 1]
    assert screening.bt500_literal([[0.0, 0, 0, 0, 5]], 1).statistic[:, 0].tolist() == [0, 0, 0, 0, 0]
    assert screening.bt500_literal([[0.0, 0, 0, 1, 5]]).statistic[:, 0].tolist() == [0, 0, 0, 0, 0]


def test_choices_of_three_raters() -> None:
    """7, 6 and 8 of ten for a: p = .7, and each rater's surprise is 0, -1 and 1.

    Two raters hold 20 x .7 x .3 = 4.2 of information, so without one of them the score moves by 0 or 1 / 4.2, and the jackknife's variance is
    2/3 (1 / 4.2^2 + 1 / 4.2^2).
    """
    by_rater = np.array([[[0, k], [10 - k, 0]] for k in (7, 6, 8)], dtype=float)
    found = bradley_terry(by_rater.sum(axis=0), ["a", "b"], by_rater=by_rater)
    apart = np.array([1.0, -1.0])
    assert found.scores @ apart == pytest.approx(np.log(7 / 3))
    assert apart @ found.covariance @ apart == pytest.approx(4 / 3 / 4.2**2)
    assert found.df == pytest.approx(2)


def test_equal_means_that_could_have_differed() -> None:
    """100 ratings each of standard deviation 1: error sqrt(2 / 100), so .8 finds (1.95996 + .84162) sqrt(.02) = .3962 points."""
    found = check_pair((3, 3), 100, alpha=0.05, spreads=(1.0,)).at[0]
    assert found.detectable[0.8] == pytest.approx(0.3962, abs=1e-4)
    assert (found.z, found.p) == (pytest.approx(0), pytest.approx(1))


@pytest.mark.parametrize(
    ("spending", "looks", "limits"),
    [
        ("obrien-fleming", [10, 20, 30, 40, 50], [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
        ("obrien-fleming", [1, 2], [2.9626, 1.9686]),
        ("pocock", [1, 2], [2.1570, 2.2010]),
    ],
)
def test_levels_of_looks_as_published(spending: str, looks: list[int], limits: list[float]) -> None:
    """Lan-DeMets boundaries at level .05, as the R packages ldbounds and gsDesign print them."""
    assert norm.isf(np.array(nominal_levels(looks, 0.05, spending)) / 2) == pytest.approx(limits, abs=2e-3)


def test_the_level_that_holds_whenever_one_looks() -> None:
    """Robbins 1970: z^2 = (1 + 1 / n rho^2) log((1 + n rho^2) / alpha^2).

    At n = 30, tuned for 30: 30 rho^2 = -2 log .05 + log(1 - 2 log .05) = 7.9362, z^2 = 1.12601 x log(8.9362 / .0025) = 9.2125.
    """
    assert norm.isf(always_valid_level(30, 0.05, 30) / 2) ** 2 == pytest.approx(9.2125, abs=1e-3)


def test_simulated_errors_are_those_of_whole_tables() -> None:
    """The short cut by chi-squares against 4,000 tables of differences, whose mean squares are taken as analysis of variance has them."""
    rng = np.random.default_rng(1)
    parts, raters, faces = Components(0.5, 0.5, rater_condition=0.3, face_condition=0.2, rater_face=0.1, residual=0.8), 3, 4
    sd = np.sqrt(2)
    shape = (4000, raters, faces)
    d = sd * (0.3 * rng.normal(size=(4000, raters, 1)) + 0.2 * rng.normal(size=(4000, 1, faces)) + 0.8 * rng.normal(size=shape))
    rows, columns = d.mean(axis=2), d.mean(axis=1)
    rest = d - rows[:, :, None] - columns[:, None, :] + d.mean(axis=(1, 2))[:, None, None]
    residual = (rest**2).sum(axis=(1, 2)) / ((raters - 1) * (faces - 1)) / (raters * faces)
    by_rater, by_face = rows.var(axis=1, ddof=1) / raters, columns.var(axis=1, ddof=1) / faces
    want = np.sqrt(residual + np.maximum(by_rater - residual, 0) + np.maximum(by_face - residual, 0))
    mean, found = _null(parts, StudySize(raters, faces), 4000, 0)
    assert np.quantile(found, [0.1, 0.5, 0.9]) == pytest.approx(np.quantile(want, [0.1, 0.5, 0.9]), rel=0.04)
    assert mean.std() == pytest.approx(d.mean(axis=(1, 2)).std(), rel=0.05)


def test_two_faces_give_a_metric_no_interval_and_no_trust() -> None:
    """Eight stimuli of two faces: a correlation, and a sentence that says why it has no interval."""
    mos = np.array([1.0, 2, 3, 4, 1.5, 2.5, 3.5, 4.5])
    methods = ["bicubic", "fsrnet", "pulse", "psp"] * 2
    found = validate(
        {"good": mos + 0.1, "bad": -mos}, mos, np.full(8, 0.3), ["a"] * 4 + ["b"] * 4, methods, {}, [("psp", "bicubic")]
    )
    assert found.trusted is None
    assert found.ranking.agreements[0].srocc.mean == pytest.approx(1)
    assert "2 faces give no interval of a correlation, three are needed" in found.sentences[0]
