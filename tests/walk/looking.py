"""What the walk over every option sees of a command: exit code, what it prints, what it writes, without the clock and without chance."""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import re
import secrets
import shlex
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from facesr.bench.study import database
from facesr.cli import main, whole_parser

CHANCE = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?([+-]\d\d:\d\d|Z)?"  # times
    r"|\b\d+(\.\d+)?(e-\d+)? ?(s|ms|min|seconds)\b|\"seconds\": [\d.]+|[\d.]+ steps/s  ETA [\d:]+|, [\d.]+ min;"  # durations
    r"|/r/[\w-]{16,}|\b[0-9a-f]{16,}\b"  # personal links, hashes of what has a time in it
)
ASKED = {"run.json": ("command", "seed", "calls", "environment", "protocol", "title", "digest"), "study.json": ("*",)}
ASKED |= {"summary.json": ("minutes_this_call",)}
"""What a file repeats of the request itself, or of the clock: no effect."""
REPEATED = ("recipe.toml", "made-for.json")
"""Files that do nothing but repeat the request: what a training writes of its recipe is different for every key, whether it acts or not."""
CLOCK = ("seconds", "memory", "checksum", "token", "at", "created", "secret", "code", "salt", "stamp", "facts", "sealed")
"""Columns of tables that no two calls have alike."""


@dataclass(frozen=True)
class Refused:
    """The words are refused, with these words in the sentence: the option cannot be shown to act on every machine, or only together."""

    words: str
    says: str


@dataclass(frozen=True)
class Seen:
    """What came of a command."""

    code: int
    said: str
    files: dict[str, str]


Case = tuple[str, str, str | Refused]
"""A line, the words without the option, and the words with it; ``{}`` in the line is where they go, else its end."""


def acts(case: Case, of: Callable[[str], Seen], before: dict[str, Seen], refusal_shows: bool = False) -> None:
    """Assert that the words change what ``of`` the line is seen, or are refused; ``before``: what lines without the words gave."""
    line, without, words = case

    def whole(part: str) -> str:
        return line.replace("{}", part, 1) if "{}" in line else f"{line} {part}".strip()

    if isinstance(words, Refused):
        found = of(whole(words.words))
        assert found.code == 2 and words.says in found.said, found.said
        return
    key = whole(without)
    if key not in before:
        before[key] = of(key)
        assert of(key) == before[key], "a line that is different each time shows nothing"
    found = of(whole(words))
    assert found != before[key], f"{words} is accepted and does nothing:\n{found.said}"
    assert found.code != 2 or (refusal_shows and before[key].code != 2), found.said


def how_ratings_are_read(command: str, line: str) -> dict[str, Case]:
    """The options by which a file of ratings is read; ``line`` reads ``ratings.csv``, the others are files that need the option."""

    def of(name: str) -> str:
        return line.replace("ratings.csv", f"{name}.csv")

    return {
        f"{command} --map": (of("named"), "", "--map score=second"),
        f"{command} --labels": (of("words"), "", "--labels awful=1,poor=2,fair=3,good=4,great=5"),
        f"{command} --missing": (line, "", "--missing 3"),
        f"{command} --reverse": (line, "", "--reverse"),
        f"{command} --layout": (line, "", Refused("--layout nosuch", "nosuch")),
        f"{command} --sheet": (line, "", Refused("--sheet second", "sheet")),
        f"{command} --rating-type": (of("kinds"), "", Refused("--rating-type beauty", "of an AVrate file")),
    }


def options(command: str = "") -> Iterator[str]:
    """Every option and positional of every command, as in ``run --limit`` and ``data prepare dataset``."""
    yield from (place for place in _walk(whole_parser(), []) if place.startswith(command))


def _walk(parser: argparse.ArgumentParser, path: list[str]) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, one in action.choices.items():
                yield from _walk(one, [*path, name])
        elif path:
            name = action.option_strings[-1] if action.option_strings else action.dest
            if name not in ("--help", "--quiet", "--verbose"):
                yield " ".join([*path, name])


