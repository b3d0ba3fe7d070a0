"""Rank tests, effects, corrections, letters and equivalence: against scipy, statsmodels and scikit-posthocs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.clustered import clustered_mean
from facesr.bench.stats.correction import benjamini_hochberg, holm, letter_display
from facesr.bench.stats.cube import Cube, cube
from facesr.bench.stats.effect import cliffs_delta, matched_rank_biserial, superiority
from facesr.bench.stats.equivalence import tost
from facesr.bench.stats.pairwise import compare_conditions, compare_methods, significance_letters
from facesr.bench.stats.rank_tests import friedman, mann_whitney, signed_rank

RNG = np.random.default_rng(0)


def _study(effects: tuple[float, ...] = (0.0, 0.0, 0.6), raters: int = 20, faces: int = 16, seed: int = 0) -> Cube:
    rng = np.random.default_rng(seed)
    x = 3 + rng.normal(0, 0.5, (raters, 1, 1)) + rng.normal(0, 0.3, (1, faces, 1)) + np.array(effects)
    x = np.clip(np.rint(x + rng.normal(0, 0.8, (raters, faces, len(effects)))), 1, 5)
    return Cube(x, tuple(f"r{i}" for i in range(raters)), tuple(f"f{i}" for i in range(faces)), tuple("abc"[: len(effects)]))


def test_mann_whitney_is_scipys_tie_corrected_asymptotic() -> None:
    from scipy.stats import mannwhitneyu

    a, b = RNG.integers(1, 6, 300), RNG.integers(1, 6, 250)
    theirs = mannwhitneyu(a, b, method="asymptotic")
    found = mann_whitney(a, b)
    assert (found.statistic, found.p, found.method) == (theirs.statistic, theirs.pvalue, "asymptotic")


def test_small_tied_samples_are_permuted() -> None:
    """Where scipy's 'exact' ignores the ties: all 12,870 splits of 8 + 8 by hand."""
    a, b = np.array([1, 2, 2, 3, 3, 3, 4, 5.0]), np.array([2, 3, 3, 4, 4, 4, 5, 5.0])
    both = np.concatenate([a, b])
    u = [abs(superiority(both[list(i)], np.delete(both, list(i))) - 0.5) for i in combinations(range(16), 8)]
    exact = np.mean(np.array(u) >= abs(superiority(a, b) - 0.5) - 1e-12)
    found = mann_whitney(a, b)
    assert found.method == "permutation"
    assert found.p == pytest.approx(exact, abs=1e-9)


def test_mann_whitney_edges() -> None:
    assert mann_whitney([3.0] * 20, [3.0] * 20).p == 1.0
    assert np.isnan(mann_whitney([], [1.0]).p)
    assert mann_whitney([1.0, np.nan], [2.0]).n == 2
    alone = mann_whitney([9.0], np.arange(9.0))
    assert (alone.statistic, alone.p) == (9.0, 0.2)


def test_signed_rank_is_scipys_pratt() -> None:
    from scipy.stats import wilcoxon

    d = RNG.integers(-3, 5, 60).astype(float)
    assert signed_rank(d).p == pytest.approx(wilcoxon(d, zero_method="pratt", method="approx").pvalue, rel=1e-12)
    small = np.array([0.3, -0.1, 0.4, 0.2, 0.9, -0.25, 0.7])
    assert signed_rank(small).p == pytest.approx(
        wilcoxon(small, method="exact").pvalue, rel=1e-12
    )  # no ties, no zeros: scipy is exact
    assert signed_rank(np.zeros(30)).p == 1.0
    # Means that differ by rounding alone are zeros, not evidence.
    assert signed_rank(np.full(30, 1e-16)).p == 1.0


