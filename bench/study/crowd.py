"""Places for a crowd: kept for a time, given to the next worker when they are left, and the sentence for whoever cannot have one.

A study has one place for each row of its design. A worker who does not answer for ``reserve_minutes`` loses the place to the next one who
comes, and keeps it as long as nobody does. A finished worker whom the plan's rules leave out frees the row again, ``spares`` times in all.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, delete, insert, select, update

from facesr.bench.errors import FaceSRError
from facesr.bench.study import reading, store
from facesr.bench.study import tables as t
from facesr.bench.study.closing import has_ended
from facesr.bench.study.database import later, now, writing
from facesr.bench.study.past import took_part_before
from facesr.bench.study.payments import sealed
from facesr.bench.study.rules import violations
from facesr.bench.study.study import Study

REFUSALS = ("full", "paused", "closed", "already_done", "timed_out", "returned", "screened")


@dataclass(frozen=True)
class Joined:
    """``token``: the personal token of the place; or ``refused``, one of ``REFUSALS``, and the address to send the worker to ('' for none)."""

    token: str = ""
    refused: str = ""
    url: str = ""
    rater: str = ""


def clean_id(source: str, worker: str, what: str = "worker id") -> str:
    """An id as the platform means it. Raises ``FaceSRError`` with the sentence for an organiser whose link does not carry one."""
    text = worker.strip()
    if not text:
        raise FaceSRError(f"the {what} is missing: open the study from {PLATFORM.get(source, 'the platform')}")
    if re.search(r"[{}%]", text):
        raise FaceSRError(
            f"the link carries the placeholder {text[:60]!r} in place of a {what}: the study's address at {PLATFORM.get(source, 'the platform')} "
            "must be entered there, where it is filled in"
        )
    if "@" in text or "." in text:
        raise FaceSRError(
            f"{text[:60]!r} looks like an address, not like a {what}: give the id that {PLATFORM.get(source, 'the platform')} shows"
        )
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text):
        raise FaceSRError(f"{text[:60]!r} is no {what}: it has letters, digits, '-' and '_', 64 at most")
    return text


PLATFORM = {"prolific": "Prolific", "mturk": "Mechanical Turk"}


def join(study: Study, worker: str = "", *, submission: str = "", device: str = "") -> Joined:
    """A place for a worker: the old one, a free one, one that was left; or why there is none. ``worker`` is clean already.

    ``submission``: the platform's id of this try (SESSION_ID, assignmentId); ``device``: a random mark kept in the browser.
    """
    source = study.design.join
    alias = store.pseudonym(study.secret, source, worker) if worker else None
    before = took_part_before(study, source, worker) if worker else ""
    with writing(study.engine) as connection:
        store.serialise(connection)
        known = connection.execute(select(t.rater).where(t.rater.c.pseudonym == alias)).one_or_none() if alias else None
        if before and known is None:
            return _refused(study, "already_done")
        if known is not None:
            return _again(study, connection, known, worker, submission)
        if has_ended(connection):
            return _refused(study, "closed")
        if connection.execute(select(t.study.c.paused)).scalars().first():
            return _refused(study, "paused")
        row = _free_row(study, connection)
        if row is None:
            return _refused(study, "full")
        rater, token = store.add_rater(connection, row, simulated=False, source=source, alias=alias)
        mark = hmac.new(study.secret, f"device:{device}".encode(), hashlib.sha256).hexdigest() if device else None
        kept = {"reserved_until": later(study.design.reserve_minutes), "device": mark}
        connection.execute(update(t.rater).where(t.rater.c.id == rater.id).values(**kept))
        _remember(study, connection, rater.id, worker, submission)
        return Joined(token=token, rater=rater.name)


def _refused(study: Study, why: str) -> Joined:
    d = study.design
    url = {
        "full": d.full_url,
        "closed": d.full_url,
        "screened": d.screened_url,
        "already_done": d.already_url,
        "timed_out": d.full_url,
    }
    return Joined(refused=why, url=url.get(why, ""))


def _again(study: Study, connection: Connection, known: Row[tuple[object, ...]], worker: str, submission: str) -> Joined:
    """A known worker: goes on with everything there is, unless the place was given to another one meanwhile."""
    if known.status == "deleted":
        return _refused(study, "full")
    if known.status == "replaced":
        if known.departed == "screened":
            return _refused(study, "screened")
        taken = select(t.rater.c.id).where(
            t.rater.c.row == known.row, t.rater.c.status != "replaced", t.rater.c.simulated.is_(False)
        )
        if not known.departed or has_ended(connection) or connection.execute(taken).first() is not None:
            return _refused(study, known.departed or "full")
        back = {"status": "active" if known.consent else "invited", "departed": None}
        connection.execute(update(t.rater).where(t.rater.c.id == known.id).values(**back))
        left = (t.exclusion.c.rater == known.id) & (t.exclusion.c.rule == known.departed)
        connection.execute(delete(t.exclusion).where(left))
    if known.status != "done":
        connection.execute(
            update(t.rater).where(t.rater.c.id == known.id).values(reserved_until=later(study.design.reserve_minutes))
        )
    _remember(study, connection, known.id, worker, submission)
    store.log_event(connection, "rejoined", known.id)
    return Joined(token=store.new_token(connection, known.id), rater=known.name)


def _remember(study: Study, connection: Connection, rater: int, worker: str, submission: str) -> None:
    """Keep what paying needs, encrypted; the latest submission counts, and what was paid is not touched."""
    if not worker or not submission:
        return
    text = sealed(study.secret, {"worker": worker, "submission": submission})
    if not store.add_new(connection, t.submission, {"rater": rater, "sealed": text, "at": now()}):
        connection.execute(
            update(t.submission).where(t.submission.c.rater == rater, t.submission.c.paid.is_(None)).values(sealed=text)
        )


def _free_row(study: Study, connection: Connection) -> int | None:
    """A row nobody holds, else the one whose holder has been silent the longest; None when every place is taken or paid for.

    The holder of a row that is given away departs as 'timed_out', and the ratings are left out.
    """
    out = set(connection.execute(select(t.exclusion.c.rater)).scalars())
    columns = (t.rater.c.id, t.rater.c.row, t.rater.c.status, t.rater.c.reserved_until)
    people = connection.execute(
        select(*columns).where(t.rater.c.simulated.is_(False), t.rater.c.status.not_in(("replaced", "deleted")))
    ).all()
    moment = now()
    silent = {p.id for p in people if p.status != "done" and p.reserved_until is not None and p.reserved_until < moment}
    used = sum(p.id not in silent for p in people)
    if used >= study.design.raters + study.design.spares:
        return None
    held = {p.row for p in people if p.id not in silent and not (p.status == "done" and p.id in out)}
    waiting = {p.row: p for p in sorted(people, key=lambda p: p.reserved_until or "", reverse=True) if p.id in silent}
    rows = [r for r in range(study.design.raters) if r not in held]
    empty = [r for r in rows if r not in waiting]
    if empty:
        return empty[0]
    if not rows:
        return None
    row = min(rows, key=lambda r: str(waiting[r].reserved_until))
    for person in people:
        if person.row == row and person.id in silent:
            _depart(connection, person.id, "timed_out", "no answer for the time a place is kept; the place went to the next worker")
    return row


def _depart(connection: Connection, rater: int, why: str, reason: str) -> None:
    connection.execute(update(t.rater).where(t.rater.c.id == rater).values(status="replaced", departed=why))
    store.add_new(connection, t.exclusion, {"rater": rater, "rule": why, "reason": reason, "at": now()})
    store.log_event(connection, why, rater, reason=reason)


def depart(study: Study, name: str, why: str, reason: str = "") -> str:
    """A worker gives the place back ('returned') or may not take part ('screened'); the next one has it at once. Returns where to send them."""
    with writing(study.engine) as connection:
        rater = store.find_rater(connection, name)
        if rater.status == "done":
            raise FaceSRError(
                f"rater {name} has finished: the place cannot be given back; ratings can be deleted with 'delete-rater'"
            )
        if rater.status in {"replaced", "deleted"}:
            return ""
        _depart(connection, rater.id, why, reason)
    return _refused(study, why).url


def carry_out_rules(study: Study, names: Sequence[str] | None = None) -> list[str]:
    """Leave out the finished raters (``names``, or all) who broke a rule of the plan, so that their places are free; returns who."""
    table = reading.ratings(study, simulated=False, excluded=True, names=names)
    broken = violations(study.plan.exclude_raters, table, reading.beside(study, names))
    there = reading.exclusions(study, names)
    found = []
    for name, rules in broken.items():
        new = {rule: why for rule, why in rules.items() if rule not in there.get(name, {})}
        if new:
            found.append(name)
            with writing(study.engine) as connection:
                rater = store.find_rater(connection, name)
                for rule, why in new.items():
                    connection.execute(insert(t.exclusion).values(rater=rater.id, rule=rule, reason=why, at=now()))
                    store.log_event(connection, "left out by the plan", rater.id, rule=rule, reason=why)
    return found
