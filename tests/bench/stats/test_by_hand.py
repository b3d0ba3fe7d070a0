"""Tables so small that the answer is worked out on paper, in the comment beside it."""

from __future__ import annotations

import numpy as np
import pytest

from facesr.bench.stats import screening
from facesr.bench.stats.crossed import fit
from facesr.bench.stats.mos import crowdmos_interval
from facesr.bench.stats.sensitivity import left_out
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

    The sample's deviation is sqrt(5): the limit 5.47 is not reached.
    """
    table = [[0.0, 0, 0, 0, 5]]
    assert screening.bt500_literal(table).statistic[:, 0].tolist() == [0, 0, 0, 0, 1]
    assert screening.bt500_literal(table, 1).statistic[:, 0].tolist() == [0, 0, 0, 0, 0]


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
