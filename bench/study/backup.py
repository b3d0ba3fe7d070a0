"""A running study in one file, and back: design, images, key and every row of the database, whichever database it is, in one consistent state.

A backup holds the study's key and the encrypted ids of crowd workers: keep it where the study itself could be kept. It is read as data: a name
that is none of a study's is refused, nothing is run, and what was restored must be, row for row, what was saved.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, func, insert, select

from facesr.bench.errors import FaceSRError
from facesr.bench.reading import MIB, open_zip, parse_json, read_bytes, read_member
from facesr.bench.study import tables as t
from facesr.bench.study.address import FILE as ADDRESS
from facesr.bench.study.check import changed_files
from facesr.bench.study.database import connect, migrate, now, private, sqlite_url, writing
from facesr.bench.study.noted import note_database
from facesr.bench.study.study import Study, load_study

KIND, FORMAT = "facesr-study-backup", 1
ABOUT = "backup.json"
FILES = ("study.json", "secret.key", "past.json", ADDRESS)
PRIVATE = ("secret.key", "past.json")
NAMES = re.compile(rf"{ABOUT}|{'|'.join(map(re.escape, FILES))}|stimuli/[0-9a-f]{{32}}\.png|tables/[a-z_]{{1,40}}\.jsonl")
MOST = 8192 * MIB
"""Bytes of a whole backup when unpacked."""


def backup(study: Study, folder: Path, *, keep: int = 0) -> Path:
    """Save the study into a new file in ``folder``, restore it on trial, and only then remove all but the newest ``keep`` (0: none is removed).

    The file is readable by its owner alone. The server may run meanwhile: what is saved is the state of one moment.
    """
    if study.imported:
        raise FaceSRError(f"{study.path} holds imported ratings, which lie in files: copy the folder")
    if keep < 0:
        raise FaceSRError(f"--keep {keep}: keep at least 1 backup, or leave --keep out to keep them all")
    folder.mkdir(parents=True, exist_ok=True)
    stamp = re.sub(r"[-:]|\.\d+", "", now())
    file = folder / f"{_plain(study.name)}-{stamp}.zip"
    part = folder / f".{file.name}.{secrets.token_hex(4)}.part"
    try:
        private(part)
        _write(study, part)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".trial-") as trial:
            restore(part, Path(trial) / "study").close()
        if file.exists():
            raise FaceSRError(f"{file} exists already: try again in a second")
        part.rename(file)
    finally:
        part.unlink(missing_ok=True)
    old = sorted(f for f in folder.iterdir() if re.fullmatch(re.escape(_plain(study.name)) + r"-\d{8}T\d{6}Z\.zip", f.name))
    for each in old[:-keep] if keep else ():
        each.unlink()
    return file


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def _write(study: Study, file: Path) -> None:
    _ = study.secret  # made now if nobody needed it yet: without it crowd workers would not be known again
    dumped = dump(study.engine)
    about = {
        "kind": KIND,
        "format": FORMAT,
        "made": now(),
        "study": study.name,
        "digest": study.digest,
        "tables": {name: hashlib.sha256(data).hexdigest() for name, data in dumped.items()},
    }
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(ABOUT, json.dumps(about, indent=1))
        for name in FILES:
            if (study.path / name).is_file():
                archive.writestr(name, read_bytes(study.path / name))
        for stimulus in study.design.stimuli:  # PNG is packed already
            archive.writestr(f"stimuli/{stimulus.name}.png", read_bytes(study.stimulus_path(stimulus.name)), zipfile.ZIP_STORED)
        for name, data in dumped.items():
            archive.writestr(f"tables/{name}.jsonl", data)


def dump(engine: Engine) -> dict[str, bytes]:
    """Every table as lines of JSON, all of one moment: SQLite's read transaction is a snapshot, PostgreSQL is asked for one."""
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with engine.connect() as connection:
        return {table.name: b"".join(_lines(connection, table)) for table in t.metadata.sorted_tables}


def _lines(connection: Connection, table: Table) -> Iterable[bytes]:
    for row in connection.execute(select(table).order_by(*table.primary_key)):
        yield json.dumps(dict(row._mapping), ensure_ascii=False, sort_keys=True).encode() + b"\n"


def restore(file: Path, out: Path, database: str | None = None) -> Study:
    """Make the study of a backup again in the new folder ``out``, in SQLite or in the empty PostgreSQL database ``database``.

    Raises ``FaceSRError`` where the file is no backup, is damaged, or what was restored is not what was saved; then ``out`` is not there.
    """
    if out.exists():
        raise FaceSRError(f"{out} exists already: a study is never overwritten; choose another --out")
    part = out.with_name(f".{out.name}.{secrets.token_hex(4)}.part")
    try:
        (part / "stimuli").mkdir(parents=True)
        about, dumped = _unpack(file, part)
        study = load_study(part, database or sqlite_url((part / "ratings.db").resolve()))
        if study.imported or study.digest != about["digest"]:
            raise FaceSRError(f"{file} is damaged: its design is not the one it was made of")
        engine = connect(study.url)
        try:
            _fill(engine, dumped, file)
            _compare(dump(engine), dumped, file)
        finally:
            engine.dispose()
        if wrong := changed_files(study):
            raise FaceSRError(f"{file} is damaged: {wrong[0]}")
        if database:
            note_database(part, study.digest, database)
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return load_study(out)


