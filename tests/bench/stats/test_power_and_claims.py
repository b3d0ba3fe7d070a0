"""Power, planning tables and the claim checker: VQEG's tool, statsmodels, simulation, and figures of reference/mos.md, sections 3.4 and 4."""

from __future__ import annotations

import json

import numpy as np
import pytest

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.claims import check_claims, check_pair, expected_mann_whitney, plausible_distribution, rating_distribution
from facesr.bench.stats.clustered import Components, clustered_mean
from facesr.bench.stats.power import (
    TYPICAL,
    StudySize,
    power_grid,
    size_sentence,
    standard_error,
    study_power,
)
from facesr.cli import main as facesr

REALISM = Components(0.55, 0.33, 0.24, 0.60, 0.30, 0.86)


def test_detectable_differences_of_a_40_by_40_study() -> None:
    """These raters and faces .09, new raters .20, both .31 (realism .42); with alpha .01 / 15: both .49 (.67); 200 faces .21 (.33)."""
    scale = 2.87  # t(39) at .05 and 80 % power
    found = [standard_error(TYPICAL, StudySize(40, 40), over) * scale for over in ("ratings", "raters")]  # type: ignore[arg-type]
    assert found == pytest.approx([0.09, 0.20], abs=0.01)
    assert [study_power(c, StudySize(40, 40)).detectable for c in (TYPICAL, REALISM)] == pytest.approx([0.31, 0.42], abs=0.012)
    strict = [study_power(c, StudySize(40, 40), alpha=0.01 / 15).detectable for c in (TYPICAL, REALISM)]
    assert strict == pytest.approx([0.49, 0.67], abs=0.012)
    faces = [study_power(TYPICAL, StudySize(40, 200), alpha=a).detectable for a in (0.05, 0.01 / 15)]
    assert faces == pytest.approx([0.21, 0.33], abs=0.012)


def test_sufficient_statistics_agree_with_whole_tables() -> None:
    design, rng = StudySize(10, 14), np.random.default_rng(0)
    power = study_power(TYPICAL, design, 0.5)
    hits = 0
    for _ in range(1500):
        d = 0.5 + np.sqrt(2) * (rng.normal(0, TYPICAL.rater_condition, (10, 1)) + rng.normal(0, TYPICAL.face_condition, (1, 14)))
        hits += clustered_mean(d + np.sqrt(2) * rng.normal(0, TYPICAL.residual, (10, 14))).p < 0.05
    assert power.power == pytest.approx(hits / 1500, abs=0.035)
    partial = study_power(TYPICAL, StudySize(20, 40, 20), 0.5, draws=600)
    assert (
        study_power(TYPICAL, StudySize(20, 20), 0.5).power - 0.1
        < partial.power
        < study_power(TYPICAL, StudySize(20, 40), 0.5).power + 0.05
    )


def test_more_faces_help_where_more_raters_do_not() -> None:
    said = size_sentence(TYPICAL, 40, 40, 0.1, 0.05, 1)
    assert said.endswith("for 0.10 MOS neither more faces nor more raters alone would do, both are needed.")
    few = int(size_sentence(TYPICAL, 10, 200, 0.25, 0.05, 1).rsplit(" raters would be needed", 1)[0].rsplit(" ", 1)[1])
    assert study_power(TYPICAL, StudySize(few, 200), 0.25).power > 0.77 > study_power(TYPICAL, StudySize(few - 6, 200), 0.25).power
    grid = power_grid(TYPICAL, [20, 40], [40, 200])
    assert [(p.design.raters, p.design.faces) for p in grid] == [(20, 40), (20, 200), (40, 40), (40, 200)]
    assert grid[3].detectable < grid[1].detectable < grid[0].detectable
    with pytest.raises(FaceSRError, match="got 1 raters, 40 faces"):
        study_power(TYPICAL, StudySize(1, 40))


def test_rating_distribution_has_the_asked_moments() -> None:
    p = rating_distribution(3.7, 1.0)
    points = np.arange(1, 6)
    assert [p.sum(), p @ points, np.sqrt(p @ (points - 3.7) ** 2)] == pytest.approx([1, 3.7, 1.0], abs=1e-9)
    assert plausible_distribution(1.01, 0.9) @ points == pytest.approx(1.01, abs=1e-9)
    with pytest.raises(FaceSRError, match="outside the scale 1 to 5"):
        rating_distribution(5.2, 1.0)
    with pytest.raises(FaceSRError, match=r"cannot have sd 0\.9"):
        rating_distribution(1.01, 0.9)


