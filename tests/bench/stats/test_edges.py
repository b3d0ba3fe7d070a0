"""Statistics at the edges: tiny, uneven, unanimous and large inputs; what relabelling, shifting and doubling must not change."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.agreement import alpha_value, icc, krippendorff_alpha
from facesr.bench.stats.analysis import analyse_mos
from facesr.bench.stats.claims import check_claims
from facesr.bench.stats.clustered import clustered_difference, clustered_mean, components
from facesr.bench.stats.cube import Cube
from facesr.bench.stats.intervals import mean_interval
from facesr.bench.stats.many import mean_intervals
from facesr.bench.stats.mos import condition_mos, top_from
from facesr.bench.stats.order import order_effects
from facesr.bench.stats.paired_comparison import bradley_terry
from facesr.bench.stats.pairwise import compare_conditions, compare_methods, letters_refused, significance_letters
from facesr.bench.stats.power import TYPICAL, StudySize, check_known, power_grid, study_power, typical
from facesr.bench.stats.rank_tests import mann_whitney, signed_rank


def _cube(values: np.ndarray) -> Cube:
    r, f, c = values.shape
    return Cube(values, tuple(f"r{i}" for i in range(r)), tuple(f"f{i}" for i in range(f)), tuple("abcdefgh"[:c]))


def _study(seed: int = 0, raters: int = 12, faces: int = 10, gaps: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = 3 + 0.5 * rng.normal(size=(raters, 1, 1)) + 0.4 * rng.normal(size=(1, faces, 1)) + np.array([0, 0.1, 0.9])
    x = np.clip(np.rint(x + 0.8 * rng.normal(size=(raters, faces, 3))), 1, 5)
    x[rng.random(x.shape) < gaps] = np.nan
    return x


def test_bradley_terry_of_one_rater_has_scores_and_no_errors() -> None:
    w = [[0, 6, 5], [4, 0, 7], [5, 3, 0]]
    with pytest.raises(FaceSRError, match=r"tables of wins \(raters, n, n\)"):
        bradley_terry(w, list("abc"), by_rater=w)
    found = bradley_terry(w, list("abc"), by_rater=[w])
    assert np.isfinite(found.scores).all()
    assert np.isnan(found.low).all() and np.isnan(found.p[0, 1]) and "one rater" in found.undefined
    with pytest.raises(FaceSRError, match="must add up to wins"):
        bradley_terry(w, list("abc"), by_rater=[w, w])


def test_bradley_terry_widens_for_few_raters_and_for_faces() -> None:
    rng = np.random.default_rng(0)
    cells = np.zeros((6, 8, 2, 2))
    liking = 1 / (1 + np.exp(-1.5 * rng.normal(size=8)))  # faces differ in which condition wins
    cells[:, :, 0, 1] = rng.binomial(4, liking, (6, 8))
    cells[:, :, 1, 0] = 4 - cells[:, :, 0, 1]
    wins = cells.sum(axis=(0, 1))
    plain, raters, both = (
        bradley_terry(wins, ["a", "b"], **how)  # type: ignore[arg-type]
        for how in ({}, {"by_rater": cells.sum(axis=1)}, {"by_cell": cells})
    )
    assert raters.df == 5 and both.df == 5
    assert both.high[0] - both.low[0] > 1.2 * (raters.high[0] - raters.low[0])
    assert both.p[0, 1] > plain.p[0, 1]


def test_signed_rank_p_does_not_rise_where_the_method_changes() -> None:
    d = np.arange(1, 14) * 0.37
    p = [signed_rank(d[:n]).p for n in range(5, 14)]
    assert p == pytest.approx([2.0 ** (1 - n) for n in range(5, 14)])
    tied = signed_rank([1, 1, -1, 2, 2, 0, 3, 1, -2, 2, 1, 1, 3])  # ties and a zero: all 2^12 signs of the others
    assert tied.method == "permutation"


def test_large_rank_sums_are_not_counted_out() -> None:
    rng = np.random.default_rng(1)
    start = time.process_time()
    found = mann_whitney(rng.normal(size=11), rng.normal(size=20_000))
    assert found.method == "asymptotic" and time.process_time() - start < 1


def test_letters_only_where_a_test_can_reach_the_level() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(8, 5)) + 10 * np.arange(5)
    pairs = compare_methods(scores, list("abcde"))
    assert min(p.p_holm for p in pairs) == pytest.approx(10 * 2**-7)  # .078: even the clearest data cannot reach .05
    assert set(significance_letters(pairs, dict(zip("abcde", range(5), strict=True))).values()) == {""}
    assert "9 faces would do" in letters_refused(pairs)
    enough = compare_methods(np.vstack([scores, scores[:1]]), list("abcde"))
    assert letters_refused(enough) == ""
    alone = compare_conditions(_cube(_study(raters=1)))
    assert set(significance_letters(alone, {"a": 1.0, "b": 2.0, "c": 3.0}).values()) == {""}
    assert "one rater" in letters_refused(alone)


@pytest.mark.parametrize("gaps", [0.0, 0.25])
def test_one_decision(gaps: float) -> None:
    for seed in range(6):
        pairs = compare_conditions(_cube(_study(seed, gaps=gaps)), alpha=0.01)
        for pair in pairs:
            assert pair.different == (pair.p_holm < 0.01) == (pair.p < pair.threshold)
            assert pair.different == (not pair.low_joint <= 0 <= pair.high_joint)
            assert pair.alpha == 0.01
            assert bool(pair.basis) == bool(gaps)


def test_differences_equal_those_of_the_mos_or_say_of_what() -> None:
    cube = _cube(_study())
    mos = {m.condition: m.mean for m in condition_mos(cube)}
    for pair in compare_conditions(cube):
        assert pair.difference == pytest.approx(mos[pair.a] - mos[pair.b], abs=1e-12) and pair.basis == ""
    for pair in compare_conditions(_cube(_study(gaps=0.3))):
        assert pair.basis.startswith("mixed model of ")


def test_unanimous_ratings_get_an_honest_interval() -> None:
    ones = condition_mos(_cube(np.ones((12, 30, 1))))[0]
    reach = 1 - 0.025 ** (1 / 12)  # a share of raters that stays unseen among 12 in one study of forty
    assert (ones.over_both.low, ones.over_both.high) == pytest.approx((1.0, 1 + 4 * reach))
    assert np.isnan(ones.se) and "all 360 ratings are 1" in ones.note
    analysis = analyse_mos(_long(np.full((2, 2, 2), [5.0, 4.0])))
    pair = analysis.pairs[0]
    assert pair.verdict == "undefined" and np.isnan(pair.p) and pair.difference == 1
    assert pair.equivalence is not None and np.isnan(pair.equivalence.p)
    assert {"undefined", "no_letters"} <= {g.kind for g in analysis.guards}


def _long(values: np.ndarray) -> pd.DataFrame:
    r, f, c = np.nonzero(np.isfinite(values))
    names = [np.array([f"{n}{i}" for i in range(s)]) for n, s in zip("rfc", values.shape, strict=True)]
    frame = pd.DataFrame({"rater": names[0][r], "face": names[1][f], "condition": names[2][c], "score": values[r, f, c]})
    return frame.assign(position=frame.groupby("rater").cumcount() + 1)


def test_claims_and_power_follow_the_scale_and_refuse_the_impossible() -> None:
    five, hundred = check_claims([3.7, 3.6], 40, 40)[0], check_claims([67.5, 65.0], 40, 40, scale=(0, 100))[0]
    assert hundred.p_clustered == pytest.approx(five.p_clustered, rel=1e-9)  # the same difference as a share of the range
    assert hundred.verdict == five.verdict
    assert typical((0, 100)).residual == pytest.approx(25 * TYPICAL.residual)
    for wrong in (
        {"alpha": 0.0},
        {"alpha": 1.5},
        {"spreads": [-1.0]},
        {"mos": [float("nan"), 3.0]},
        {"rounding": 500.0},
        {"faces": 0},
    ):
        with pytest.raises(FaceSRError):
            check_claims(**({"mos": [3.7, 3.6], "raters": 40, "faces": 40} | wrong))  # type: ignore[arg-type]
    for bad in ({"alpha": 0.0}, {"alpha": float("nan")}, {"target": 1.0}, {"difference": 0.0}):
        with pytest.raises(FaceSRError):
            study_power(TYPICAL, StudySize(10, 10), **bad)  # type: ignore[arg-type]
    with pytest.raises(FaceSRError, match="sees 1 to 20 faces"):
        power_grid(TYPICAL, [10], [20, 40], faces_per_rater=30)


def test_wilson_is_for_declared_shares_only() -> None:
    ones = np.ones((8, 2))
    ssim, rate = mean_intervals(ones, shares=[False, True])
    assert (ssim.low, ssim.high) == (1.0, 1.0)
    assert rate.low == pytest.approx(0.6755924, abs=1e-6)
    with pytest.raises(FaceSRError, match="0 or 1"):
        mean_intervals(np.array([[0.5], [1.0]]), shares=[True])


def test_scale_bound_constants_follow_the_scale() -> None:
    assert [top_from(s) for s in ((1, 5), (0, 100), (-3, 3), (1, 7))] == [4, 75, 1.5, 5.5]
    pairs = compare_conditions(_cube(25 * (_study() - 1)), scale=(0, 100))
    assert pairs[0].equivalence is not None and pairs[0].equivalence.margin == 2.5


def test_reliability_outside_zero_and_one_is_undefined() -> None:
    x = np.array([[1.0, 5], [5, 1], [1, 5], [5, 1]])
    found = icc(x)
    assert np.isnan(found.single) and "outside 0 to 1" in found.undefined
    assert "2 raters" in icc(np.arange(8.0).reshape(4, 2)).words


def test_order_effects_find_a_drift_and_nothing_in_noise() -> None:
    frame = _long(_study(raters=20))
    assert all(e.p_holm > 0.01 for e in order_effects(frame))
    rng = np.random.default_rng(0)
    drift = frame.assign(position=frame.groupby("rater")["position"].transform(lambda p: rng.permutation(p.to_numpy())))
    drift["score"] += 0.04 * drift["position"]
    found = {e.kind: e for e in order_effects(drift)}
    assert found["position"].estimate == pytest.approx(3.8, abs=1)  # 4 less the share that an image's own mean takes up
    assert found["position"].p_holm < 0.001 < found["noise"].p_holm
    assert order_effects(frame.drop(columns="position")) == ()


def test_short_sessions_do_not_look_like_carry_over() -> None:
    """Deviations of one rater add up to 0, so that the next leans against the last by 1 / (n - 1): that is no effect of order."""
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        frame = _long(_study(seed, raters=12, faces=4))
        frame["position"] = np.concatenate([rng.permutation(12) + 1 for _ in range(12)])
        found += [e.estimate for e in order_effects(frame.sort_values(["rater", "position"])) if e.kind == "carry_over"]
    assert abs(np.mean(found)) < 3 * np.std(found) / 60**0.5 + 0.01  # uncorrected -0.06


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.2]))
def test_relabelling_and_shifting_change_nothing_else(seed: int, gaps: float) -> None:
    x = _study(seed, raters=7, faces=6, gaps=gaps)
    rng = np.random.default_rng(seed)
    turned = x[rng.permutation(7)][:, rng.permutation(6)]
    for a, b in ((x, turned), (x, x + 3.0)):
        one, two = (clustered_difference(v[..., 0], v[..., 2]) for v in (a, b))
        assert (one.mean, one.se, one.df, one.p) == pytest.approx((two.mean, two.se, two.df, two.p), rel=2e-3, abs=1e-6)
    alpha = [alpha_value(v.transpose(1, 2, 0).reshape(-1, 7)) for v in (x, turned, x + 3.0)]
    assert alpha == pytest.approx([alpha[0]] * 3)
    shifted, plain = mean_interval(x[..., 0] + 3), mean_interval(x[..., 0])
    assert (shifted.mean - 3, shifted.low - 3, shifted.high - 3) == pytest.approx((plain.mean, plain.low, plain.high), abs=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_doubling_the_data_never_widens(seed: int) -> None:
    x = _study(seed, raters=8, faces=7)[..., 0]
    once = clustered_mean(x)
    for more in (np.vstack([x, x]), np.hstack([x, x]), np.vstack([np.hstack([x, x])] * 2)):
        twice = clustered_mean(more)
        assert twice.high - twice.low <= (once.high - once.low) * (1 + 1e-9)
    v = x.ravel()[:9]
    one, two = mean_interval(v), mean_interval(np.tile(v, 2))
    assert two.high - two.low <= one.high - one.low


def test_alpha_of_sliders_is_linear_in_ratings() -> None:
    rng = np.random.default_rng(3)
    x = np.round(rng.normal(50, 10, (100, 1)) + rng.normal(0, 15, (100, 30)), 2)  # 3,000 values, nearly all distinct
    start = time.process_time()
    found = krippendorff_alpha(x)
    assert time.process_time() - start < 2  # 150 s before
    assert found.low < found.value < found.high


def test_what_a_single_rater_cannot_tell_is_unknown_and_plans_no_study() -> None:
    """It was 0, with which ``study power`` promised 100 % power for any difference. Two raters who agree to the dot plan nothing either."""
    lone = np.array([[[4.0, 3.0], [5.0, 2.0]]])
    for values in (lone, lone.transpose(1, 0, 2), lone.transpose(1, 2, 0)):
        parts = components(values)
        assert parts.unknown == ["rater", "face", "rater x condition", "face x condition", "rater x face", "residual"]
        with pytest.raises(FaceSRError, match="the pilot cannot tell how far ratings differ by rater, face"):
            check_known(parts, "the pilot")
    with pytest.raises(FaceSRError, match="the ratings of the pilot do not vary"):
        check_known(components(np.full((3, 3, 2), 3.0)), "the pilot")
    check_known(components(np.random.default_rng(0).integers(1, 6, (4, 5, 3))), "the pilot")


def test_ratings_that_are_all_alike_get_no_letters_and_the_reason() -> None:
    """It read: 'the smallest p that 9 faces can give is 1, after correction for 0 pairs 0, above 0.05'. There are three faces, and no test."""
    found = letters_refused(analyse_mos(_long(np.full((3, 3, 2), 3.0))).pairs)
    assert found == "No letters: no pair could be tested, the ratings do not vary, so how far others would differ is not known."
