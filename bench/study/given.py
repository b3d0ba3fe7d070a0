"""What raters give beside their ratings: the questionnaire, facts about their screen and sight, the practice, a comment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, func, select

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.study import store
from facesr.bench.study import tables as t
from facesr.bench.study.closing import is_closed
from facesr.bench.study.database import now, writing
from facesr.bench.study.design import Design
from facesr.bench.study.questions import checked_answers
from facesr.bench.study.reading import Opened, query_table

if TYPE_CHECKING:
    import pandas as pd

CARD_MM = 85.6
"""Width of a bank card (ISO/IEC 7810, ID-1)."""

MOST = 2000
"""Values kept of one rater: a page that sends without end cannot fill the disk."""

LONGEST_COMMENT = 4000

SCREEN: dict[str, tuple[str, float, float, str]] = {
    "card_px": ("card", 50, 20_000, "width of a bank card on the screen, CSS pixels"),
    "dpr": ("card", 0.1, 20, "device pixel ratio when the card was measured"),
    "distance_cm": ("card", 5, 1000, "distance of the eyes from the screen, as the rater said"),
    "dark_shown": ("brightness", 0, 20, "dark squares that were there"),
    "dark_seen": ("brightness", 0, 20, "dark squares that the rater counted"),
    "light_shown": ("brightness", 0, 20, "light squares that were there"),
    "light_seen": ("brightness", 0, 20, "light squares that the rater counted"),
    "colour_right": ("colour", 0, 20, "red-green plates that were read right"),
    "colour_of": ("colour", 1, 20, "red-green plates that were shown"),
    "colour_control": ("colour", 0, 1, "1 where the plate that everyone can read was read right"),
    "acuity": ("acuity", 0, 5, "decimal visual acuity of the finest rings whose gaps were found; 0 for none"),
    "acuity_finest": ("acuity", 0, 5, "decimal acuity of the finest rings that this screen can show at this distance"),
}
"""Values of the screen step: the check they belong to, their limits, their meaning."""

PRACTICE = {"right": "practice answers that fitted", "of": "practice images that were answered"}


def px_per_degree(card_px: float, dpr: float, distance_cm: float) -> float:
    """Device pixels in one degree of visual angle, straight ahead: ``2 d tan(0.5°)`` millimetres at the distance ``d``."""
    return card_px * dpr / CARD_MM * 2 * (10 * distance_cm) * math.tan(math.radians(0.5))


def keep(engine: Engine, design: Design, rater: store.Rater, step: str, mark: str, values: Mapping[str, Any]) -> str:
    """Store what a rater gave in a step; returns a problem ('' for none). Sending the same ``mark`` again changes nothing.

    Raises ``FaceSRError`` for values that the step does not have, or outside their limits. A later answer does not remove an earlier one.
    """
    rows = _checked(design, step, values)
    with writing(engine) as connection:
        status = connection.execute(select(t.rater.c.status).where(t.rater.c.id == rater.id)).scalar_one()
        if status in {"replaced", "deleted"}:
            return str(status)
        if is_closed(connection):
            return "the study is closed"
        there = connection.execute(select(func.count()).select_from(t.given).where(t.given.c.rater == rater.id)).scalar_one()
        if there + len(rows) > MOST:
            return "more than a study keeps of one rater"
        sending = {"rater": rater.id, "step": step, "mark": mark, "at": now()}
        for name, value in rows.items():
            store.add_new(connection, t.given, {**sending, "name": name, "value": value})
    return ""


def _checked(design: Design, step: str, values: Mapping[str, Any]) -> dict[str, str]:
    if step == "questionnaire":
        if not design.questionnaire:
            raise FaceSRError("this study has no questionnaire")
        return {"answered": "yes", **checked_answers(design.questionnaire, values)}
    if step == "comment":
        text = values.get("comment")
        if not design.comment or set(values) != {"comment"} or not isinstance(text, str) or not 0 < len(text) <= LONGEST_COMMENT:
            raise FaceSRError(f"a comment is text of at most {LONGEST_COMMENT} characters, in a study that asks for one")
        return {"comment": text}
    limits = {n: (low, high) for n, (check, low, high, _) in SCREEN.items() if check in design.screen}
    if step == "practice":
        limits = dict.fromkeys(PRACTICE, (0.0, 1000.0)) if design.practice else {}
    problems = [f"no value {name!r} in the step {step!r}: {suggest(name, limits)}" for name in values if name not in limits]
    for name, (low, high) in limits.items():
        value = values.get(name)
        if name in values and (isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high):
            problems.append(f"{name!r} must be a number from {low:g} to {high:g}")
    if problems or not values:
        raise FaceSRError("; ".join(problems) or "nothing was given")
    return {name: f"{value:.10g}" for name, value in values.items()}


def steps_done(engine: Engine, rater: int) -> list[str]:
    """Steps that a rater has behind him."""
    with engine.connect() as connection:
        return sorted(connection.execute(select(t.given.c.step).where(t.given.c.rater == rater).distinct()).scalars())


def given(study: Opened) -> pd.DataFrame:
    """Everything raters gave beside ratings, in the order it arrived: rater, step, name, value (text), at."""
    columns = (t.rater.c.name.label("rater"), *(t.given.c[c] for c in ("step", "name", "value", "at")))
    return query_table(study, select(*columns).join(t.rater, t.rater.c.id == t.given.c.rater).order_by(t.given.c.id))


def calibrations(study: Opened) -> pd.DataFrame:
    """Each time a rater measured the screen: rater, at, px_per_degree (device pixels)."""
    import pandas as pd

    table = given(study)
    table = table[(table["step"] == "screen") & table["name"].isin(["card_px", "dpr", "distance_cm"])]
    if table.empty:
        return pd.DataFrame({"rater": pd.Series(dtype=str), "at": pd.Series(dtype=str), "px_per_degree": pd.Series(dtype=float)})
    # the values of one sending were stored together, in one transaction and in this order
    turn = table.groupby(["rater", "name"]).cumcount()
    wide = table.assign(turn=turn, value=table["value"].astype(float)).pivot(
        index=["rater", "turn"], columns="name", values="value"
    )
    at = table[table["name"] == "card_px"].assign(turn=turn).set_index(["rater", "turn"])["at"]
    wide = wide.join(at).dropna().reset_index()
    wide["px_per_degree"] = [
        px_per_degree(c, d, cm) for c, d, cm in zip(wide["card_px"], wide["dpr"], wide["distance_cm"], strict=True)
    ]
    return wide[["rater", "at", "px_per_degree"]].sort_values("at").reset_index(drop=True)


def with_degrees(shown: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Presentations with ``degrees``: the image's width in degrees of visual angle, by the rater's latest measurement before it; NaN without."""
    found = []
    for row in shown[["rater", "at", "css_px", "dpr"]].to_dict("records"):
        mine = measured[(measured["rater"] == row["rater"]) & (measured["at"] <= row["at"])]["px_per_degree"]
        found.append(float(row["css_px"] * row["dpr"] / mine.iloc[-1]) if len(mine) else math.nan)
    return shown.assign(degrees=found)
