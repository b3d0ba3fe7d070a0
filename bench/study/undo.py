"""Taking back the organisers' last act on a rater: a pause, an exclusion by hand, a replacement. The log keeps both the act and its undoing."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, select, update

from facesr.bench.errors import FaceSRError
from facesr.bench.study import imported, store
from facesr.bench.study import tables as t
from facesr.bench.study.closing import is_closed
from facesr.bench.study.database import now, writing
from facesr.bench.study.study import Study

ACTS = ("paused", "excluded", "replaced")
"""Kinds of events that can be taken back."""


class _Act(NamedTuple):
    kind: str
    rater: store.Rater
    detail: dict[str, Any]


def undo(study: Study, name: str) -> str:
    """Take back the last act on a rater that is still in force, or with ``all`` the last ``pause all``; returns what was done, a sentence.

    A replacement can be taken back until the new rater has answered something: then both have ratings on one row of the design.
    """
    if study.imported:
        rule = imported.undo_exclusion(study.path, name)
        return f"{name} counts again: the exclusion by the rule {rule!r} is taken back"
    with writing(study.engine) as connection:
        store.serialise(connection)
        if name == "all":
            return _everyone(connection)
        rater = store.find_rater(connection, name)
        act = _last(connection, rater)
        if act is None:
            raise FaceSRError(f"there is nothing to undo about {name}: neither paused, nor excluded by hand, nor replaced")
        said = {"paused": _resume, "excluded": _include, "replaced": _put_back}[act.kind](connection, act)
        store.log_event(
            connection, "undone", rater.id, act=act.kind, **{k: v for k, v in act.detail.items() if k in {"rule", "by"}}
        )
    return said


def _last(connection: Connection, rater: store.Rater) -> _Act | None:
    """The latest act whose effect is still there."""
    events = select(t.event.c.kind, t.event.c.detail).where(t.event.c.rater == rater.id, t.event.c.kind.in_(ACTS))
    rules = set(connection.execute(select(t.exclusion.c.rule).where(t.exclusion.c.rater == rater.id)).scalars())
    for kind, text in connection.execute(events.order_by(t.event.c.id.desc())):
        detail = json.loads(text)
        there = {"paused": rater.status == "paused", "replaced": "replaced" in rules and rater.status == "replaced"}
        if there.get(kind, detail.get("rule") in rules):
            return _Act(kind, rater, detail)
    return None


def _before(rater: store.Rater) -> str:
    return "active" if rater.consent else "invited"


def _resume(connection: Connection, act: _Act) -> str:
    connection.execute(update(t.rater).where(t.rater.c.id == act.rater.id).values(status=_before(act.rater)))
    return f"{act.rater.name} goes on: the pause is taken back"


def _include(connection: Connection, act: _Act) -> str:
    rule = str(act.detail["rule"])
    connection.execute(delete(t.exclusion).where(t.exclusion.c.rater == act.rater.id, t.exclusion.c.rule == rule))
    return f"{act.rater.name} counts again: the exclusion by the rule {rule!r} is taken back"


def _put_back(connection: Connection, act: _Act) -> str:
    """The old rater returns to the row, the new one leaves it; refused once the new one has answered, or the study is closed."""
    if is_closed(connection):
        raise FaceSRError("the study is closed: nobody is put back any more")
    if "by" not in act.detail:
        raise FaceSRError(f"{act.rater.name} was replaced before the log said by whom: invite a rater, or exclude one by hand")
    fresh = store.find_rater(connection, str(act.detail["by"]))
    answered = connection.execute(select(func.count()).select_from(t.rating).where(t.rating.c.rater == fresh.id)).scalar_one()
    if answered:
        raise FaceSRError(
            f"{fresh.name}, in the place of {act.rater.name}, has answered {answered} items already: one of the two stays left out"
        )
    if fresh.status in {"replaced", "deleted"}:
        raise FaceSRError(
            f"{fresh.name}, in the place of {act.rater.name}, is {fresh.status}: undo that first, or invite a new rater"
        )
    connection.execute(delete(t.exclusion).where(t.exclusion.c.rater == act.rater.id, t.exclusion.c.rule == "replaced"))
    connection.execute(update(t.rater).where(t.rater.c.id == act.rater.id).values(status=act.detail.get("was", _before(act.rater))))
    connection.execute(update(t.rater).where(t.rater.c.id == fresh.id).values(status="replaced"))
    store.add_new(
        connection, t.exclusion, {"rater": fresh.id, "rule": "replaced", "reason": f"{act.rater.name} was put back", "at": now()}
    )
    return f"{act.rater.name} is back in the old place with the old link; {fresh.name}'s link no longer works"


def _everyone(connection: Connection) -> str:
    """Raters paused one by one before stay paused."""
    resumed = []
    for row in connection.execute(select(t.rater).where(t.rater.c.status == "paused").order_by(t.rater.c.id)).all():
        act = _last(connection, store.rater_of(row))
        if act is not None and act.detail.get("everyone"):
            _resume(connection, act)
            store.log_event(connection, "undone", act.rater.id, act=act.kind)
            resumed.append(act.rater.name)
    paused = connection.execute(select(t.study.c.paused)).scalars().first()
    if not resumed and not paused:
        raise FaceSRError("there is nothing to undo about all: the study is not paused")
    connection.execute(update(t.study).values(paused=None))
    store.log_event(connection, "joining open", reason="undone")
    return f"the study goes on: {', '.join(resumed) or 'nobody was paused with it'}"
