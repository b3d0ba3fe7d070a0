"""Paired comparisons as tables of wins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


def wins(ratings: pd.DataFrame, conditions: Sequence[str]) -> tuple[list[str], NDArray[np.float64]]:
    """How often each condition was preferred: (raters, n, n), ``[r, i, j]`` how often rater r chose i over j; a tie is half to each.

    ``ratings``: the long table of a paired comparison (``condition`` left, ``other`` right, score 1 left, 2 right, 3 tie).
    """
    names = list(conditions)
    index = {c: i for i, c in enumerate(names)}
    main = ratings[(ratings["kind"] == "main") & ratings["score"].notna()]
    raters = list(dict.fromkeys(main["rater"]))
    table = np.zeros((len(raters), len(names), len(names)))
    who = {r: k for k, r in enumerate(raters)}
    for rater, left, right, score in zip(main["rater"], main["condition"], main["other"], main["score"], strict=True):
        i, j = index[left], index[right]
        table[who[rater], i, j] += {1: 1.0, 3: 0.5}.get(int(score), 0.0)
        table[who[rater], j, i] += {2: 1.0, 3: 0.5}.get(int(score), 0.0)
    return names, table