def test_friedman_and_nemenyi_match_scipy_and_posthocs() -> None:
    from scipy.stats import friedmanchisquare

    x = np.random.default_rng(3).integers(1, 6, (25, 4)) + np.array([0.0, 0, 1, 2])
    found, theirs = friedman(x, list("abcd")), friedmanchisquare(*x.T)
    assert [found.chi2, found.p] == pytest.approx([theirs.statistic, theirs.pvalue], rel=1e-10)
    known = [
        0.992826692468,
        0.244463745918,
        0.006752847481,
        0.141700427032,
        0.002570563392,
        0.518693767679,
    ]  # scikit-posthocs 0.17.1
    np.testing.assert_allclose(found.nemenyi[np.triu_indices(4, 1)], known, atol=1e-9)
    assert (found.nemenyi == found.nemenyi.T).all()
    # Demsar 2006, table 5: q .05 for 4 classifiers is 2.569
    assert found.critical_difference == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 25)), rel=2e-4)
    with pytest.raises(FaceSRError, match="two conditions and two complete blocks, got 4 and 1"):
        friedman(x[:1], list("abcd"))


def test_holm_and_bh_match_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    p = RNG.uniform(0, 0.2, 15)
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], atol=1e-12)
    np.testing.assert_allclose(benjamini_hochberg(p), multipletests(p, method="fdr_bh")[1], atol=1e-12)
    gap = np.array([0.01, np.nan, 0.02])
    assert holm(gap) == pytest.approx([0.02, np.nan, 0.02], nan_ok=True)


def test_effects_by_counting() -> None:
    a, b = RNG.integers(1, 6, 40), RNG.integers(1, 6, 30)
    pairs = np.sign(a[:, None] - b[None, :])
    assert cliffs_delta(a, b) == pytest.approx(pairs.mean(), abs=1e-12)
    assert superiority(a, b) == pytest.approx(mann_whitney(a, b).statistic / (40 * 30), abs=1e-12)
    assert matched_rank_biserial([1, 2, 3]) == 1.0
    assert matched_rank_biserial([1, -2, 3]) == pytest.approx((4 - 2) / 6)
    assert matched_rank_biserial([0, 0]) == 0.0


@given(st.integers(2, 7), st.data())
@settings(max_examples=120, deadline=None)
def test_letters_say_exactly_which_pairs_differ(n: int, data: st.DataObject) -> None:
    names = [f"m{i}" for i in range(n)]
    every = list(combinations(names, 2))
    different = data.draw(st.lists(st.sampled_from(every), unique=True))
    letters = letter_display({name: -i for i, name in enumerate(names)}, different)
    for a, b in every:
        assert bool(set(letters[a]) & set(letters[b])) == ((a, b) not in different)


def test_letters_of_a_study() -> None:
    study = _study((0.0, 0.0, 1.0), seed=1)
    pairs = compare_conditions(study, leave_out=False)
    means = {c: float(study.values[:, :, i].mean()) for i, c in enumerate(study.conditions)}
    assert significance_letters(pairs, means) == {"c": "a", "a": "b", "b": "b"}
    upside_down = significance_letters(pairs, means, higher_is_better=False)
    assert {upside_down["a"], upside_down["b"]} == {"a"}
    assert upside_down["c"] == "b"


def test_tost_matches_statsmodels() -> None:
    from statsmodels.stats.weightstats import DescrStatsW

    x = RNG.normal(0.02, 0.3, 60)
    p, (_, p_low, _), (_, p_high, _) = DescrStatsW(x).ttost_mean(-0.1, 0.1)
    found = tost(clustered_mean(x[:, None], "raters"), 0.1)
    assert [found.p, found.p_noninferior] == pytest.approx([p, p_low], rel=1e-9)
    assert max(p_low, p_high) == pytest.approx(p)
    with pytest.raises(FaceSRError, match="positive number of rating points, got 0"):
        tost(clustered_mean(x[:, None]), 0.0)


def test_a_study_of_equals_is_equivalent_only_when_large() -> None:
    large, small = (compare_conditions(_study((0.0, 0.0), n, n), leave_out=False)[0].equivalence for n in (80, 6))
    assert large is not None
    assert small is not None
    assert large.equivalent
    assert not small.equivalent


