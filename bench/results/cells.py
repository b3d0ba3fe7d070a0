"""The cells of a run while it grows: SQLite in the run folder, so that a kill at any moment loses at most the work in hand.

The only file that knows the tables of ``cells.sqlite``. Every row carries a checksum: one that does not match (a flipped bit) counts as
absent, and its cell is computed again.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from facesr.bench.errors import FaceSRError
from facesr.bench.numbers import whole

FILE = "cells.sqlite"
VERSION = 2
"""Of the tables; cells of another version are computed again."""


class LrCell(NamedTuple):
    """A degraded image: the key of what it depends on, sha256 of its file and of its pixels."""

    scale: float
    image: str
    key: str
    sha256: str
    pixels: str


class SrCell(NamedTuple):
    """How a method restored a face; ``seconds``: its share of the batch's time, None where unknown; ``sha256`` of its file, or ''."""

    method: str
    scale: float
    image: str
    key: str
    status: str
    reason: str
    seconds: float | None
    sha256: str


class ScoreCell(NamedTuple):
    """A score; ``image`` is '*' for one of the whole set, ``low`` and ``high`` its interval, ``n`` the images behind it."""

    method: str
    scale: float
    image: str
    metric: str
    key: str
    value: float | None
    status: str
    reason: str
    low: float | None
    high: float | None
    n: int


class CostCell(NamedTuple):
    """What restoring a face took besides ``SrCell.seconds``: whether it was in its worker's first batch (which warms up), and the most
    bytes that were held, None where unknown."""

    method: str
    scale: float
    image: str
    first: int
    memory: int | None


class MethodMemo(NamedTuple):
    """What a method said of itself when ``stamp`` (files and parameters on this machine) was the same: saves loading it again."""

    label: str
    stamp: str
    facts: str


Row = TypeVar("Row", LrCell, SrCell, ScoreCell, CostCell, MethodMemo)
TABLES: dict[type, tuple[str, str]] = {
    LrCell: ("degraded", "scale, image"),
    SrCell: ("restored", "method, scale, image"),
    ScoreCell: ("score", "metric, method, scale, image"),
    CostCell: ("cost", "method, scale, image"),
    MethodMemo: ("method", "label"),
}
LATER = (CostCell,)
"""What a file written by an earlier version lacks; it is added when a run is called again."""
KINDS = {
    "scale": "NUMERIC",
    "n": "INTEGER",
    "first": "INTEGER",
    "memory": "INTEGER",
    "value": "REAL",
    "low": "REAL",
    "high": "REAL",
    "seconds": "REAL",
}


def _schema() -> str:
    made = []
    for row, (table, key) in TABLES.items():
        columns = ", ".join(f"{name} {KINDS.get(name, 'TEXT')}" for name in row._fields)  # type: ignore[attr-defined]
        made.append(f"CREATE TABLE IF NOT EXISTS {table} ({columns}, checksum INTEGER, PRIMARY KEY ({key})) WITHOUT ROWID;")
    return "".join(made) + f"PRAGMA user_version = {VERSION};"


def checksum(row: tuple[Any, ...]) -> int:
    """CRC-32 of a row's values."""
    return zlib.crc32(json.dumps(row).encode())