def look(
    line: str, world: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    others: Mapping[str, Callable[[Path], None]] | None = None,
) -> Seen:  # fmt: skip
    """Carry out a command line (several with ``&&``) in a fresh copy of ``world``; the code is the highest. ``others``: what
    words that are no commands do with the folder they name."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(world, place, symlinks=True)
    monkeypatch.chdir(place)
    before = files(place)
    _no_chance(monkeypatch)
    capsys.readouterr()
    code = 0
    for part in line.split(" && "):
        first, *rest = shlex.split(part)
        try:
            if others and first in others:
                if code == 0:
                    others[first](place / rest[0])
            else:
                code = max(code, main([first, *rest]))
        except SystemExit as stop:
            code = max(code, int(str(stop.code or 0)))
    printed = capsys.readouterr()
    now = files(place)
    changed = {name: content for name, content in now.items() if before.get(name) != content}
    changed |= {name: "gone" for name in before if name not in now}
    return Seen(code, _plain(printed.out + printed.err, place), changed)


def _no_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and tokens that are drawn, and a study's clock, which goes on by a second whenever it is read: the same in each look."""
    drawn, ticks = itertools.count(), itertools.count()
    monkeypatch.setattr(database, "clock", lambda: datetime(2040, 1, 1, tzinfo=UTC) + timedelta(seconds=next(ticks)))

    def token(size: int | None = None) -> str:
        return hashlib.sha512(f"{next(drawn)}".encode()).hexdigest()[: 2 * (size or 32)]

    for name in ("token_hex", "token_urlsafe"):
        monkeypatch.setattr(secrets, name, token)


def _plain(text: str, place: Path) -> str:
    return CHANCE.sub("#", text.replace(str(place), "W"))


def files(place: Path) -> dict[str, str]:
    """Every file by a digest of what is in it, without clock and chance."""
    found = {}
    for file in sorted(place.rglob("*")):
        if (
            file.is_file()
            and file.name not in REPEATED
            and file.suffix not in (".lock", ".log")
            and "tfevents" not in file.name
            and not file.name.endswith(("-wal", "-shm"))
        ):
            content = hashlib.sha256(_content(file, place)).hexdigest()[:12]
            name = CHANCE.sub("#", file.relative_to(place).as_posix())
            found[f"{name} {content}" if "#" in name else name] = content
    return found


def _content(file: Path, place: Path) -> bytes:
    if file.is_symlink():  # to something large outside: nothing that a command wrote
        return str(file.readlink()).encode()
    data = file.read_bytes()
    if data.startswith(b"SQLite format 3"):
        return _plain("\n".join(_rows(file)), place).encode()
    if file.suffix == ".zip" and zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            return b"".join(
                name.encode() + _plain(archive.read(name).decode("latin-1"), place).encode() for name in archive.namelist()
            )
    if file.suffix == ".safetensors":
        with safe_open(file, "np") as held:
            said = held.metadata() or {}
            told = [
                (k, v) for k, v in sorted({**said, **json.loads(said.get("facesr", "{}"))}.items()) if k not in ("facesr", "recipe")
            ]
            return repr((told, [(name, held.get_tensor(name).tobytes()) for name in sorted(held.keys())])).encode()
    if file.name in ASKED:
        plain = json.loads(data)
        if "*" in ASKED[file.name]:
            return b""
        data = json.dumps({k: v for k, v in plain.items() if k not in ASKED[file.name]}).encode()
    if file.suffix in (".parquet", ".png", ".npy", ".pdf", ".pt", ".pth"):
        return data
    return _plain(data.decode("utf-8", "replace"), place).encode()


def _rows(file: Path) -> Iterator[str]:
    db = sqlite3.connect(file)
    try:
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall():
            names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            kept = [n for n in names if not any(n == c or n.endswith(f"_{c}") for c in CLOCK)]
            if kept:
                rows: list[Any] = db.execute(
                    f"SELECT {', '.join(kept)} FROM {table} ORDER BY 1, 2"
                    if len(kept) > 1
                    else f"SELECT {kept[0]} FROM {table} ORDER BY 1"
                ).fetchall()
                yield f"{table} {rows}"
    finally:
        db.close()