def _unpack(file: Path, part: Path) -> tuple[Mapping[str, Any], dict[str, bytes]]:
    """Files to ``part``, tables to memory; every name and size is checked before anything is written."""
    dumped: dict[str, bytes] = {}
    with open_zip(file) as archive:
        members = archive.infolist()
        names = [m.filename for m in members]
        strange = [n for n in names if not NAMES.fullmatch(n)]
        if strange or ABOUT not in names or "study.json" not in names or len(set(names)) < len(names):
            why = f"it holds {strange[0]!r}" if strange else "parts of it are missing or there twice"
            raise FaceSRError(f"{file} is no backup of a study ({why}): 'facesr study backup STUDY --to FOLDER' makes one")
        if sum(m.file_size for m in members) > MOST:
            raise FaceSRError(f"{file} would have more than {MOST // MIB:,} MiB when unpacked")
        about = _about(parse_json(_member(archive, ABOUT, file).decode("utf-8", "replace"), f"{file}, {ABOUT}"), file)
        for name in names:
            data = b"" if name == ABOUT else _member(archive, name, file)
            if name.startswith("tables/"):
                dumped[name[len("tables/") : -len(".jsonl")]] = data
            elif name in PRIVATE:
                private(part / name, data.decode("utf-8", "replace"))
            elif name != ABOUT:
                (part / name).write_bytes(data)
    for name, wanted in about["tables"].items():
        if hashlib.sha256(dumped.get(name, b"")).hexdigest() != wanted:
            raise FaceSRError(f"{file} is damaged: the table {name!r} is not the one that was saved")
    return about, dumped


def _member(archive: zipfile.ZipFile, name: str, file: Path) -> bytes:
    try:
        return read_member(archive, archive.getinfo(name))
    except FaceSRError as error:
        raise FaceSRError(f"{file}, {name}: {error}") from None


def _about(found: Any, file: Path) -> Mapping[str, Any]:
    good = isinstance(found, dict) and found.get("kind") == KIND and isinstance(found.get("digest"), str)
    if not good or not isinstance(found.get("tables"), dict) or not all(isinstance(v, str) for v in found["tables"].values()):
        raise FaceSRError(f"{file} is no backup of a study: its {ABOUT} is not one")
    if found.get("format") != FORMAT:
        raise FaceSRError(
            f"{file} has layout version {found.get('format')}, this facesr reads {FORMAT}: restore it with the one that made it"
        )
    if strange := sorted(set(found["tables"]) - set(t.metadata.tables)):
        raise FaceSRError(f"{file} was made by a newer facesr: it has a table {strange[0]!r}; restore it with that one")
    return dict(found)


def _fill(engine: Engine, dumped: Mapping[str, bytes], file: Path) -> None:
    migrate(engine)
    with writing(engine) as connection:
        if (there := connection.execute(select(t.study.c.name)).scalar_one_or_none()) is not None:
            raise FaceSRError(f"this database already holds the study {there!r}: one study, one database; create another one")
        for table in t.metadata.sorted_tables:
            # bytes: as text, splitlines would also cut at U+2028 and its like, which JSON leaves as they are
            rows = [_row(line.decode("utf-8", "replace"), table, file) for line in dumped.get(table.name, b"").splitlines()]
            for start in range(0, len(rows), 1000):
                connection.execute(insert(table), rows[start : start + 1000])
            if rows and engine.dialect.name == "postgresql" and "id" in table.c:
                _advance(connection, table)


def _row(line: str, table: Table, file: Path) -> dict[str, Any]:
    """One row; a column that an older facesr did not have is empty."""
    row = parse_json(line, f"{file}, {table.name}")
    if not isinstance(row, dict):
        raise FaceSRError(f"{file} is damaged: {table.name} has the row {line[:40]!r}")
    if strange := sorted(set(row) - set(table.c.keys())):
        raise FaceSRError(f"{file} was made by a newer facesr: {table.name} has a column {strange[0]!r}; restore it with that one")
    return {name: row.get(name) for name in table.c.keys()}  # noqa: SIM118 - a collection of columns


def _advance(connection: Connection, table: Table) -> None:
    """PostgreSQL counts ids by itself, and does not see those that are given: the next row would take one that is there."""
    sequence = connection.execute(select(func.pg_get_serial_sequence(table.name, "id"))).scalar_one_or_none()
    if sequence is not None:
        connection.execute(select(func.setval(sequence, select(func.max(table.c.id)).scalar_subquery())))


def _compare(restored: Mapping[str, bytes], saved: Mapping[str, bytes], file: Path) -> None:
    """Row for row; columns that an older facesr did not have are not compared."""
    for name, data in saved.items():
        old, new = ([json.loads(line) for line in side.splitlines()] for side in (data, restored[name]))
        same = len(old) == len(new) and all(a.items() <= b.items() for a, b in zip(old, new, strict=True))
        if not same:
            raise FaceSRError(f"{file}: the table {name!r} is not what was saved after it was restored; nothing was kept")
