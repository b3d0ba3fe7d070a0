"""Writing to a running study: invitations, consent, ratings. Every write is idempotent, and nothing is ever changed in place."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, Table, delete, func, insert, select, update

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.study import tables as t
from facesr.bench.study.closing import has_ended, is_closed
from facesr.bench.study.database import later, now, writing

OPEN = ("invited", "active")
"""States in which a rater may rate."""


class Answer(NamedTuple):
    """What became of a sent rating. ``stored``: it is new; ``next``: the position to rate now (plan length + 1 when finished);
    ``finished``: it was the last one.
    """

    stored: bool
    next: int
    problem: str = ""
    finished: bool = False


@dataclass(frozen=True)
class Rater:
    """A rater as the rating API knows one."""

    id: int
    name: str
    row: int
    status: str
    locale: str | None
    consent: str | None
    simulated: bool
    departed: str | None = None
    agreed: str | None = None


def hashed(token: str) -> str:
    """What is stored of a personal token."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def pseudonym(secret: bytes, source: str, worker: str) -> str:
    """Keyed hash of a crowd worker's id: the same worker finds the same place, and nobody can read the id back."""
    return hmac.new(secret, f"{source}:{worker}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def add_new(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert unless the row's unique key is there already; True when it was new."""
    from sqlalchemy.dialects import postgresql, sqlite

    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    added = make(table).values(**values).on_conflict_do_nothing().returning(*table.primary_key)
    return connection.execute(added).one_or_none() is not None


def log_event(
    connection: Connection, kind: str, rater: int | None = None, position: int | None = None, at: str | None = None, **detail: Any
) -> None:
    """Append an event."""
    text = json.dumps(detail, ensure_ascii=False, sort_keys=True)
    connection.execute(insert(t.event).values(rater=rater, kind=kind, position=position, detail=text, at=at or now()))


# --- raters -------------------------------------------------------------------------------------------------------------------------


def seat_rater(
    engine: Engine, *, rows: int, row: int | None = None, simulated: bool = False, source: str = "invited"
) -> tuple[Rater, str]:
    """Add a rater on the row of the design with the fewest raters, or on ``row``.

    Returns the rater and the personal token, which is shown this once and stored hashed.
    """
    with writing(engine) as connection:
        serialise(connection)
        if not simulated and has_ended(connection):
            raise FaceSRError("the study is closed, or has ended by its rule: nobody is invited any more")
        chosen = _emptiest(connection, rows, simulated)[0] if row is None else row
        return add_rater(connection, chosen, simulated=simulated, source=source)


def serialise(connection: Connection) -> None:
    # Two joins at once must not take the same name or the same row; SQLite's BEGIN IMMEDIATE does this already.
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7061616366)")


def _emptiest(connection: Connection, rows: int, simulated: bool) -> tuple[int, int]:
    """The row of the design with the fewest raters, and how many those are."""
    present = t.rater.c.status.not_in(("replaced", "deleted"))
    query = select(t.rater.c.row, func.count()).where(t.rater.c.simulated == simulated, present).group_by(t.rater.c.row)
    taken: dict[int, int] = {int(row): int(count) for row, count in connection.execute(query)}
    row = min(range(rows), key=lambda r: (taken.get(r, 0), r))
    return row, taken.get(row, 0)


def add_rater(connection: Connection, row: int, *, simulated: bool, source: str, alias: str | None = None) -> tuple[Rater, str]:
    number = connection.execute(select(func.count()).select_from(t.rater).where(t.rater.c.simulated == simulated)).scalar_one()
    name = f"{'s' if simulated else 'r'}{number + 1:03d}"
    values = {"name": name, "row": row, "status": "invited", "simulated": simulated, "source": source, "pseudonym": alias}
    key = connection.execute(insert(t.rater).values(**values, invited=now())).inserted_primary_key
    assert key is not None
    log_event(connection, "invited", key[0], source=source)
    return Rater(int(key[0]), name, row, "invited", None, None, simulated), new_token(connection, key[0])


def new_token(connection: Connection, rater: int) -> str:
    token = secrets.token_urlsafe(24)
    connection.execute(insert(t.token).values(hash=hashed(token), rater=rater, created=now()))
    return token


def fresh_link(engine: Engine, name: str) -> str:
    """A new personal token for a rater who lost the link; the old one stops working."""
    with writing(engine) as connection:
        rater = find_rater(connection, name)
        connection.execute(delete(t.token).where(t.token.c.rater == rater.id))
        log_event(connection, "new link", rater.id)
        return new_token(connection, rater.id)


def find_rater(connection: Connection, name: str) -> Rater:
    """The rater of that name."""
    row = connection.execute(select(t.rater).where(t.rater.c.name == name)).one_or_none()
    if row is None:
        known = connection.execute(select(t.rater.c.name)).scalars().all()
        raise FaceSRError(f"no rater {name!r} in this study: {suggest(name, known) if known else 'nobody was invited yet'}")
    return rater_of(row)


