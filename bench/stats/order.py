"""Does when a rating was given matter: position in the session, session, fatigue, and what was seen just before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facesr.bench.stats.clustered import clustered_mean
from facesr.bench.stats.correction import holm
from facesr.bench.stats.intervals import F64

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 8
"""Ratings a rater needs for a slope of their own."""


@dataclass(frozen=True)
class OrderEffect:
    """One effect over ``raters``, each with an estimate of their own: mean with a t interval, p, and p after Holm over the effects.

    ``kind``: ``position`` (points per 100 ratings), ``noise`` (distance from the image's mean, points per 100 ratings: fatigue),
    ``carry_over`` (points per point of the rating before), ``session`` (last session minus first).
    """

    kind: str
    estimate: float
    low: float
    high: float
    p: float
    p_holm: float
    raters: int

    @property
    def words(self) -> str:
        """The effect as a sentence's beginning."""
        return {
            "position": "ratings drift per 100 ratings given by",
            "noise": "ratings scatter more per 100 ratings given by",
            "carry_over": "a rating moves per point of the one before by",
            "session": "ratings differ between last and first session by",
        }[self.kind]


def order_effects(ratings: pd.DataFrame, level: float = 0.95) -> tuple[OrderEffect, ...]:
    """Order effects of a long table: rater, face, condition, score, position (from 1, 0 unknown), perhaps session and kind.

    What an image is worth and how generous a rater is are taken out first (means of images, then of raters), so that orders that are not
    balanced do no harm; then every rater gives one slope and raters are compared by a t test, valid for other raters. Empty without positions.
    """
    rows = _placed(ratings)
    if rows.empty:
        return ()
    rows = rows.sort_values(["rater", "position"], kind="stable")
    image = rows.groupby(["face", "condition"], sort=False)["score"].transform("mean")
    e = rows["score"] - image
    e = e - e.groupby(rows["rater"], sort=False).transform("mean")
    slopes: dict[str, list[float]] = {"position": [], "noise": [], "carry_over": [], "session": []}
    for _, part in rows.assign(e=e).groupby("rater", sort=False):
        own, position = part["e"].to_numpy(float), part["position"].to_numpy(float)
        if len(own) < FEWEST:
            continue
        slopes["position"].append(100 * _slope(position, own))
        slopes["noise"].append(100 * _slope(position, np.abs(own)))
        slopes["carry_over"].append(_carry_over(part["score"].to_numpy(float), own))
        if "session" in part.columns and part["session"].nunique() > 1:
            session = part["session"].to_numpy()
            slopes["session"].append(float(own[session == session.max()].mean() - own[session == session.min()].mean()))
    found = {kind: clustered_mean(np.array(v)[:, None], "raters", level) for kind, v in slopes.items() if np.isfinite(v).sum() > 1}
    adjusted = holm([f.p for f in found.values()])
    return tuple(
        OrderEffect(kind, f.mean, f.low, f.high, f.p, float(p), f.n) for (kind, f), p in zip(found.items(), adjusted, strict=True)
    )


def order_refused(ratings: pd.DataFrame) -> str:
    """Why ``order_effects`` has nothing to say of these ratings; '' where it has."""
    rows = _placed(ratings)
    if rows.empty:
        return "the ratings do not say at which position of the session each was given"
    raters = int((rows.groupby("rater", sort=False).size() >= FEWEST).sum())
    return (
        ""
        if raters > 1
        else f"two raters with {FEWEST} ratings of known position are needed, and there {'is one' if raters else 'are none'}"
    )


def _placed(ratings: pd.DataFrame) -> pd.DataFrame:
    rows = ratings[ratings["kind"] == "main"] if "kind" in ratings.columns else ratings
    return rows[rows["score"].notna() & (rows["position"] > 0)] if "position" in rows.columns else rows.iloc[:0]


def _carry_over(score: F64, own: F64) -> float:
    """Slope of a deviation on the score before, less what any random order gives: deviations add up to 0, so others lean the other way."""
    d = score - score.mean()
    spread = float(d @ d) * (len(d) - 1)
    return _slope(score[:-1], own[1:]) + float(d @ own) / spread if spread > 0 else np.nan


def _slope(x: F64, y: F64) -> float:
    d = x - x.mean()
    spread = float(d @ d)
    return float(d @ y) / spread if spread > 0 else np.nan
