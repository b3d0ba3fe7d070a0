"""What can still be read of a damaged database, saved into a new study folder."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Table
from sqlalchemy.engine import make_url

from facesr.bench.errors import FaceSRError
from facesr.bench.study import tables as t
from facesr.bench.study.create import fill_database
from facesr.bench.study.database import connect, sqlite_url
from facesr.bench.study.noted import NOTE
from facesr.bench.study.study import load_study

KEPT = (t.rater, t.token, t.rating, t.correction, t.presentation, t.event, t.exclusion, t.served, t.submission, t.given, t.closing)
"""Tables whose rows cannot be made again; stimuli and plan follow from the design."""


def rescue(folder: Path, out: Path, database: str | None = None) -> dict[str, tuple[int, int]]:
    """Save what can be read of a study with a damaged SQLite file into ``out``, a new folder; nothing in ``folder`` is touched.

    Stimuli and plan are made again from the frozen design. Returns rows saved and lost (unreadable, or against the database's rules) by table.
    """
    if out.exists():
        raise FaceSRError(f"{out} exists already: what is rescued goes into a new folder")
    study = load_study(folder, database)
    file = Path(make_url(study.url).database or "")
    if not study.url.startswith("sqlite") or not file.is_file():
        raise FaceSRError(f"{folder}: only an SQLite file can be rescued, and {file or study.url} is none")
    if study.design.pairs == "adaptive":
        raise FaceSRError(f"{folder} has adaptive pairs, whose plan is in the database alone: put it back from a copy")
    shutil.copytree(folder, out, ignore=_not_copied)
    engine = connect(sqlite_url((out / "ratings.db").resolve()))
    try:
        fill_database(engine, study.design, study.design.rows(), study.digest)
    finally:
        engine.dispose()
    with (
        closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(out / "ratings.db")) as target,
    ):
        target.execute("PRAGMA foreign_keys=ON")
        return {table.name: _copy(source, target, table) for table in KEPT}


def _not_copied(folder: str, names: list[str]) -> set[str]:
    """The database, which is saved row by row, and what is no file of its own: a link may lead anywhere, a pipe never ends."""
    own = shutil.ignore_patterns("ratings.db*", NOTE)(folder, names)
    paths = {name: Path(folder, name) for name in names}
    return own | {n for n, p in paths.items() if p.is_symlink() or not (p.is_file() or p.is_dir())}


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, table: Table) -> tuple[int, int]:
    saved = lost = 0
    names = _columns(source, table)
    marks = ", ".join("?" * len(names))
    for values in _rows(source, table.name, names):
        try:
            if values is None:
                raise sqlite3.DatabaseError
            target.execute(f'INSERT INTO "{table.name}" ({", ".join(names)}) VALUES ({marks})', values)
            saved += 1
        except sqlite3.Error:
            lost += 1
    target.commit()
    return saved, lost


def _columns(source: sqlite3.Connection, table: Table) -> list[str]:
    """The table's columns that the damaged file has: one of an older layout lacks some, or the whole table."""
    wanted = [c.name for c in table.columns]
    try:
        there = {str(row[1]) for row in source.execute(f'PRAGMA table_info("{table.name}")')}
    except sqlite3.Error:
        return wanted
    return [name for name in wanted if name in there]


def _rows(source: sqlite3.Connection, name: str, columns: list[str]) -> Iterator[tuple[Any, ...] | None]:
    """Row by row by its number, so that a damaged page costs its own rows only; None for a row that cannot be read."""
    if not columns:
        return
    chosen = ", ".join(f'"{c}"' for c in columns)
    try:
        rows = source.execute(f'SELECT {chosen} FROM "{name}"').fetchall()
    except sqlite3.Error:
        pass
    else:
        yield from rows
        return
    number, silent = 0, 0
    while silent < 20_000:
        number += 1
        try:
            row = source.execute(f'SELECT {chosen} FROM "{name}" WHERE rowid = ?', (number,)).fetchone()
        except sqlite3.Error:
            silent += 1
            yield None
            continue
        silent = 0 if row is not None else silent + 1
        if row is not None:
            yield row
