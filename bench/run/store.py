"""The cells of a run while it grows: SQLite in the run folder, so that a kill at any moment loses at most the batch in hand."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facesr.bench.errors import FaceSRError

SCHEMA = """
CREATE TABLE IF NOT EXISTS restored (
    method TEXT, scale INTEGER, image TEXT, key TEXT, status TEXT, reason TEXT, seconds REAL, sha256 TEXT,
    PRIMARY KEY (method, scale, image)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS score (
    method TEXT, scale INTEGER, image TEXT, metric TEXT, key TEXT, value REAL, status TEXT, reason TEXT, low REAL, high REAL, n INTEGER,
    PRIMARY KEY (metric, method, scale, image)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS degraded (
    scale INTEGER, image TEXT, key TEXT, sha256 TEXT, PRIMARY KEY (scale, image)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS method (label TEXT PRIMARY KEY, stamp TEXT, weights TEXT, terms TEXT, cite TEXT) WITHOUT ROWID;
"""


class Store:
    """Cells by their place in the grid, each with the key of everything its value depends on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._told():
            self.db = sqlite3.connect(path, isolation_level=None)
            self.db.execute("PRAGMA journal_mode = WAL")
            self.db.execute("PRAGMA synchronous = NORMAL")
            self.db.executescript(SCHEMA)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise FaceSRError(f"{self.path}: cannot be written ({error}); what was finished before is kept") from None

    def rows(self, query: str, values: Iterable[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Stream the rows of a query."""
        with self._told():
            yield from self.db.execute(query, tuple(values))

    def put(self, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Insert or replace rows, all or none."""
        rows = list(rows)
        if not rows:
            return
        marks = ", ".join("?" * len(rows[0]))
        with self._told():
            self.db.execute("BEGIN IMMEDIATE")
            self.db.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", rows)
            self.db.execute("COMMIT")

    def close(self) -> None:
        """Fold the log into the file and close it."""
        with self._told():
            self.db.close()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run folder; a second run into it gets one sentence. The lock ends with the process, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise FaceSRError(f"{folder}: cannot be written ({error.strerror})") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FaceSRError(f"{folder} is in use by another facesr run: wait for it, or choose another --out") from None
        yield
    finally:
        os.close(handle)
