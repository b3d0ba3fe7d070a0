"""sureal 0.9.0's figures of simulated ratings: MOS, screening, bias removal and maximum likelihood (``conformance/ORIGIN.md``)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conformance import VECTORS
from facesr.bench.stats import screening
from facesr.bench.stats.recovery import recover, remove_bias, table_means, table_sd

PANELS = [f"missing {missing}, noisy {noisy}" for missing in ("0", "0.3") for noisy in (0, 1)]
"""60 stimuli, 24 raters; of a noisy panel the first four answer at random."""


@pytest.fixture(params=PANELS)
def panel(request: pytest.FixtureRequest) -> tuple[Any, dict[str, Any]]:
    """The table (stimuli, raters), NaN where not rated, and sureal's figures by model and name."""
    with np.load(VECTORS / "sureal_simulated.npz") as held:
        table = held[request.param].astype(float)
        figures = {key.removeprefix(f"{request.param}/"): held[key] for key in held.files if key.startswith(f"{request.param}/")}
    table[table == 0] = np.nan
    return table, figures


def same(found: Any, known: Any, tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(found, known, atol=tolerance, rtol=0)


def test_mos_and_standard_errors(panel: tuple[Any, dict[str, Any]]) -> None:
    table, known = panel
    same(table_means(table, 1), known["MosModel/quality_scores"])
    same(table_sd(table, 1, 1) / np.sqrt(np.isfinite(table).sum(axis=1)), known["MosModel/quality_scores_std"])


def test_bt500_literal(panel: tuple[Any, dict[str, Any]]) -> None:
    table, known = panel
    found = screening.bt500_literal(table)
    assert list(found.rejected) == np.flatnonzero(known["BT500Model/observer_rejected"]).tolist()
    same(table_means(np.delete(table, found.rejected, axis=1), 1), known["BT500Model/quality_scores"])


def test_bias_removal(panel: tuple[Any, dict[str, Any]]) -> None:
    table, known = panel
    removed, found = remove_bias(table), screening.p913_bias_bt500(table, 0, literal=True)
    same(removed.bias, known["BiasremvMosModel/observer_bias"])
    same(table_means(removed.scores, 1), known["BiasremvMosModel/quality_scores"])
    assert list(found.rejected) == np.flatnonzero(known["P913124Model/observer_rejected"]).tolist()
    same(table_means(np.delete(removed.scores, found.rejected, axis=1), 1), known["P913124Model/quality_scores"])


def test_maximum_likelihood(panel: tuple[Any, dict[str, Any]]) -> None:
    table, known = panel
    found = recover(table)
    names = {
        "quality": "quality_scores",
        "se": "quality_scores_std",
        "bias": "observer_bias",
        "inconsistency": "observer_inconsistency",
    }
    for ours, theirs in names.items():
        same(getattr(found, ours), known[f"P910AnnexEModel/{theirs}"], 1e-8)


def test_those_who_answer_at_random_weigh_least() -> None:
    with np.load(VECTORS / "sureal_simulated.npz") as held:
        found = recover(held["missing 0, noisy 1"].astype(float))
    assert set(np.argsort(-found.inconsistency)[:4]) == {0, 1, 2, 3}