def test_pairs_carry_both_the_papers_test_and_the_valid_one() -> None:
    study = _study()
    pairs = compare_conditions(study)
    assert [(p.a, p.b) for p in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    for p in pairs:
        assert p.p_holm >= p.p
        assert p.p_left_out[0] <= p.p_left_out[1]
        assert p.low < p.difference < p.high
        assert p.over_raters is not None
    assert pairs[1].significant()
    assert pairs[1].difference < 0
    assert pairs[1].a12 < 0.5
    assert pairs[1].rank_biserial_raters < 0
    assert holm([p.p for p in pairs]).tolist() == [p.p_holm for p in pairs]


def test_turning_a_pair_round_turns_its_signs() -> None:
    study = _study()
    back = Cube(study.values[:, :, ::-1], study.raters, study.faces, study.conditions[::-1])
    one, other = compare_conditions(study, leave_out=False)[1], compare_conditions(back, leave_out=False)[1]
    assert (other.a, other.b) == (one.b, one.a)
    assert [other.difference, other.cliffs_delta, other.low] == pytest.approx([-one.difference, -one.cliffs_delta, -one.high])
    assert other.p == pytest.approx(one.p)


def test_partial_latin_design_is_compared_without_pairs() -> None:
    study = _study((0.0, 1.0), 24, 24)
    values = study.values.copy()
    for r in range(24):
        for f in range(24):
            values[r, f, (r + f) % 2] = np.nan
    pair = compare_conditions(Cube(values, study.raters, study.faces, study.conditions), leave_out=False)[0]
    assert pair.n == 24 * 24
    assert pair.difference == pytest.approx(-1.0, abs=0.2)
    assert pair.p < 1e-3


def test_metrics_over_images_are_paired_by_face() -> None:
    base = RNG.normal(25, 3, 200)
    scores = np.stack([base, base + 0.2 + RNG.normal(0, 0.3, 200), base[::-1]], axis=1)
    scores[3, 1] = np.nan
    pairs = compare_methods(scores, ["x", "y", "z"])
    assert pairs[0].n == 199
    assert pairs[0].p < 1e-10
    assert pairs[0].paper.p > 0.3  # unpaired, the same shift drowns in the spread of faces
    assert pairs[0].low < -0.2 < pairs[0].high
    assert pairs[0].over_raters is None
    scores[0], scores[1, 0] = np.inf, np.inf  # a perfect image twice, and a perfect image of x
    perfect = compare_methods(scores, ["x", "y", "z"])[0]
    assert (perfect.n, perfect.difference) == (199, np.inf)
    assert np.isnan(perfect.low)
    assert perfect.p == pytest.approx(pairs[0].p, rel=10)
    with pytest.raises(FaceSRError, match="do not fit 2 methods"):
        compare_methods(scores, ["x", "y"])


def test_cube_from_a_long_table() -> None:
    frame = pd.DataFrame({
        "rater": ["u", "u", "v", "v", "v"], "face": ["1", "1", "1", "1", "2"], "condition": ["a", "b", "a", "a", "b"],
        "score": [1, 2, 3, 5, 4], "kind": ["main", "main", "main", "repeat", "main"],
    })  # fmt: skip
    found = cube(frame)
    assert (found.raters, found.faces, found.conditions) == (("u", "v"), ("1", "2"), ("a", "b"))
    assert found.values[1, 0, 0] == 3  # the repeat is no second opinion
    assert np.isnan(found.values[0, 1]).all()
    assert cube(frame, ["b", "a"]).conditions == ("b", "a")
    assert found.with_table(found.table).values == pytest.approx(found.values, nan_ok=True)
    with pytest.raises(FaceSRError, match="missing: score"):
        cube(frame.drop(columns="score"))
    with pytest.raises(FaceSRError, match="nobody rated 'c'"):
        cube(frame, ["a", "c"])
    with pytest.raises(FaceSRError, match="holds no ratings"):
        cube(frame[:0])
