"""Simulated raters: for rehearsing a study and its analysis. They are labelled in the database and never counted as people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy import insert, select, update

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.stats.clustered import Components
from facesr.bench.stats.power import typical
from facesr.bench.study import store
from facesr.bench.study import tables as t
from facesr.bench.study.adaptive import assign
from facesr.bench.study.database import now, writing
from facesr.bench.study.study import Study


def default_means(conditions: list[str], scale: tuple[int, int]) -> dict[str, float]:
    """Means for a rehearsal: 'hr' high, 'nearest' low, the rest evenly between. They say nothing about the methods."""
    low, high = scale
    span = high - low
    middle = [c for c in conditions if c not in {"hr", "nearest"}]
    means = {c: low + span * (0.3 + 0.35 * k / max(1, len(middle) - 1)) for k, c in enumerate(middle)}
    return {**means, "hr": low + 0.7 * span, "nearest": low + 0.02 * span}


def simulate(
    study: Study, raters: int, means: Mapping[str, float] | None = None, spread: Components | None = None, seed: int = 0
) -> list[str]:
    """Add ``raters`` simulated raters who finish the study; returns their names.

    ``spread``: standard deviations of what makes grades differ, by default those measured on a real study, on this scale. A grade is
    mean + rater + face + interactions + noise, rounded and clipped to the scale; in a pair the higher one wins. Gold and
    attention items are answered right in 97 of 100 cases.
    """
    design = study.design
    known = [*design.conditions, "nearest", "hr"]
    chosen = {**default_means(design.conditions, study.scale), **(means or {})}
    if wrong := [c for c in chosen if c not in known]:
        raise FaceSRError(f"the study has no condition {wrong[0]!r}: {suggest(wrong[0], design.conditions)}")
    low, high = study.scale
    if outside := [f"{c}={mean:g}" for c, mean in chosen.items() if not low <= mean <= high]:
        raise FaceSRError(f"true means outside the scale {low} to {high}: {', '.join(outside)}")
    rng = np.random.default_rng([seed, 2])
    world = _World(chosen, spread or typical(study.scale), rng)
    return [_one(study, world, rng) for _ in range(raters)]


class _World:
    """The effects all raters share, and a new rater's own."""

    def __init__(self, means: Mapping[str, float], spread: Components, rng: np.random.Generator) -> None:
        self.means, self.spread, self.rng = means, spread, rng
        self.shared: dict[tuple[str, ...], float] = {}
        self.own: dict[tuple[str, ...], float] = {}

    def newcomer(self) -> None:
        self.own = {}

    def _draw(self, book: dict[tuple[str, ...], float], sd: float, *key: str) -> float:
        if key not in book:
            book[key] = float(self.rng.normal(0, sd))
        return book[key]

    def quality(self, face: str, condition: str) -> float:
        """What this rater sees in this image at this moment."""
        s = self.spread
        value = self.means[condition] + self._draw(self.shared, s.face, "face", face)
        value += self._draw(self.shared, s.face_condition, "both", face, condition)
        value += self._draw(self.own, s.rater) + self._draw(self.own, s.rater_face, "face", face)
        value += self._draw(self.own, s.rater_condition, "condition", condition)
        return value + float(self.rng.normal(0, s.residual))


def _one(study: Study, world: _World, rng: np.random.Generator) -> str:
    rater, _ = store.seat_rater(study.engine, rows=study.design.raters, simulated=True, source="simulated")
    world.newcomer()
    assign(study, rater)
    with study.engine.connect() as connection:
        plan = connection.execute(select(t.plan).where(t.plan.c.row == rater.row).order_by(t.plan.c.position)).all()
    clock = datetime.now(UTC)
    rows = []
    for row in plan:
        ms = float(np.round(rng.lognormal(7.6, 0.45)))
        clock += timedelta(milliseconds=ms)
        at = clock.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        score = _answer(study, world, row.kind, row.face, row.condition, row.other, row.low, row.high, rng)
        rows.append({"rater": rater.id, "position": row.position, "score": score, "rt_ms": ms, "input": "key", "at": at})
    with writing(study.engine) as connection:
        connection.execute(insert(t.rating), rows)
        connection.execute(update(t.rater).where(t.rater.c.id == rater.id).values(status="done", consent=now(), finished=now()))
    return rater.name


def _answer(
    study: Study,
    world: _World,
    kind: str,
    face: str,
    condition: str,
    other: str,
    low: int | None,
    high: int | None,
    rng: np.random.Generator,
) -> int | None:
    if kind.startswith("anchor"):
        return None
    if low is not None and high is not None:
        choices = [s for s in study.scores if low <= s <= high] if rng.random() < 0.97 else list(study.scores)
        return int(rng.choice(choices))
    quality = world.quality(face, condition)
    if other:
        return 1 if quality > world.quality(face, other) else 2
    return int(np.clip(np.floor(quality + 0.5), *study.scale))