def test_expected_test_is_scipys_on_exactly_those_ratings() -> None:
    from scipy.stats import mannwhitneyu

    a, b = [2, 5, 20, 40, 33], [3, 9, 25, 38, 25]
    theirs = mannwhitneyu(np.repeat(range(5), a), np.repeat(range(5), b), method="asymptotic", use_continuity=False)
    found = expected_mann_whitney(np.array(a) / 100, np.array(b) / 100, 100, 100)
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert found.a12 == pytest.approx(theirs.statistic / 1e4)


def test_mos_370_against_367_is_not_expected() -> None:
    claim = check_pair((3.70, 3.67), 1600, 0.01)
    assert claim.verdict == "not expected"
    assert [c.z for c in claim.at] == pytest.approx([0.948, 0.870, 0.810], abs=5e-4)
    assert [c.p for c in claim.at] == pytest.approx([0.343, 0.384, 0.418], abs=5e-4)
    assert [c.a12 for c in claim.at] == pytest.approx([0.509, 0.5085, 0.508], abs=5e-4)
    assert [c.power for c in claim.at] == pytest.approx([0.053, 0.044, 0.039], abs=2e-3)  # reference: simulated
    assert [c.detectable[0.8] for c in claim.at] == pytest.approx([0.109, 0.119, 0.128], abs=2e-3)
    assert [c.n_needed for c in claim.at] == pytest.approx([20_870, 24_962, 28_469], rel=0.012)
    assert claim.p_best > 0.01


def test_pulse_is_borderline() -> None:
    """PULSE (arXiv 2003.03808): HR 3.74, PULSE 3.60, "p < 1e-5 for all 15": 1.05e-5 at sd .9, 5.3e-5 at 1.0, 1.7e-4 at 1.1."""
    claim = check_pair((3.74, 3.60), 1600, 1e-5)
    assert claim.verdict == "borderline"
    assert [c.p for c in claim.at] == pytest.approx([1.05e-5, 5.3e-5, 1.7e-4], rel=0.01)
    table = check_claims([3.74, 1.01, 1.34, 2.77, 2.92, 3.60], 40, 40, 1e-5)
    assert len(table) == 15
    assert {(c.a, c.b) for c in table if c.verdict != "expected"} == {("A", "F"), ("D", "E")}


def test_simulated_ratings_give_the_expected_p() -> None:
    from scipy.stats import mannwhitneyu

    rng, p, q = np.random.default_rng(0), rating_distribution(3.74, 1.0), rating_distribution(3.60, 1.0)
    z = []
    for _ in range(300):
        a, b = rng.choice(5, 1600, p=p), rng.choice(5, 1600, p=q)
        z.append((mannwhitneyu(a, b).statistic - 1600**2 / 2) / 1600)
    expected = check_pair((3.74, 3.60), 1600).at[1]
    assert np.mean(z) / 1600 + 0.5 == pytest.approx(expected.a12, abs=2e-3)


def test_command_speaks_plainly(capsys: pytest.CaptureFixture[str]) -> None:
    assert facesr(["check-claim", "--mos", "3.70", "3.67", "--raters", "40", "--images", "40", "--names", "pSp", "PULSE"]) == 1
    out = capsys.readouterr().out
    assert "pSp 3.70 against PULSE 3.67, 1,600 ratings each: NOT EXPECTED" in out
    assert "p = .343 to .418" in out
    assert facesr(["check-claim", "--mos", "3.74", "3.60", "--raters", "40", "--images", "40", "--alpha", "1e-5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["verdict"] == "borderline"
    for wrong, why in ((["3.7", "5.7"], "outside the scale"), (["3.7"], "give two or more MOS")):
        assert facesr(["check-claim", "--mos", *wrong, "--raters", "40", "--images", "40"]) == 2
        assert why in capsys.readouterr().err
    assert facesr(["check-claim", "--mos", "3.7", "3.6", "--raters", "1", "--images", "40"]) == 2
