"""Paired comparisons as tables of wins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from facesr.bench.stats.intervals import mean_interval

if TYPE_CHECKING:
    import pandas as pd


def preference_counts(ratings: pd.DataFrame, conditions: Sequence[str]) -> tuple[list[str], NDArray[np.float64]]:
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
    names, table = preference_counts(ratings, conditions)
    return names, table.sum(axis=1)


def sides(ratings: pd.DataFrame) -> str:
    """Whether raters lean to one side, and whether that can have moved a pair, as a sentence; '' where nothing was decided.

    The share of left among the decided choices of each rater, with an interval over raters. A pair that stood equally often either way
    is not moved by a leaning.
    """
    decided = ratings[(ratings["kind"] == "main") & ratings["score"].isin([1, 2])]
    if decided.empty:
        return ""
    if (decided["score"] == 1).all() and len(decided) >= 10:
        return "Every choice is of the first side: the file does not tell the sides, so a leaning to one of them cannot be seen."
    share = mean_interval((decided["score"] == 1).groupby(decided["rater"]).mean())
    key = ["\n".join(sorted(p)) for p in zip(decided["condition"], decided["other"], strict=True)]
    first = [p.split("\n")[0] == c for p, c in zip(key, decided["condition"], strict=True)]
    counts = decided.assign(pair=key, first=first).groupby("pair")["first"].agg(["sum", "size"])
    uneven = int(((2 * counts["sum"] - counts["size"]).abs() > 1).sum())
    said = f"The left image was chosen in {share.mean:.0%} of the decided choices"
    if not share.low <= 0.5 <= share.high and np.isfinite(share.low):
        moved = f"{uneven} of {len(counts)} pairs did not stand equally often on both sides, and are moved by it" if uneven else \
            "every pair stood equally often on both sides, so no pair is moved by it"  # fmt: skip
        return f"{said} [{max(share.low, 0):.0%}, {min(share.high, 1):.0%}] (mean of {share.n} raters): a leaning to one side; {moved}."
    return f"{said} (mean of {share.n} rater{'s' * (share.n != 1)}): no leaning to one side is shown."
