"""Opening a study's database: SQLite (WAL, full synchronous) or PostgreSQL, through the same SQLAlchemy code and Alembic migrations."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from facesr.bench.errors import FaceSRError

MIGRATIONS = Path(__file__).parent / "migrations"


def _wall() -> datetime:
    return datetime.now(UTC)


clock: Callable[[], datetime] = _wall
"""Where ``now`` reads the time; a simulation of many days sets its own."""


def now() -> str:
    """The time in UTC, ISO 8601 with milliseconds."""
    return _text(clock())


def later(minutes: float) -> str:
    """The time so many minutes from now."""
    return _text(clock() + timedelta(minutes=minutes))


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file."""
    return f"sqlite:///{path}"


def private(file: Path, text: str | None = None) -> None:
    """Write a file that its owner alone may read, from the first byte on; without ``text`` it is only made, or its rights are set."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if text is not None else 0)
    handle = os.open(file, flags, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        if text is not None:
            opened.write(text)
    file.chmod(0o600)


def private_bytes(file: Path, data: bytes) -> None:
    """Write bytes that their owner alone may read, whole or not at all: beside the name first, then under it."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        private(part)
        part.write_bytes(data)
        part.replace(file)
    except OSError as error:
        raise FaceSRError(f"{file} cannot be written ({error.strerror or error})") from None
    finally:
        part.unlink(missing_ok=True)


def connect(url: str) -> Engine:
    """An engine for ``url``; SQLite gets WAL, full synchronous, foreign keys and a long busy time."""
    if url.startswith(("postgres://", "postgresql://")):
        url = "postgresql+psycopg://" + url.split("://", 1)[1]
    try:
        kind = make_url(url).get_backend_name()
    except ArgumentError:
        raise FaceSRError(f"{url!r} is no database URL: write postgresql://user@host/name or sqlite:///file.db") from None
    if kind not in {"sqlite", "postgresql"}:
        raise FaceSRError(f"a study's database is SQLite or PostgreSQL, not {kind!r}")
    try:
        if kind == "postgresql":
            return create_engine(url, pool_size=16, max_overflow=16, pool_pre_ping=True)
        if file := make_url(url).database:
            _own(Path(file))
        engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": 60}, pool_size=8, max_overflow=32)
    except ModuleNotFoundError:
        raise FaceSRError("PostgreSQL needs the extra 'postgresql': pip install 'facesr-bench[postgresql]'") from None
    event.listen(engine, "connect", _pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def _own(file: Path) -> None:
    """Make the database's file readable by its owner alone; SQLite gives its log files the same rights."""
    if file.exists() and not file.is_file():
        raise FaceSRError(f"{file} is not a file, so it cannot be a study's database")
    if file.parent.is_dir():
        with suppress(OSError):  # a read-only disk: an archive can still be read
            private(file)


def _pragmas(connection: Any, _record: Any) -> None:
    # The driver's own transaction handling starts transactions too late for BEGIN IMMEDIATE: switch it off and begin ourselves.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=60000"):
        try:
            cursor.execute(f"PRAGMA {pragma}")
        except UnicodeDecodeError:  # SQLite names the damaged table in its message, and the name is no text
            raise sqlite3.DatabaseError("malformed database schema: a name that is no text") from None
    cursor.close()


def _begin(connection: Connection) -> None:
    # A writer takes the write lock at once; upgrading a read transaction later could fail with "database is locked" at any time.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("facesr_write") else "BEGIN")


_ONE_WRITER = threading.Lock()


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes. On SQLite the writers of this process queue here instead of polling the file's lock."""
    if engine.dialect.name == "sqlite":
        with _ONE_WRITER, engine.connect().execution_options(facesr_write=True) as connection, connection.begin():
            yield connection
    else:
        with engine.begin() as connection:
            yield connection


def trouble(error: BaseException) -> str:
    """One sentence for an error of the database; '' for any other error."""
    if not isinstance(error, SQLAlchemyError):
        return ""
    reason = " ".join(str(getattr(error, "orig", None) or error).split())[:200]
    if "locked" in reason:
        return f"the study's database is in use by another program ({reason}): try again"
    damaged = ("malformed", "not a database", "no such", "disk I/O", "does not exist")
    if any(word in reason for word in damaged):
        return (
            f"the study's database is damaged ({reason}): it was left as it is; put it back from a copy, or save what can be read with "
            "'facesr study rescue'"
        )
    return f"the study's database cannot be opened ({reason}): check --database and that the server runs"


def _revision(engine: Engine) -> str:
    """The revision the database is at; '' for an empty one."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return ""
        return str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none() or "")


def holds_study(engine: Engine) -> bool:
    """Whether a study's tables are there, of whichever layout."""
    try:
        with engine.connect() as connection:
            return inspect(connection).has_table("study")
    except SQLAlchemyError as error:
        raise FaceSRError(trouble(error)) from None


def migrate(engine: Engine) -> None:
    """Bring the tables up to date; safe to call again, and by two processes at once."""
    known = {file.name.split("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*.py")}
    newest = max(known)
    try:
        if (there := _revision(engine)) == newest:
            return  # the usual case, without the second that importing Alembic takes
        if there and there not in known:
            raise FaceSRError(
                f"the study's database is of a layout that this version does not know (revision {there[:20]!r}, the latest known is {newest}): "
                "it was made by a newer version of FaceSR-Bench, or is damaged; it was left as it is"
            )
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        with writing(engine) as connection:
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql(
                    "SELECT pg_advisory_xact_lock(7061616365)"
                )  # two servers starting at once migrate in turn
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except SQLAlchemyError as error:
        raise FaceSRError(trouble(error)) from None
