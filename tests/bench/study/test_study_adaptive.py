"""Adaptive pairs: the information is right, plans are whole and known to the log, and fewer comparisons give the same order."""

from __future__ import annotations

import contextlib
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select, text

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.active import choose_pairs, expected_information, posterior
from facesr.bench.study import store
from facesr.bench.study import tables as t
from facesr.bench.study.adaptive import assign
from facesr.bench.study.check import check_ratings
from facesr.bench.study.ending import preferred
from facesr.bench.study.plan import Stopping
from facesr.bench.study.simulate import simulate
from facesr.bench.study.stopping import level_now
from fake_study import small_study

PULSE = np.array([1.01, 1.34, 2.77, 2.92, 3.60, 3.74]) * 1.7 / (0.9 * np.sqrt(2))
"""The six MOS of PULSE's Table 1 as log-odds: rating noise .9 on each side, logistic for normal."""


def test_posterior_without_answers_is_the_prior() -> None:
    """And with many it is the maximum-likelihood one: 60 to 40 is a difference of log 1.5."""
    mean, covariance = posterior(np.zeros((3, 3)), 2.0)
    assert mean == pytest.approx(0)
    assert covariance == pytest.approx(4 * np.eye(3))
    mean, covariance = posterior(np.array([[0, 60000], [40000, 0]]))
    assert mean[0] - mean[1] == pytest.approx(np.log(1.5), abs=1e-3)
    assert covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1] == pytest.approx(1 / (100_000 * 0.24), rel=0.01)


def test_information_by_brute_force() -> None:
    """Two scores: the expected fall of the order's entropy after one answer, by drawing half a million scores and answers."""
    from scipy.special import ndtr

    mean, covariance = np.array([0.4, 0.0]), np.array([[0.3, 0.05], [0.05, 0.2]])
    sd = np.sqrt(0.4)
    rng = np.random.default_rng(0)
    d = rng.normal(0.4, sd, 500_000)
    won = rng.random(d.size) < 1 / (1 + np.exp(-d))

    def entropy(p: float) -> float:
        return float(-p * np.log(p) - (1 - p) * np.log(1 - p))

    before = entropy(float(ndtr(0.4 / sd)))
    after = sum(side.mean() * entropy(float((d[side] > 0).mean())) for side in (won, ~won))
    assert expected_information(mean, covariance)[0, 1] == pytest.approx(
        before - after, rel=0.15
    )  # a normal approximation of the answer


def test_what_is_settled_is_left_alone() -> None:
    """Two methods far from two close ones: the close pairs are asked about; at the start all pairs alike."""
    wins = np.array([[0, 10, 40, 40], [10, 0, 40, 40], [0, 0, 0, 10], [0, 0, 10, 0]], dtype=float)
    chosen = Counter(choose_pairs(*posterior(wins), 40, np.random.default_rng(0)))
    assert chosen[(0, 1)] + chosen[(2, 3)] >= 38
    fresh = Counter(choose_pairs(*posterior(np.zeros((6, 6))), 60, np.random.default_rng(0)))
    assert len(fresh) == 15


def test_an_adaptive_study_from_end_to_end(tmp_path: Path) -> None:
    """Plans are made when raters begin, whole, within the design's gap, the same pair of a face never twice; the log knows each."""
    study = small_study(tmp_path, method="pair", pairs="adaptive", raters=8, images=6, pairs_per_face=2)
    rater, _ = store.seat_rater(study.engine, rows=8)
    assign(study, rater)
    assign(study, rater)  # once
    simulate(study, 6, {"hr": 4.5, "bicubic": 1.5, "psp": 4.4})
    with study.engine.connect() as connection:
        plan = connection.execute(select(t.plan).order_by(t.plan.c.row, t.plan.c.position)).all()
    rows: dict[int, list[tuple[str, frozenset[str]]]] = {}
    for item in plan:
        rows.setdefault(item.row, []).append((item.face, frozenset((item.condition, item.other))))
    assert {len(row) for row in rows.values()} == {12}
    assert all(len(set(row)) == 12 for row in rows.values())
    assert not [f for f in check_ratings(study) if f.kind == "impossible"]
    asked = Counter(pair for row in list(rows.values())[-3:] for _, pair in row)
    assert asked[frozenset(("hr", "psp"))] == max(asked.values())
    with study.engine.begin() as connection:
        connection.execute(text("update plan set condition = other, other = condition where row = 1 and position = 1"))
    assert any("not those chosen" in f.what for f in check_ratings(study))
    study.close()
    assert study.plan.stopping.kind == "always-valid"
    with pytest.raises(FaceSRError, match="does not hold its level for adaptive pairs"):
        small_study(tmp_path / "fixed", method="pair", pairs="adaptive", analysis={"stopping": {"kind": "fixed"}})
    with pytest.raises(FaceSRError, match="--method pair"):
        small_study(tmp_path / "acr", pairs="adaptive")


def order_found(adaptive: bool, raters: int, studies: int, seed: int) -> np.ndarray:
    """Share of simulated studies whose order of all six is right, after each rater of 30 comparisons."""
    rng = np.random.default_rng(seed)
    pairs = list(combinations(range(6), 2))
    right = np.zeros(raters)
    for _ in range(studies):
        wins = np.zeros((6, 6))
        for r in range(raters):
            for i, j in choose_pairs(*posterior(wins), 30, rng) if adaptive else pairs + pairs:
                a, b = (i, j) if rng.random() < 1 / (1 + np.exp(PULSE[j] - PULSE[i])) else (j, i)
                wins[a, b] += 1
            right[r] += list(np.argsort(posterior(wins, 3.0)[0])) == list(range(6))
    return right / studies


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_half_the_comparisons_give_the_same_order() -> None:
    """PULSE's six: 16 adaptive raters (480 comparisons) are right as often as 32 balanced ones (960)."""
    adaptive, balanced = order_found(True, 16, 100, 1), order_found(False, 32, 100, 2)
    assert adaptive[-3:].mean() >= balanced[-3:].mean() - 0.03


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_choosing_does_not_raise_the_level(capsys: pytest.CaptureFixture[str]) -> None:
    """1,000 null studies of four methods, raters and faces with tastes of their own, ended by the declared rule and the code that ends a study.

    The rule looks after every rater from the eighth on; a decision about any pair is a wrong one.
    """
    rng, rule, raters, faces = np.random.default_rng(12), Stopping("always-valid"), 16, 6
    levels = {n: level_now(rule, 0.05, n, raters, 6) for n in range(8, raters + 1)}
    wrong = 0
    for _ in range(1000):
        cells = np.zeros((raters, faces, 4, 4))
        liked = rng.normal(0, 0.3, (faces, 4))
        for r in range(raters):
            taste = rng.normal(0, 0.3, 4)
            for k, (i, j) in enumerate(choose_pairs(*posterior(cells.sum((0, 1))), 18, rng)):
                score = taste + liked[k % faces]
                a, b = (i, j) if rng.random() < 1 / (1 + np.exp(score[j] - score[i])) else (j, i)
                cells[r, k % faces, a, b] += 1
            if r + 1 in levels:
                with contextlib.suppress(FaceSRError):  # somebody never won yet: nothing is decided
                    if any(preferred(list("abcd"), cells[: r + 1], levels[r + 1]).values()):
                        wrong += 1
                        break
    with capsys.disabled():
        print(f"\nadaptive pairs, always-valid: {wrong} of 1,000 null studies ended with a decision")
    assert wrong / 1000 <= 0.05
