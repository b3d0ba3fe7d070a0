"""Screening rules and their edges: unanimous stimuli, gaps, small panels, careless raters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from facesr.bench.errors import FaceSRError
from facesr.bench.stats import screening
from facesr.bench.stats.recovery import recover, remove_bias, table_means


def _panel(stimuli: int = 60, raters: int = 24, seed: int = 0, noise: float = 0.7) -> np.ndarray:
    rng = np.random.default_rng(seed)
    quality = rng.uniform(1, 5, (stimuli, 1))
    return np.clip(np.rint(quality + rng.normal(0, noise, (stimuli, raters))), 1, 5)


def test_a_study_with_26_unanimous_items_rejects_nobody() -> None:
    """As PULSE's Nearest, MOS 1.01: the literal rule charges every such item to every rater."""
    table = _panel(200, 40)
    table = np.concatenate([table, np.ones((26, 40))])
    assert screening.bt500(table).rejected == screening.bt500(table[:200]).rejected
    literal = screening.bt500_literal(table, 1)
    above, below = literal.statistic[:, 0], literal.statistic[:, 1]
    assert (above >= 26).all()
    assert (below >= 26).all()
    assert literal.rejected == ()  # all 40 are over the limit, so the rule that rejects everybody rejects nobody


def test_a_rater_of_noise_is_found_and_named() -> None:
    table = _panel(120, 60, noise=0.4)  # in small or noisy panels one rater widens S so far that the rule cannot see them
    table[:, 4] = 6 - table[:, 4]
    found = screening.bt500(table)
    assert found.rejected == (4,)
    assert "scores far from the panel's" in found.reasons[0]
    assert screening.vqeg_hdtv(table).rejected == (4,)
    assert 4 in screening.bt1788(table).rejected
    names = [f"c{i % 6}" for i in range(120)]
    assert screening.vqeg_multimedia(table, names).rejected == (4,)


def test_a_rater_nothing_speaks_against_is_kept() -> None:
    table = _panel()
    table[:, 0] = np.rint(table_means(table, 1))  # always the middle of the panel: P + Q = 0
    assert 0 not in screening.bt500(table).rejected


def test_shares_count_the_stimuli_a_rater_saw() -> None:
    rng = np.random.default_rng(3)
    table = _panel(200, 60, noise=0.4)
    table[:, 7] = np.where(np.arange(200) < 20, rng.permutation(np.repeat([1.0, 5.0], 100)), np.nan)
    assert 7 in screening.bt500(table).rejected
    assert 7 not in screening.bt500_literal(table, 1).rejected  # divided by all 200, five wild scores are 2.5 %


@given(arrays(np.float64, st.tuples(st.integers(2, 12), st.integers(3, 20)), elements=st.sampled_from([1.0, 2.0, 3.0, 4.0, 5.0])))
@settings(max_examples=60, deadline=None)
def test_twenty_raters_cannot_reach_the_wide_limit(table: np.ndarray) -> None:
    """sqrt(20) S is out of reach of N <= 20 raters: max z is (N - 1) / sqrt(N), so only items with 2 <= beta2 <= 4 can count."""
    z = np.abs(table - table.mean(axis=1, keepdims=True)) / np.maximum(table.std(axis=1, ddof=1, keepdims=True), 1e-12)
    assert (z[np.ptp(table, axis=1) > 0] < np.sqrt(20)).all()
    everyone = screening.bt500(table)
    assert len(everyone.rejected) < table.shape[1]


def test_screening_is_blind_to_order_and_scale() -> None:
    table = _panel(80, 26, 5)
    table[:, 3] = 6 - table[:, 3]
    shuffle = np.random.default_rng(0).permutation(26)
    moved = {int(shuffle[i]) for i in screening.bt500(table[:, shuffle]).rejected}
    assert moved == set(screening.bt500(table).rejected)
    assert screening.bt500(10 * table + 7).rejected == screening.bt500(table).rejected


def test_rules_by_name() -> None:
    table = _panel()
    assert screening.screen(table, "none").rejected == ()
    for rule in screening.RULES:
        assert screening.screen(table, rule).statistic.shape[0] == 24
    with pytest.raises(FaceSRError, match=r"no screening rule 'bt-500': did you mean 'bt500'\?"):
        screening.screen(table, "bt-500")
    with pytest.raises(FaceSRError, match="one row a stimulus"):
        screening.bt500(np.ones(3))
    with pytest.raises(FaceSRError, match="2 condition names for 60 stimuli"):
        screening.vqeg_multimedia(table, ["a", "b"])


def test_bias_removal_leaves_mos_of_complete_tables() -> None:
    table = _panel() + np.linspace(-1, 1, 24)
    removed = remove_bias(table)
    np.testing.assert_allclose(table_means(removed.scores, 1), table_means(table, 1), atol=1e-12)
    assert removed.scores.var() < table.var()


def test_recovery_ignores_a_random_rater() -> None:
    rng = np.random.default_rng(7)
    quality = rng.uniform(1, 5, 80)
    table = quality[:, None] + rng.normal(0, 0.5, (80, 12)) + np.linspace(-0.5, 0.5, 12)
    table[:, 0] = rng.uniform(1, 5, 80)
    found = recover(table)
    assert found.inconsistency[0] == found.inconsistency.max()
    assert np.abs(found.quality - quality).mean() < np.abs(table.mean(axis=1) - quality).mean()


def test_recovery_with_gaps_and_an_unseen_stimulus() -> None:
    table = _panel(30, 10)
    table[3] = np.nan
    table[5, 2:] = np.nan
    found = recover(table)
    assert np.isnan(found.quality[3])
    assert np.isfinite(np.delete(found.quality, 3)).all()
