"""Spending functions of Lan and DeMets 1983 at half of the raters, level .05: twice .00153 by O'Brien-Fleming's, .0310 by Pocock's."""

from __future__ import annotations

import pytest

from facesr.bench.stats.sequential import spent


@pytest.mark.parametrize(("spending", "half"), [("obrien-fleming", 0.0030506), ("pocock", 0.0310057)])
def test_spent_at_half_and_at_the_end(spending: str, half: float) -> None:
    assert spent(0.05, 0.5, spending) == pytest.approx(half, abs=1e-6)
    assert spent(0.05, 1.0, spending) == pytest.approx(0.05, abs=1e-12)