def rater_of(row: Row[Any]) -> Rater:
    return Rater(row.id, row.name, row.row, row.status, row.locale, row.consent, row.simulated, row.departed, row.agreed)


def by_token(engine: Engine, token: str) -> Rater | None:
    """The rater a personal token belongs to, or None."""
    with engine.connect() as connection:
        joined = select(t.rater).join(t.token, t.token.c.rater == t.rater.c.id).where(t.token.c.hash == hashed(token))
        row = connection.execute(joined).one_or_none()
    return None if row is None else rater_of(row)


def set_status(engine: Engine, name: str, status: str, reason: str = "", *, everyone: bool = False) -> Rater:
    """Pause a rater, or let one go on ('active'). A finished or deleted rater stays so. ``everyone``: one of all, which undoing all undoes."""
    with writing(engine) as connection:
        rater = find_rater(connection, name)
        if rater.status in {"done", "replaced", "deleted"}:
            raise FaceSRError(
                f"rater {name} is {rater.status}: only raters who are invited, active or paused can be paused or resumed"
            )
        connection.execute(update(t.rater).where(t.rater.c.id == rater.id).values(status=status))
        detail: dict[str, Any] = {"reason": reason, **({"everyone": True} if everyone else {})}
        log_event(connection, status, rater.id, **detail)
    return rater


def replace(engine: Engine, name: str, reason: str, *, force: bool = False) -> tuple[Rater, str]:
    """Put a new rater in the place of one who left: the same row of the design; the old ratings stay, excluded by the rule 'replaced'.

    A finished rater is replaced with ``force`` only: those answers are complete, and leaving them out is a choice that must be meant.
    """
    with writing(engine) as connection:
        serialise(connection)
        rater = find_rater(connection, name)
        if is_closed(connection):
            raise FaceSRError("the study is closed: nobody is replaced any more")
        if rater.status in {"replaced", "deleted"}:
            raise FaceSRError(f"rater {name} is {rater.status} already: invite a new one instead")
        if rater.status == "done" and not force:
            raise FaceSRError(f"rater {name} has finished: --force replaces a finished rater, whose ratings are then left out")
        connection.execute(update(t.rater).where(t.rater.c.id == rater.id).values(status="replaced"))
        add_new(connection, t.exclusion, {"rater": rater.id, "rule": "replaced", "reason": reason, "at": now()})
        fresh, token = add_rater(connection, rater.row, simulated=rater.simulated, source="invited")
        log_event(connection, "replaced", rater.id, reason=reason, by=fresh.name, was=rater.status)
    return fresh, token


def exclude(engine: Engine, name: str, rule: str, reason: str) -> None:
    """Leave a rater out of the analysis: by a rule, with a reason, at a time. The ratings stay in the database."""
    with writing(engine) as connection:
        rater = find_rater(connection, name)
        add_new(connection, t.exclusion, {"rater": rater.id, "rule": rule, "reason": reason, "at": now()})
        log_event(connection, "excluded", rater.id, rule=rule, reason=reason)


def delete_rater(engine: Engine, name: str) -> int:
    """Remove everything a person left: ratings, presentations, events, tokens. A nameless row stays, so that the count is honest."""
    with writing(engine) as connection:
        rater = find_rater(connection, name)
        removed = int(
            connection.execute(select(func.count()).select_from(t.rating).where(t.rating.c.rater == rater.id)).scalar_one()
        )
        for table in (t.rating, t.correction, t.presentation, t.event, t.token, t.exclusion, t.served, t.submission, t.given):
            connection.execute(delete(table).where(table.c.rater == rater.id))
        blank = {
            "status": "deleted",
            "pseudonym": None,
            "locale": None,
            "consent": None,
            "finished": None,
            "device": None,
            "agreed": None,
        }
        connection.execute(update(t.rater).where(t.rater.c.id == rater.id).values(**blank))
        log_event(connection, "deleted", name=name, ratings=removed)
    return removed


# --- rating -------------------------------------------------------------------------------------------------------------------------


def consent(engine: Engine, rater: Rater, locale: str, agreed: str = "") -> None:
    """Note that the rater agreed, and to which texts (their sha256); the first time counts."""
    with writing(engine) as connection:
        changed = connection.execute(
            update(t.rater)
            .where(t.rater.c.id == rater.id, t.rater.c.consent.is_(None))
            .values(consent=now(), locale=locale, agreed=agreed)
        )
        connection.execute(update(t.rater).where(t.rater.c.id == rater.id, t.rater.c.status == "invited").values(status="active"))
        if changed.rowcount:
            log_event(connection, "consent", rater.id, locale=locale, texts_sha256=agreed)


def plan_length(connection: Connection, row: int) -> int:
    """Positions in a row of the plan."""
    return int(connection.execute(select(func.count()).select_from(t.plan).where(t.plan.c.row == row)).scalar_one())