class Cells:
    """Rows by their place in the grid, each with the key of everything its value depends on."""

    def __init__(self, folder: Path, *, write: bool = False) -> None:
        """Open the cells of a run folder, for writing (then what is damaged is rebuilt from its sound rows) or for reading only."""
        self.path, self.write = folder / FILE, write
        if self.path.is_symlink():
            raise FaceSRError(f"{self.path} is a link: a run keeps its own cells; remove the link")
        if not write and not self.path.is_file():
            raise FaceSRError(f"{folder} has neither scores.parquet nor {FILE}: copy the whole folder, or call the run again")
        if write:
            _mend(self.path)
        with self._reported():
            if not write:
                self.db = sqlite3.connect(_to_read(self.path), uri=True, timeout=2, isolation_level=None)
                return
            self.db = sqlite3.connect(self.path, isolation_level=None)
            try:
                self.db.execute("PRAGMA journal_mode = WAL")
                self.db.execute("PRAGMA synchronous = NORMAL")
                self.db.executescript(_schema())
            except sqlite3.Error:
                self.db.close()
                raise

    @classmethod
    def copied(cls, folder: Path) -> Cells:
        """A copy in memory, of what there is: written to, nothing on disk changes."""
        made = cls.__new__(cls)
        made.path, made.write = folder / FILE, True
        made.db = sqlite3.connect(":memory:", isolation_level=None)
        with made._reported():
            if made.path.is_file() and not made.path.is_symlink():
                with closing(sqlite3.connect(_to_read(made.path), uri=True, timeout=2)) as held:
                    if int(held.execute("PRAGMA user_version").fetchone()[0]) == VERSION:
                        held.backup(made.db)
            made.db.executescript(_schema())
        return made

    def __enter__(self) -> Cells:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Fold the log into the file and close it."""
        with self._reported():
            self.db.close()

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if self.write and not _is_damage(error):
                raise FaceSRError(f"{self.path}: cannot be written ({error}); what was finished before is kept") from None
            raise FaceSRError(f"{self.path} cannot be read ({error}): call the run again to rebuild it") from None

    def rows(self, kind: type[Row], **where: object) -> Iterator[Row]:
        """Stream the sound rows of a kind, narrowed by equality (``method=...``); damaged ones are left out."""
        table, _ = TABLES[kind]
        test = " AND ".join(f"{column} = ?" for column in where)
        query = f"SELECT * FROM {table}" + (f" WHERE {test}" if where else "")
        with self._reported():
            if kind in LATER and not self.db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
                return
            for *values, mark in self.db.execute(query, tuple(where.values())):
                if checksum(tuple(values)) == mark:
                    yield kind(*values)

    def put(self, rows: Iterable[LrCell | SrCell | ScoreCell | CostCell | MethodMemo]) -> None:
        """Insert or replace rows, all or none."""
        rows = [row._replace(**_plain(row)) for row in rows]
        with self._reported():
            self.db.execute("BEGIN IMMEDIATE")
            try:
                for row in rows:
                    table, _ = TABLES[type(row)]
                    marks = ", ".join("?" * (len(row) + 1))
                    self.db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", (*row, checksum(tuple(row))))
                self.db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self.db.execute("ROLLBACK")
                raise

    def settle(self) -> None:
        """Make it one plain file, with no log beside it: to be read from a medium that cannot be written."""
        with self._reported():
            self.db.execute("PRAGMA journal_mode = DELETE")
            self.db.execute("VACUUM")

    def count(self, kind: type[Row]) -> int:
        """How many rows of a kind there are, without reading them."""
        with self._reported():
            return int(self.db.execute(f"SELECT count(*) FROM {TABLES[kind][0]}").fetchone()[0])


def _to_read(path: Path) -> str:
    """The address that opens a file for reading. Where nobody is writing (no log lies beside it) nothing is put beside it either: a run
    may lie on a medium that cannot be written."""
    still = not path.with_name(f"{path.name}-wal").exists()
    return f"{path.resolve().as_uri()}?mode=ro" + ("&immutable=1" if still else "")


def _plain(row: tuple[Any, ...]) -> dict[str, Any]:
    """Values as SQLite gives them back: real numbers as float, texts without lone surrogates."""
    fields: tuple[str, ...] = row._fields  # type: ignore[attr-defined]
    made: dict[str, Any] = {}
    for name, value in zip(fields, row, strict=True):
        kind = KINDS.get(name, "TEXT")
        if value is not None:
            made[name] = _PLAIN[kind](value)
    return made


def _text(value: object) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


_PLAIN: dict[str, Callable[[Any], Any]] = {"REAL": float, "INTEGER": int, "NUMERIC": whole, "TEXT": _text}


def _is_damage(error: sqlite3.Error) -> bool:
    return any(word in str(error) for word in ("malformed", "not a database", "corrupt", "no such column", "no such table"))


def _mend(path: Path) -> None:
    """Make a damaged file of cells anew from its sound rows; drop one of another version."""
    if not path.is_file():
        return
    with suppress(sqlite3.Error):
        db = sqlite3.connect(path)
        try:
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            if version == VERSION and _plain_tables(db) and db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok":
                return
            sound = list(_sound(db)) if version == VERSION else []
        finally:
            db.close()
        _anew(path, sound)
        return
    _anew(path, [])


def _plain_tables(db: sqlite3.Connection) -> bool:
    """Whether the file holds our tables and nothing that acts on them: a stranger's trigger could delete what is written."""
    ours = {("table", table) for table, _ in TABLES.values()}
    return set(db.execute("SELECT type, name FROM sqlite_master")) == ours


def _sound(db: sqlite3.Connection) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for kind, (table, _) in TABLES.items():
        with suppress(sqlite3.Error, ValueError, TypeError):
            for values in db.execute(f"SELECT * FROM {table}"):
                if len(values) == len(kind._fields) + 1 and checksum(tuple(values[:-1])) == values[-1]:  # type: ignore[attr-defined]
                    yield table, values


def _anew(path: Path, rows: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
    beside = path.with_name(f".{path.name}.mended")
    beside.unlink(missing_ok=True)
    with sqlite3.connect(beside) as db:
        db.executescript(_schema())
        for table, values in rows:
            db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(values))})", values)
    db.close()
    for extra in ("-wal", "-shm"):
        path.with_name(path.name + extra).unlink(missing_ok=True)
    beside.replace(path)
