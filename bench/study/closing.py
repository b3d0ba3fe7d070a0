"""The end of collection: from then on nothing is taken, and the sha256 of ratings and texts tells whether anything was changed since."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from sqlalchemy import Connection, insert, select

from facesr.bench.study import reading
from facesr.bench.study import tables as t
from facesr.bench.study.database import now, writing
from facesr.bench.study.design import canonical
from facesr.bench.study.reading import Opened
from facesr.bench.study.wording import Texts

_KEY = 7061616367
"""PostgreSQL's advisory lock: answers share it, a closing has it alone, so that no answer slips in behind the seal."""

MET = "stopping rule met"
"""The event that ends the collection by the plan."""


class Seal(NamedTuple):
    """What a closing froze."""

    at: str
    reason: str
    raters: int
    ratings: int
    ratings_sha256: str
    texts_sha256: str


def seal_of(study: Opened) -> Seal | None:
    """The study's latest seal; None while it is open."""
    columns = [t.closing.c[name] for name in Seal._fields]
    with study.engine.connect() as connection:
        row = connection.execute(select(*columns).order_by(t.closing.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else Seal(*row)


def is_closed(connection: Connection) -> bool:
    """Whether collection has ended; until the transaction ends it stays as it is."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock_shared({_KEY})")
    return connection.execute(select(t.closing.c.id).limit(1)).first() is not None


def has_ended(connection: Connection) -> bool:
    """Whether nobody new begins any more: the plan's stopping rule was met (``ending``), or the study is closed."""
    met = select(t.event.c.id).where(t.event.c.rater.is_(None), t.event.c.kind == MET).limit(1)
    return connection.execute(met).first() is not None or is_closed(connection)


def ratings_digest(study: Opened) -> tuple[int, int, str]:
    """Raters, ratings and a sha256 over every answer and correction of people, with its item and the server's time."""
    table = reading.ratings(study, simulated=False, excluded=True)
    columns = ["rater", "position", "kind", "face", "condition", "other", "score", "first_score", "revisions", "at"]
    rows = table[columns].astype(object).where(table[columns].notna(), None).to_numpy().tolist()
    return table["rater"].nunique(), len(table), hashlib.sha256(canonical(rows)).hexdigest()


def seal(study: Opened, texts: Texts, reason: str) -> Seal:
    """Freeze what there is; whether it may be closed is for the caller to know."""
    with writing(study.engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_KEY})")
        made = Seal(now(), reason, *ratings_digest(study), hashlib.sha256(canonical(texts)).hexdigest())
        connection.execute(insert(t.closing).values(**made._asdict()))
    return made


def changed_since(study: Opened) -> str:
    """A sentence where the ratings are not the closed ones; '' where they are, or the study is open."""
    sealed = seal_of(study)
    if sealed is None or ratings_digest(study)[2] == sealed.ratings_sha256:
        return ""
    return (
        f"the ratings are not those that were closed on {sealed.at[:10]} (sha256 {sealed.ratings_sha256[:12]}): "
        "put the database back from a copy"
    )
