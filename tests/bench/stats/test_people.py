"""Metrics against people, Bradley-Terry and the ordinal model: scipy, choix, a free optimiser, simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.correlation import metrics_against_people, monotone_cubic
from facesr.bench.stats.cube import Cube
from facesr.bench.stats.ordinal import ordinal_model
from facesr.bench.stats.paired_comparison import bradley_terry


def _stimuli(seed: int = 0, faces: int = 30) -> tuple[Any, Any, list[str]]:
    rng = np.random.default_rng(seed)
    mos = rng.uniform(1, 5, faces * 4)
    return mos, rng, [f"f{i // 4}" for i in range(len(mos))]


def test_rank_correlations_match_scipy() -> None:
    from scipy.stats import kendalltau, spearmanr

    mos, rng, faces = _stimuli()
    metric = np.round(mos + rng.normal(0, 0.7, len(mos)), 1)
    found = metrics_against_people({"m": metric}, mos, np.full(len(mos), 0.3), faces, draws=100).agreements[0]
    assert found.srocc.mean == pytest.approx(spearmanr(metric, mos).statistic, abs=1e-12)
    assert found.krocc.mean == pytest.approx(kendalltau(metric, mos).statistic, abs=1e-12)
    assert found.srocc.low < found.srocc.mean < found.srocc.high
    assert (found.n, found.faces) == (120, 30)


def test_mapping_is_the_best_rising_cubic() -> None:
    from scipy.optimize import minimize

    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(10, 40, 200))
    for y in (3 + np.tanh((x - 25) / 5) + rng.normal(0, 0.1, 200), np.sin(x / 8) + rng.normal(0, 0.1, 200), -x):
        coefficients, fitted = monotone_cubic(x, y)
        assert (np.diff(fitted) >= -1e-9).all()
        np.testing.assert_allclose(np.polyval(coefficients[::-1], x), fitted, atol=1e-6)
        t = (x - x.min()) / np.ptp(x)
        grid = np.linspace(0, 1, 300)
        best = minimize(
            lambda c, t=t, y=y: ((np.polyval(c, t) - y) ** 2).sum(), [0, 0, 0.1, y.mean()], method="SLSQP",
            constraints=[{"type": "ineq", "fun": lambda c, grid=grid: np.polyval(np.polyder(c), grid)}], options={"ftol": 1e-13, "maxiter": 500},
        )  # fmt: skip
        assert ((fitted - y) ** 2).sum() <= best.fun * (1 + 2e-4) + 1e-9


def test_pearson_and_rmse_by_hand_where_the_truth_is_a_rising_cubic() -> None:
    rng = np.random.default_rng(2)
    metric = rng.uniform(-1.5, 1.5, 120)
    mos = 3 + metric + 0.1 * metric**3 + rng.normal(0, 0.3, 120)
    half = np.full(len(mos), 0.25)
    found = metrics_against_people({"m": metric}, mos, half, draws=50).agreements[0]
    fit = np.polyval(np.polyfit(metric, mos, 3), metric)
    assert found.plcc.mean == pytest.approx(np.corrcoef(fit, mos)[0, 1], abs=1e-6)
    error = np.abs(mos - fit)
    assert found.rmse.mean == pytest.approx(np.sqrt((error**2).sum() / (len(mos) - 4)), rel=1e-5)
    assert found.rmse_star.mean == pytest.approx(np.sqrt((np.maximum(error - half, 0) ** 2).sum() / (len(mos) - 4)), abs=1e-6)
    assert found.outlier_ratio.mean == pytest.approx((error > half).mean())


def test_the_metric_that_agrees_best_and_those_as_good() -> None:
    mos, rng, faces = _stimuli(3, 50)
    good = mos + rng.normal(0, 0.4, len(mos))
    metrics = {
        "good": good,
        "twin": good + rng.normal(0, 0.02, len(mos)),
        "distance": -mos + rng.normal(0, 1.5, len(mos)),
        "noise": rng.normal(size=len(mos)),
    }
    found = metrics_against_people(metrics, mos, np.full(len(mos), 0.3), faces, {"distance": False}, draws=300)
    assert found.best in {"good", "twin"}
    assert set(found.as_good) == {"good", "twin"}
    assert found.p["noise"] < 0.05
    assert sum(found.share_best.values()) == pytest.approx(1)
    assert found.agreements[2].srocc.mean > 0.4  # lower is better was turned round
    mapped = np.polyval(found.agreements[2].mapping[::-1], metrics["distance"])
    assert np.corrcoef(mapped, mos)[0, 1] == pytest.approx(found.agreements[2].plcc.mean, abs=1e-9)


def test_gaps_and_wrong_lengths() -> None:
    mos, rng, _ = _stimuli(4)
    metric = mos + rng.normal(0, 1, len(mos))
    gap = metric.copy()
    gap[:5] = np.nan
    found = metrics_against_people({"m": metric, "g": gap}, mos, np.full(len(mos), 0.3), draws=20)
    assert {a.n for a in found.agreements} == {115}
    with pytest.raises(FaceSRError, match="a value for each of 120 MOS"):
        metrics_against_people({"m": metric[:5]}, mos, np.full(len(mos), 0.3))
    with pytest.raises(FaceSRError, match="only 2 stimuli"):
        metrics_against_people({"m": metric[:2]}, mos[:2], np.full(2, 0.3))


def test_a_backward_metric_predicts_nothing() -> None:
    mos, _, _ = _stimuli(5)
    found = metrics_against_people({"m": -mos}, mos, np.full(len(mos), 0.3), draws=20).agreements[0]
    assert found.srocc.mean == pytest.approx(-1)
    assert found.plcc.mean == 0.0
    assert np.isnan(found.plcc.low) and np.isnan(found.plcc.high)  # of no width would read as certain


def test_bradley_terry_matches_choix() -> None:
    wins = np.random.default_rng(0).integers(1, 15, (5, 5)).astype(float)
    np.fill_diagonal(wins, 0)
    known = [
        0.1443637312,
        -0.9028232611,
        0.4600647302,
        0.8179857906,
        -0.5195909908,
    ]  # choix 0.4.1, opt_pairwise, alpha 0, less their mean
    found = bradley_terry(wins, list("abcde"))
    np.testing.assert_allclose(found.scores, known, atol=1e-7)
    assert found.comparisons == int(wins.sum())
    assert found.probability("a", "b") + found.probability("b", "a") == pytest.approx(1)


def test_bradley_terry_of_two_is_a_logit() -> None:
    """Two conditions: the score difference is log(30 / 10) and its variance 1 / (n p (1 - p))."""
    found = bradley_terry([[0, 30], [10, 0]], ["a", "b"])
    assert found.scores[0] - found.scores[1] == pytest.approx(np.log(3), abs=1e-10)
    c = found.covariance
    assert c[0, 0] + c[1, 1] - 2 * c[0, 1] == pytest.approx(1 / (40 * 0.75 * 0.25), rel=1e-9)
    assert found.p[0, 1] == pytest.approx(0.0026, abs=1e-4)


def test_bradley_terry_with_raters_who_repeat_themselves() -> None:
    one = np.array([[0.0, 3.0], [1.0, 0.0]])
    alone = bradley_terry(one * 20, ["a", "b"])
    same = bradley_terry(
        one * 20, ["a", "b"], by_rater=np.stack([np.array([[0.0, 20.0], [0.0, 0.0]])] * 3 + [np.array([[0.0, 0.0], [20.0, 0.0]])])
    )
    assert same.clustered
    assert same.scores == pytest.approx(alone.scores)
    assert same.covariance[0, 0] > 10 * alone.covariance[0, 0]


def test_bradley_terry_needs_a_connected_table() -> None:
    with pytest.raises(FaceSRError, match=r"no finite Bradley-Terry scores: some of .*a"):
        bradley_terry([[0, 5], [0, 0]], ["a", "b"])
    with pytest.raises(FaceSRError, match=r"must be a \(2, 2\) table"):
        bradley_terry([[0, 5, 1]], ["a", "b"])


def _ordinal_study(effects: tuple[float, ...], raters: int, faces: int) -> Cube:
    rng = np.random.default_rng(0)
    latent = (
        rng.normal(0, 1, (raters, 1, 1))
        + rng.normal(0, 0.7, (1, faces, 1))
        + np.array(effects)
        + rng.logistic(0, 1, (raters, faces, len(effects)))
    )
    scores = 1 + (latent[..., None] > np.array([-2.0, -0.7, 0.7, 2.0])).sum(axis=-1)
    return Cube(scores.astype(float), tuple(map(str, range(raters))), tuple(map(str, range(faces))), tuple("abc"[: len(effects)]))


@pytest.mark.slow
def test_ordinal_model_finds_what_made_the_ratings() -> None:
    pytest.importorskip("interlace")
    found = ordinal_model(_ordinal_study((0.0, -1.0, 1.0), 10, 8))
    assert found.order == ("c", "a", "b")
    assert found.agrees
    assert found.effects == pytest.approx((0.0, -1.0, 1.0), abs=0.5)
    assert found.low[1] < found.effects[1] < found.high[1] < 0


def test_ordinal_model_is_rs_clmm() -> None:
    """R 4.2.2, ordinal 2022.11-16: coef(summary(clmm(score ~ cond + (1|rater) + (1|face)))), standard deviations of VarCorr of it."""
    pytest.importorskip("interlace")
    found = ordinal_model(_ordinal_study((0.0, -1.0, 1.0), 10, 8))
    assert found.effects[1:] == pytest.approx((-0.971535573570, 0.665831768986), abs=0.01)
    assert found.errors[1:] == pytest.approx((0.287575665486, 0.292635157083), abs=0.001)
    assert (found.rater_sd, found.face_sd) == pytest.approx((0.799993215315, 0.127874509867), abs=0.001)


def test_ordinal_model_without_spread_is_refused() -> None:
    pytest.importorskip("interlace")
    with pytest.raises(FaceSRError, match="two conditions and two different ratings"):
        ordinal_model(Cube(np.full((3, 3, 2), 4.0), ("r", "s", "t"), ("1", "2", "3"), ("a", "b")))