def next_position(connection: Connection, rater: int) -> int:
    """The first position without a rating. Positions are answered in order, so that is the highest one plus one."""
    return (
        int(
            connection.execute(
                select(func.coalesce(func.max(t.rating.c.position), 0)).where(t.rating.c.rater == rater)
            ).scalar_one()
        )
        + 1
    )


def rate(
    engine: Engine,
    rater: Rater,
    position: int,
    score: int | None,
    *,
    revision: int = 0,
    rt_ms: float | None = None,
    input: str = "",
    shown: Mapping[str, Any] | None = None,
    at: str | None = None,
    keep_minutes: float = 0.0,
) -> Answer:
    """Store the answer at a position: once, however often it is sent.

    ``revision`` 0 is the first answer; 1, 2, … correct it and count only while the next item is unrated and the rater has not finished.
    ``shown``: values for the columns of ``presentation``. ``keep_minutes``: a crowd worker's place is kept that much longer. A position ahead
    of the current one is refused, so a plan never has holes.
    """
    with writing(engine) as connection:
        # The rater's row is the lock: two devices of one rater take turns, two raters never wait for each other.
        status = connection.execute(select(t.rater.c.status).where(t.rater.c.id == rater.id).with_for_update()).scalar_one()
        current = next_position(connection, rater.id)
        problem = _refuse(connection, rater, status, position, score, revision, current)
        if not problem and (revision or position == current) and is_closed(connection):
            problem = "the study is closed"
        if problem or (revision == 0 and position < current):
            return Answer(False, current, problem)
        values = {"rater": rater.id, "position": position, "score": score, "rt_ms": rt_ms, "input": input, "at": at or now()}
        finished = False
        if revision:
            stored = add_new(connection, t.correction, {**values, "revision": revision})
        else:
            stored = add_new(connection, t.rating, values)
            current += 1
            finished = current > plan_length(connection, rater.row)
            if finished:
                connection.execute(update(t.rater).where(t.rater.c.id == rater.id).values(status="done", finished=now()))
            elif keep_minutes:
                connection.execute(update(t.rater).where(t.rater.c.id == rater.id).values(reserved_until=later(keep_minutes)))
        if stored and shown:
            add_new(
                connection,
                t.presentation,
                {"rater": rater.id, "position": position, "revision": revision, "at": at or now(), **shown},
            )
        return Answer(stored, current, finished=finished)


def _refuse(
    connection: Connection, rater: Rater, status: str, position: int, score: int | None, revision: int, current: int
) -> str:
    """Why an answer cannot be taken: '' when it can, or when it is a mere repetition."""
    if position >= current and status not in OPEN:
        return status
    trial = connection.execute(
        select(t.plan.c.kind).where(t.plan.c.row == rater.row, t.plan.c.position == position)
    ).scalar_one_or_none()
    if trial is None:
        return "no such position"
    if (score is None) != trial.startswith("anchor"):
        return "anchors are seen, not rated" if score is not None else "a score is missing"
    if position > current or (revision and position == current):
        return "ahead of the current item"
    if revision and status not in OPEN:
        return "finished answers are not changed" if status == "done" else status
    if revision and (position < current - 1 or score is None):
        return "too late to correct"
    return ""


def note_sent(engine: Engine, rater: Rater, stimulus: str) -> None:
    """Note when the server first sent an image to a rater."""
    with engine.connect() as connection:
        where = (t.served.c.rater == rater.id) & (t.served.c.stimulus == stimulus)
        if connection.execute(select(t.served.c.at).where(where)).first() is not None:
            return
    with writing(engine) as connection:
        add_new(connection, t.served, {"rater": rater.id, "stimulus": stimulus, "at": now()})


def set_joining(engine: Engine, *, paused: bool, reason: str = "") -> None:
    """Let nobody join for now, or let people join again."""
    with writing(engine) as connection:
        connection.execute(update(t.study).values(paused=now() if paused else None))
        log_event(connection, "joining paused" if paused else "joining open", reason=reason)


# --- rests --------------------------------------------------------------------------------------------------------------------------


def rest_until(connection: Connection, rater: int, session_minutes: float, rest_minutes: float) -> float:
    """Seconds the rater should rest now: 0, unless the last ratings went on for ``session_minutes`` without a pause of ``rest_minutes``."""
    if not session_minutes or not rest_minutes:
        return 0.0
    latest = select(t.rating.c.at).where(t.rating.c.rater == rater).order_by(t.rating.c.position.desc()).limit(2000)
    times = [datetime.fromisoformat(a).timestamp() for a in connection.execute(latest).scalars()]
    since = datetime.fromisoformat(now()).timestamp()
    if not times or since - times[0] >= rest_minutes * 60:
        return 0.0
    start = times[0]
    for earlier in times[1:]:
        if start - earlier >= rest_minutes * 60:
            break
        start = earlier
    if times[0] - start < session_minutes * 60:
        return 0.0
    return rest_minutes * 60 - (since - times[0])
