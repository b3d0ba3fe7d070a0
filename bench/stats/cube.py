"""Ratings as an array: (raters, faces, conditions), NaN where a rater did not rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.intervals import F64

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("rater", "face", "condition", "score")


@dataclass(frozen=True)
class Cube:
    """``values`` (raters, faces, conditions) and the names along each side."""

    values: F64
    raters: tuple[str, ...]
    faces: tuple[str, ...]
    conditions: tuple[str, ...]

    @property
    def table(self) -> F64:
        """Stimuli as rows, raters as columns, as the ITU rules want them: (faces x conditions, raters)."""
        flat: F64 = self.values.transpose(1, 2, 0).reshape(-1, len(self.raters))
        return flat

    def without(self, raters: Sequence[str]) -> Cube:
        """The same ratings without some raters."""
        keep = [i for i, r in enumerate(self.raters) if r not in set(raters)]
        return Cube(self.values[keep], tuple(self.raters[i] for i in keep), self.faces, self.conditions)

    def with_table(self, table: F64) -> Cube:
        """The same raters, faces and conditions with other scores, given as ``table`` gives them."""
        values = table.reshape(len(self.faces), len(self.conditions), len(self.raters)).transpose(2, 0, 1)
        return Cube(values, self.raters, self.faces, self.conditions)


def _in_order(column: pd.Series[str]) -> list[str]:
    return [str(x) for x in dict.fromkeys(column)]


def cube(ratings: pd.DataFrame, conditions: Sequence[str] | None = None) -> Cube:
    """Make the array from a long table with the columns rater, face, condition, score (and kind: only ``main`` rows count).

    Raters, faces and conditions keep the order of their first appearance, unless ``conditions`` gives theirs. A rating that
    appears twice counts once, the first time: a repeat is not a new opinion. Raises ``FaceSRError`` on missing columns, an
    empty table or a condition nobody rated.
    """
    missing = [c for c in COLUMNS if c not in ratings.columns]
    if missing:
        raise FaceSRError(f"a rating table needs the columns {', '.join(COLUMNS)}; missing: {', '.join(missing)}")
    rows = ratings[ratings["kind"] == "main"] if "kind" in ratings.columns else ratings
    rows = rows[rows["score"].notna()].drop_duplicates(["rater", "face", "condition"])
    if rows.empty:
        raise FaceSRError("the rating table holds no ratings to analyse: collect some, or check that kind is 'main'")
    names = list(conditions) if conditions is not None else _in_order(rows["condition"])
    unrated = [c for c in names if c not in set(rows["condition"].astype(str))]
    if unrated:
        raise FaceSRError(f"nobody rated {', '.join(map(repr, unrated))}: rated are {', '.join(_in_order(rows['condition']))}")
    raters, faces = _in_order(rows["rater"]), _in_order(rows["face"])
    rows = rows[rows["condition"].astype(str).isin(names)]
    values = np.full((len(raters), len(faces), len(names)), np.nan)
    index = tuple(rows[c].astype(str).map({n: i for i, n in enumerate(axis)}).to_numpy() for c, axis in
                  (("rater", raters), ("face", faces), ("condition", names)))  # fmt: skip
    values[index] = rows["score"].to_numpy(dtype=np.float64)
    return Cube(values, tuple(raters), tuple(faces), tuple(names))
