"""``facesr.stats``: the statistics of ratings on a caller's own tables and arrays.

``ratings`` is a data frame with the columns rater, face, condition and score (one row per rating), or a CSV, TSV or xlsx file of them in any
layout that ``facesr study import`` reads.
"""

from __future__ import annotations

from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from facesr.bench.ratings import rating_options, read
from facesr.bench.stats.analysis import MosAnalysis, analyse_mos
from facesr.bench.stats.cube import cube
from facesr.bench.stats.intervals import Interval, mean_interval
from facesr.bench.stats.mos import condition_mos
from facesr.bench.stats.rank_tests import mann_whitney

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Interval", "analyse", "mann_whitney", "mean_interval", "mos", "pairs"]


def _table(ratings: pd.DataFrame | str | PathLike[str], scale: tuple[int, int] | None) -> tuple[pd.DataFrame, tuple[int, int]]:
    if isinstance(ratings, str | PathLike):
        found = read(Path(ratings), rating_options(scale=scale))
        return found.table, (found.scale.low, found.scale.high)
    return ratings, scale or (1, 5)


def analyse(
    ratings: pd.DataFrame | str | PathLike[str],
    *,
    scale: tuple[int, int] | None = None,
    reference: str | None = None,
    level: float = 0.95,
) -> MosAnalysis:
    """The whole analysis of a rating table: MOS, pairs, agreement, screening, guards.

    ``scale``: lowest and highest grade (1 to 5; of a file: the recognised one). ``reference``: the condition DMOS is taken from.
    """
    table, ends = _table(ratings, scale)
    return analyse_mos(table, reference=reference, scale=ends, level=level)


def mos(ratings: pd.DataFrame | str | PathLike[str], *, scale: tuple[int, int] | None = None, level: float = 0.95) -> pd.DataFrame:
    """MOS of each condition: mean, sd, n, raters, faces, and its intervals over raters and over raters and faces (low, high)."""
    import pandas as pd

    table, ends = _table(ratings, scale)
    rows = [
        {
            "condition": m.condition, "mos": m.mean, "sd": m.sd, "n": m.n, "raters": m.raters, "faces": m.faces,
            "low": m.over_both.low, "high": m.over_both.high, "low_over_raters": m.over_raters.low, "high_over_raters": m.over_raters.high,
        }
        for m in condition_mos(cube(table), ends, level)
    ]  # fmt: skip
    return pd.DataFrame(rows).set_index("condition")


def pairs(
    ratings: pd.DataFrame | str | PathLike[str], *, scale: tuple[int, int] | None = None, level: float = 0.95
) -> pd.DataFrame:
    """Every pair of conditions: the difference of their MOS and each test's p-value, one row per pair."""
    import pandas as pd

    return pd.DataFrame([asdict(pair) for pair in analyse(ratings, scale=scale, level=level).pairs])
