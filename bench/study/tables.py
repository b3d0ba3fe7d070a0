"""The tables of a study's database, the same for SQLite and PostgreSQL. Times are ISO 8601 text in UTC, so that they sort and read alike."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

study = Table(
    "study",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("created", String(32), nullable=False),
    Column("paused", String(32)),
)
"""One row: which frozen design this database belongs to, and since when nobody may join."""

stimulus = Table(
    "stimulus",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("face", String(200), nullable=False),
    Column("condition", String(100), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("consistency", Float),
    Column("flag", String(200), nullable=False),
    UniqueConstraint("face", "condition"),
)

plan = Table(
    "plan",
    metadata,
    Column("row", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(20), nullable=False),
    Column("face", String(200), nullable=False),
    Column("condition", String(100), nullable=False),
    Column("other", String(100), nullable=False),
    Column("stimulus", String(64), ForeignKey("stimulus.name")),
    Column("other_stimulus", String(64), ForeignKey("stimulus.name")),
    Column("low", Integer),
    Column("high", Integer),
)
"""The trials of each row of the design; positions count from 1. A rater follows one row, a replacement the same one."""

rater = Table(
    "rater",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(40), nullable=False),
    Column("row", Integer, nullable=False),
    Column("status", String(20), nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("source", String(20), nullable=False),
    Column("pseudonym", String(64)),
    Column("locale", String(20)),
    Column("invited", String(32), nullable=False),
    Column("consent", String(32)),
    Column("finished", String(32)),
    Column("agreed", String(64)),
    Column("reserved_until", String(32)),
    Column("departed", String(20)),
    Column("device", String(64)),
    UniqueConstraint("name"),
    UniqueConstraint("pseudonym"),
    CheckConstraint("status in ('invited', 'active', 'paused', 'done', 'replaced', 'deleted')", name="status"),
)
"""``pseudonym``: keyed hash of a crowd worker's id, so that a returning worker finds the same place; the id itself is not kept.
``agreed``: sha256 of the texts the rater agreed to. ``reserved_until``: how long a crowd worker's place is kept without an answer.
``departed``: why a place was given up: returned | timed_out | screened. ``device``: keyed hash of a random mark in the browser.
"""

token = Table(
    "token",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("rater", Integer, ForeignKey("rater.id"), nullable=False),
    Column("created", String(32), nullable=False),
)
"""sha256 of each personal token (192 random bits, so no salt is needed); the token itself is shown once and never stored."""

rating = Table(
    "rating",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("rater", Integer, ForeignKey("rater.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("score", Integer),
    Column("rt_ms", Float),
    Column("input", String(10), nullable=False),
    Column("at", String(32), nullable=False),
    UniqueConstraint("rater", "position"),
    CheckConstraint("score is null or (score >= 0 and score <= 9)", name="score"),
)
"""The first answer at a position, never changed. ``score`` is null where an anchor was seen, since anchors are not rated."""

correction = Table(
    "correction",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("rater", Integer, ForeignKey("rater.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("score", Integer, nullable=False),
    Column("rt_ms", Float),
    Column("input", String(10), nullable=False),
    Column("at", String(32), nullable=False),
    UniqueConstraint("rater", "position", "revision"),
    CheckConstraint("score >= 0 and score <= 9", name="score"),
)
"""Later answers at a position, as long as the next item was not rated; the highest revision counts."""

presentation = Table(
    "presentation",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("rater", Integer, ForeignKey("rater.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("shown", String(32)),
    Column("dpr", Float),
    Column("device_pixels", Float),
    Column("css_px", Float),
    Column("viewport_width", Integer),
    Column("viewport_height", Integer),
    Column("pinch", Float),
    Column("loaded_ms", Float),
    Column("hidden_ms", Float),
    Column("verified", Boolean),
    Column("layout", String(10)),
    Column("at", String(32), nullable=False),
    UniqueConstraint("rater", "position", "revision"),
)
"""How an item was shown when it was answered. ``device_pixels``: screen pixels an image pixel covered; ``verified``: sha256 checked;
``layout`` of a pair: row (side by side) | column (one above the other).
"""

event = Table(
    "event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("rater", Integer, ForeignKey("rater.id")),
    Column("kind", String(40), nullable=False),
    Column("position", Integer),
    Column("detail", Text, nullable=False),
    Column("at", String(32), nullable=False),
    Index(None, "rater"),
)
"""Everything else worth keeping: visibility, zoom, consent, breaks, invitations, peeks, deletions."""

exclusion = Table(
    "exclusion",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("rater", Integer, ForeignKey("rater.id"), nullable=False),
    Column("rule", String(60), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", String(32), nullable=False),
    UniqueConstraint("rater", "rule"),
)

served = Table(
    "served",
    metadata,
    Column("rater", Integer, ForeignKey("rater.id"), primary_key=True, autoincrement=False),
    Column("stimulus", String(64), ForeignKey("stimulus.name"), primary_key=True),
    Column("at", String(32), nullable=False),
)
"""When the server first sent an image to a rater: an answer to an image that was never sent, or just then, was not given by eye."""

submission = Table(
    "submission",
    metadata,
    Column("rater", Integer, ForeignKey("rater.id"), primary_key=True, autoincrement=False),
    Column("sealed", Text),
    Column("at", String(32), nullable=False),
    Column("paid", String(32)),
)
"""A crowd worker's id and submission, encrypted with the study's key until they are paid; then ``sealed`` is erased."""

given = Table(
    "given",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("rater", Integer, ForeignKey("rater.id"), nullable=False),
    Column("step", String(20), nullable=False),
    Column("name", String(40), nullable=False),
    Column("mark", String(64), nullable=False),
    Column("value", Text, nullable=False),
    Column("at", String(32), nullable=False),
    UniqueConstraint("rater", "step", "name", "mark"),
    Index(None, "rater"),
)
"""What a rater gave beside ratings: questionnaire, screen, practice, comment. ``mark``: the page's mark of one sending, so that a repeated
one is stored once. Never changed: of several answers the latest counts.
"""

closing = Table(
    "closing",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", String(32), nullable=False),
    Column("reason", Text, nullable=False),
    Column("raters", Integer, nullable=False),
    Column("ratings", Integer, nullable=False),
    Column("ratings_sha256", String(64), nullable=False),
    Column("texts_sha256", String(64), nullable=False),
)
"""The end of collection. A later row is written only where a person had the own ratings deleted afterwards."""
