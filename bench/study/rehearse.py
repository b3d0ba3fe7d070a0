"""A simulated crowd: workers who come, leave, fall silent, cheat and come twice, against the real store, on a clock of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy import select

from facesr.bench.study import crowd, database, store
from facesr.bench.study import tables as t
from facesr.bench.study.study import Study


@dataclass(frozen=True)
class Habits:
    """Shares of workers; the rest finish honestly. Puppets are one person's many accounts in one browser."""

    returns: float = 0.15
    silent: float = 0.05
    puppets: float = 0.05
    bots: float = 0.03


@dataclass
class Crowd:
    """What became of the workers: kind -> how many; ``refused`` by reason."""

    kinds: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    left_out: int = 0


@contextmanager
def own_clock(start: datetime) -> Iterator[list[datetime]]:
    """``database.now`` reads the one entry of the list, which the caller moves."""
    moment, before = [start], database.clock
    database.clock = lambda: moment[0]
    try:
        yield moment
    finally:
        database.clock = before


def rehearse(study: Study, workers: int, habits: Habits | None = None, seed: int = 0) -> Crowd:
    """Send ``workers`` to an open study, one after the other. For tests and rehearsals of rules on a copy: they count as people there."""
    rng = np.random.default_rng([seed, 7])
    found = Crowd()
    kinds = _kinds(habits or Habits(), workers, rng)
    with own_clock(datetime(2026, 1, 5, 8, tzinfo=UTC)) as clock:
        for number, kind in enumerate(kinds):
            clock[0] += timedelta(seconds=float(rng.exponential(90)))
            found.kinds[kind] = found.kinds.get(kind, 0) + 1
            mark = "one-browser" if kind == "puppets" else f"browser-{number}"
            place = crowd.join(study, f"W{number:06d}", submission=f"S{number:06d}", device=mark)
            if place.refused:
                found.refused[place.refused] = found.refused.get(place.refused, 0) + 1
                continue
            if _session(study, place.token, kind, clock, rng):
                found.left_out += len(crowd.carry_out_rules(study, [place.rater]))
            elif kind == "returns":
                crowd.depart(study, place.rater, "returned", "given back on the platform")
    return found


def _kinds(habits: Habits, workers: int, rng: np.random.Generator) -> list[str]:
    shares = {name: getattr(habits, name) for name in ("returns", "silent", "puppets", "bots")}
    kinds = [name for name, share in shares.items() for _ in range(round(share * workers))]
    kinds += ["honest"] * (workers - len(kinds))
    return [kinds[int(k)] for k in rng.permutation(workers)]


def _session(study: Study, token: str, kind: str, clock: list[datetime], rng: np.random.Generator) -> bool:
    """One worker's visit; True when the last answer is in."""
    rater = store.by_token(study.engine, token)
    assert rater is not None
    store.consent(study.engine, rater, "en")
    rater = store.by_token(study.engine, token)
    assert rater is not None
    with study.engine.connect() as connection:
        plan = connection.execute(select(t.plan).where(t.plan.c.row == rater.row).order_by(t.plan.c.position)).all()
    stop = int(rng.integers(0, max(1, len(plan) - 1))) if kind in {"returns", "silent"} else len(plan)
    for item in plan[:stop]:
        if kind != "bots":
            for name in filter(None, (item.stimulus, item.other_stimulus)):
                store.note_sent(study.engine, rater, name)
            clock[0] += timedelta(seconds=float(rng.lognormal(1.0, 0.4)))
        score = None if item.kind.startswith("anchor") else item.low if item.low is not None else int(rng.choice(study.scores))
        answer = store.rate(study.engine, rater, item.position, score, rt_ms=2000.0, keep_minutes=study.design.reserve_minutes)
        assert not answer.problem, answer.problem
    return stop == len(plan)
