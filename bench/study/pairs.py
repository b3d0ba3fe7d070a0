"""Paired comparisons as tables of wins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


def cells(ratings: pd.DataFrame, conditions: Sequence[str]) -> tuple[list[str], NDArray[np.float64]]:
    """How often each condition was preferred: (raters, faces, n, n), ``[r, f, i, j]`` how often rater r chose i over j of face f.

    A tie is half to each. ``ratings``: the long table of a paired comparison (``condition`` left, ``other`` right, score 1 left, 2 right,
    3 tie).
    """
    names = list(conditions)
    main = ratings[(ratings["kind"] == "main") & ratings["score"].notna()]
    place = [{name: k for k, name in enumerate(dict.fromkeys(main[column]))} for column in ("rater", "face")]
    who, what = (main[c].map(p).to_numpy(dtype=np.intp) for c, p in zip(("rater", "face"), place, strict=True))
    index = {c: i for i, c in enumerate(names)}
    left, right = (main[c].map(index).to_numpy(dtype=np.intp) for c in ("condition", "other"))
    score = main["score"].to_numpy(dtype=np.float64)
    table = np.zeros((len(place[0]), len(place[1]), len(names), len(names)))
    np.add.at(table, (who, what, left, right), np.select([score == 1, score == 3], [1.0, 0.5]))
    np.add.at(table, (who, what, right, left), np.select([score == 2, score == 3], [1.0, 0.5]))
    return names, table


def wins(ratings: pd.DataFrame, conditions: Sequence[str]) -> tuple[list[str], NDArray[np.float64]]:
    """``cells`` summed over faces: (raters, n, n)."""
    names, table = cells(ratings, conditions)
    return names, table.sum(axis=1)
