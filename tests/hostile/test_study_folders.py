"""A study folder from somebody else, or from a bad disk: its design, plan and texts, its database, its images, an import's tables. Read,
watched, checked, exported and analysed, it ends in a right result or one sentence; nothing in it is written through, connected to or run."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from facesr.bench.errors import FaceSRError
from facesr.bench.study import load_study
from facesr.bench.study.analysis import analyse_study
from facesr.bench.study.check import check_ratings
from facesr.bench.study.design import with_digest
from facesr.bench.study.export import export
from facesr.bench.study.imports import into_study
from facesr.bench.study.simulate import simulate
from facesr.bench.study.watching import overview
from facesr.reports.analysis import render_analysis as render
from fake_study import small_study
from hostile.campaign import NASTY, TIMES, Outcome, changed, check, damage, mutated, peak, reset_peak

ROWS = "\n".join(
    f"r{r},f{f},{c},{1 + (r + f + k) % 5}" for r in range(5) for f in range(4) for k, c in enumerate(("hr", "psp", "bicubic"))
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that simulated raters finished, and one that was imported."""
    home = tmp_path_factory.mktemp("studies")
    study = small_study(home)
    simulate(study, 3)
    study.close()
    (home / "ratings.csv").write_text(f"rater,face,condition,score\n{ROWS}\n")
    into_study(home / "ratings.csv", home / "imported")
    return home


def _read(folder: Path) -> Any:
    """What organisers do with a study, all of it."""
    study = load_study(folder)
    try:
        said = "" if study.imported else overview(study).text()
        simulated = not study.imported
        found = analyse_study(study, simulated=simulated, peek=not simulated)
        table = study.ratings(simulated=simulated)
        shutil.rmtree(folder.parent / "export", ignore_errors=True)
        export(study, folder.parent / "export", simulated=simulated)
        findings = [str(f) for f in check_ratings(folder)]
        return said, render(found, "md"), len(table), findings
    finally:
        study.close()


def _copy(world: Path, to: Path, name: str) -> Path:
    to.mkdir(parents=True, exist_ok=True)
    shutil.copytree(world / name, to / name)
    return to / name


def _nasty_json(world: Path, to: Path, name: str, tries: int, seal: bool = False) -> Outcome:
    """``study.json`` with nasty values in its places: the digest says that it changed. ``seal``: somebody took the digest anew.

    What is read must be what was written: changed values are read only under a new digest, and then they must be sound.
    """
    reset_peak()
    outcome = Outcome(f"study.json of {name}, nasty values{', sealed' if seal else ''}")
    folder = _copy(world, to, name)
    plain = json.loads((folder / "study.json").read_text())
    for seed in range(tries * TIMES):
        nasty = changed(plain, random.Random(f"{name}/{seed}"))
        if seal:
            with suppress(FaceSRError):  # text that is no Unicode has no digest
                nasty = with_digest({k: v for k, v in nasty.items() if k != "digest"})
        (folder / "study.json").write_text(json.dumps(nasty))
        same = seal or nasty == plain
        outcome.one(f"seed {seed}", lambda: _read(folder), lambda _, same=same: same)
    outcome.peak = peak()
    return outcome


def _damaged(world: Path, to: Path, name: str, file: str, tries: int) -> Outcome:
    """A file's bytes mutated; the others are sound."""
    folder = _copy(world, to, name)
    place = next(folder.glob(file))
    sound = place.read_bytes()

    def read(path: Path) -> Any:
        for other in folder.glob(f"{place.name}-*"):  # the log of the database that was there before
            other.unlink()
        return _read(folder)

    return damage(f"{file.rpartition('/')[2]} of a {'study' if name == 'study' else 'imported study'}", sound, read, place, tries)


def _nasty_rows(world: Path, to: Path, tries: int) -> Outcome:
    """The database with nasty values in its rows, and other people's triggers."""
    reset_peak()
    outcome = Outcome("rows of a study's database")
    folder = _copy(world, to, "study")
    database = next(folder.glob("ratings.db"))
    sound = database.read_bytes()
    for seed in range(tries * TIMES):
        rng = random.Random(f"rows/{seed}")
        for other in folder.glob(f"{database.name}*"):
            other.unlink()
        database.write_bytes(sound)
        with closing(sqlite3.connect(database)) as db:
            names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for _ in range(rng.randint(1, 3)):
                table = rng.choice(names)
                column = rng.choice([row[1] for row in db.execute(f"PRAGMA table_info({table})")] or ["rowid"])
                value = rng.choice(
                    [v for v in NASTY if isinstance(v, int | float | str | None) and (type(v) is not int or abs(v) < 2**63)]
                )
                value = value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
                try:
                    db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid % 3 = {rng.randrange(3)}", (value,))
                except sqlite3.Error:
                    continue
            if rng.random() < 0.2:
                db.execute(f"CREATE TRIGGER t{seed} AFTER INSERT ON {rng.choice(names)} BEGIN DELETE FROM rating; END")
            db.commit()
        outcome.one(f"seed {seed}", lambda: _read(folder))
    outcome.peak = peak()
    return outcome


CAMPAIGNS: dict[str, Callable[[Path, Path], Outcome]] = {
    "design": lambda world, to: _nasty_json(world, to, "study", 40),
    "imported design": lambda world, to: _nasty_json(world, to, "imported", 20),
    "sealed design": lambda world, to: _nasty_json(world, to, "study", 10, seal=True),
    "sealed imported design": lambda world, to: _nasty_json(world, to, "imported", 20, seal=True),
}


def _campaign(name: str, world: Path, to: Path) -> Outcome:
    if name in CAMPAIGNS:
        return CAMPAIGNS[name](world, to)
    if name == "rows":
        return _nasty_rows(world, to, 15)
    folder, file, tries = {
        "bytes of study.json": ("study", "study.json", 15),
        "bytes of the database": ("study", "ratings.db", 60),
        "bytes of the ratings": ("imported", "ratings.parquet", 40),
    }[name]
    return _damaged(world, to, folder, file, tries)


@pytest.mark.parametrize("name", [*CAMPAIGNS, "rows", "bytes of study.json", "bytes of the database", "bytes of the ratings"])
def test_studies_end_in_a_result_or_one_sentence(name: str, world: Path, tmp_path: Path, fresh: ProcessPoolExecutor) -> None:
    check(fresh.submit(_campaign, name, world, tmp_path / "c").result())


def test_a_link_in_a_study_is_not_written_through(world: Path, tmp_path: Path) -> None:
    folder = _copy(world, tmp_path, "study")
    victim = tmp_path / "victim"
    victim.write_text("mine")
    rng = random.Random(0)
    for file in ("study.json.part", "url", "simulated", "closed.json", "peeks.log", "export"):
        if not (folder / file).exists():
            (folder / file).symlink_to(victim)
    try:
        _read(folder)
    except Exception as error:  # noqa: BLE001 - a sentence is as good
        assert type(error).__name__ == "FaceSRError", error
    assert victim.read_text() == "mine" and mutated(b"x", rng)
