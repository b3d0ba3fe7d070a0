"""A run folder from somebody else, or from a bad disk: read, tabled and continued. Nothing in it is imported, run or written through."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from facesr.bench import protocol
from facesr.bench.data import manifest
from facesr.bench.data.dataset import from_manifest
from facesr.bench.errors import FaceSRError
from facesr.bench.registry import installed, method_specs
from facesr.bench.results import load_run
from facesr.bench.run import make_plan, start
from facesr.cli import main
from facesr.reports.tables import table_of
from helpers import TINY, faces
from hostile.campaign import NASTY, TIMES, Outcome, changed, check, damage, mutated, peak, reset_peak

FILES = ("run.json", "scores.parquet", "cells.sqlite")


def _go(world: Path, methods: tuple[str, ...] = ("bicubic",), out: str = "run") -> Any:
    known = installed("facesr.metrics")
    return start(
        make_plan(protocol.parse_protocol(TINY, metrics=known), method_specs(methods), world / out, data=str(world / "hr"))
    )


def _values(run: Any) -> set[tuple[Any, ...]]:
    """Image, method, scale, metric, value and status of every row."""
    columns = ("image", "method", "scale", "metric", "value", "status")
    return {tuple(None if v != v else v for v in row) for row in run.scores()[list(columns)].itertuples(index=False)}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two faces, and a finished run of two methods."""
    folder = tmp_path_factory.mktemp("hostile")
    faces(folder / "hr", 2)
    _go(folder, ("bicubic", "nearest"))
    return folder


def _read(run: Path) -> Any:
    """What every reader of a run does first."""
    found = load_run(run)
    table = table_of([run])
    return found, _values(found), found.failures(), list(found.hashes()), str(table.markdown()), str(table.latex())


def _copies(world: Path, to: Path) -> Path:
    to.mkdir(parents=True)
    shutil.copytree(world / "hr", to / "hr")
    shutil.copytree(world / "run", to / "run")
    return to


def _damaged_json(world: Path, to: Path, tries: int) -> Outcome:
    """``run.json`` with nasty values in its places: read, or refused."""
    reset_peak()
    outcome = Outcome("run.json, nasty values")
    home = _copies(world, to)
    plain = json.loads((home / "run/run.json").read_text())
    for seed in range(tries * TIMES):
        (home / "run/run.json").write_text(json.dumps(changed(plain, random.Random(seed))))
        outcome.one(f"seed {seed}", lambda: _read(home / "run"))
    outcome.peak = peak()
    return outcome


def test_damaged_run_json(world: Path, tmp_path: Path, fresh: ProcessPoolExecutor) -> None:
    check(fresh.submit(_damaged_json, world, tmp_path / "a", 60).result())
    home = _copies(world, tmp_path / "b")
    place = home / "run/run.json"
    check(fresh.submit(damage, "run.json, damaged bytes", place.read_bytes(), lambda_load, place, 120).result())


def lambda_load(path: Path) -> Any:
    """A run by its ``run.json``; picklable."""
    return load_run(path.parent)


def _damaged_scores(world: Path, to: Path, tries: int) -> Outcome:
    """``scores.parquet``: its values as they were, or refused; called again, all are right."""
    reset_peak()
    outcome = Outcome("scores.parquet")
    home = _copies(world, to)
    file = home / "run/scores.parquet"
    data, known = file.read_bytes(), _values(load_run(home / "run"))
    for seed in range(tries * TIMES):
        file.write_bytes(mutated(data, random.Random(seed)))
        outcome.one(f"seed {seed}", lambda: _values(load_run(home / "run")), known.__eq__)
        if seed % 10 == 0:
            outcome.one(f"seed {seed}, continued", lambda: _values(_go(home)), known.__eq__)
    outcome.peak = peak()
    return outcome


def _damaged_cells(world: Path, to: Path, tries: int) -> Outcome:
    """``cells.sqlite``: a run that is called again ends with the right values, and one that only reads takes no wrong one."""
    reset_peak()
    outcome = Outcome("cells.sqlite")
    home = _copies(world, to)
    file = home / "run/cells.sqlite"
    data, known = file.read_bytes(), _values(load_run(home / "run"))
    for seed in range(tries * TIMES):
        for name in ("scores.parquet", "cells.sqlite-wal", "cells.sqlite-shm"):
            (home / "run" / name).unlink(missing_ok=True)
        file.write_bytes(mutated(data, random.Random(seed)))
        outcome.one(f"seed {seed}, read", lambda: _values(load_run(home / "run")), known.issuperset)
        if seed % 5 == 0:
            outcome.one(f"seed {seed}, continued", lambda: _values(_go(home, ("bicubic", "nearest"))), known.__eq__)
    outcome.peak = peak()
    return outcome


@pytest.mark.parametrize(("act", "tries"), [(_damaged_scores, 40), (_damaged_cells, 25)])
def test_damaged_results(
    act: Callable[[Path, Path, int], Outcome], tries: int, world: Path, tmp_path: Path, fresh: ProcessPoolExecutor
) -> None:
    check(fresh.submit(act, world, tmp_path / "c", tries).result())


def _damaged_manifest(world: Path, to: Path, tries: int) -> Outcome:
    from facesr.bench.data.prepare import Request, prepare_data

    reset_peak()
    outcome = Outcome("manifest.json")
    prepare_data(Request("mine", world / "hr", size=32, out=to, workers=1))
    file = to / manifest.MANIFEST
    data, plain = file.read_bytes(), json.loads(file.read_text())
    for seed in range(tries * TIMES):
        rng = random.Random(seed)
        file.write_bytes(mutated(data, rng) if seed % 2 else json.dumps(changed(plain, rng)).encode())
        outcome.one(
            f"seed {seed}", lambda: from_manifest(to), lambda found: all(to.resolve() in f.path.parents for f in found.faces)
        )
    outcome.peak = peak()
    return outcome


def test_damaged_manifest(world: Path, tmp_path: Path, fresh: ProcessPoolExecutor) -> None:
    check(fresh.submit(_damaged_manifest, world, tmp_path / "m", 80).result())


# -- attacks -----------------------------------------------------------------------------------------------------------------------


def _everything(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and not p.is_symlink()
    }


def _label(home: Path, value: str) -> None:
    file = home / "run/run.json"
    plain = json.loads(file.read_text())
    plain["methods"][1]["label"] = value
    file.write_text(json.dumps(plain))


def _face(home: Path, value: str) -> None:
    file = home / "run/run.json"
    plain = json.loads(file.read_text())
    plain["faces"][0]["name"] = value
    file.write_text(json.dumps(plain))


def _link(home: Path, name: str, to: str) -> None:
    place = home / "run" / name
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
    place.symlink_to(home / "victim" / to)


def _hard(home: Path, name: str) -> None:
    """A file of the run is a hard link to the victim's."""
    place = home / "run" / name
    place.unlink()
    os.link(home / "victim" / "file", place)


def _cells(home: Path, sql: str) -> None:
    with closing(sqlite3.connect(home / "run/cells.sqlite")) as db, db:
        db.executescript(sql)
    db.close()


EVIL = "import pathlib, os\npathlib.Path(os.environ['FACESR_VICTIM'], 'ran').write_text('x')\n"


def _target(home: Path, target: str, **params: Any) -> None:
    (home / "evil.py").write_text(EVIL + "class M: pass\n")
    (home / "evil.toml").write_text('command = ["touch", "ran"]\ncwd = "victim"\n')
    file = home / "run/run.json"
    plain = json.loads(file.read_text())
    plain["methods"][1] |= {"target": target.format(home=home), "params": {k: str(v).format(home=home) for k, v in params.items()}}
    file.write_text(json.dumps(plain))


def _metric(home: Path) -> None:
    (home / "evil.py").write_text(EVIL + "class M: pass\n")
    file = home / "run/run.json"
    plain = json.loads(file.read_text())
    plain["metrics"][f"{home}/evil.py:M"] = {"label": "x"}
    plain["protocol"]["metrics"] = [{"name": f"{home}/evil.py:M", "conventions": {}}]
    file.write_text(json.dumps(plain))


HARD = ("scores.parquet", "sr/bicubic/000.png", "lr/000.png", "run.json", "cells.sqlite")
REPORTED = ("sr is a link", "lr/000.png is a link", "report.html is a link", "paper is a link", "cells name files outside")
ATTACKS: dict[str, Callable[[Path], None]] = {
    **{f"label {n!r}": (lambda home, n=n: _label(home, str(n))) for n in NASTY if isinstance(n, str)},
    **{f"face {n!r}": (lambda home, n=n: _face(home, str(n))) for n in NASTY if isinstance(n, str)},
    **{
        f"{name} is a link": (lambda home, name=name, to=to: _link(home, name, to))
        for name, to in (
            ("sr", "folder"), ("sr/bicubic", "folder"), ("lr", "folder"), ("sr/bicubic/000.png", "file"), ("lr/000.png", "file"),
            ("run.json", "run.json"), ("scores.parquet", "file"), ("cells.sqlite", "file"), ("run.log", "file"), (".lock", "file"),
            ("cells.sqlite-wal", "file"), ("cells.sqlite-shm", "file"), (".cells.sqlite.mended", "file"), ("status.json", "file"),
            ("samples", "folder"), ("report.html", "file"), ("paper", "folder"),
        )
    },
    **{f"{name} is a hard link": (lambda home, name=name: _hard(home, name)) for name in HARD},
    "cells name files outside": lambda home: _cells(home, "UPDATE restored SET image = '../../../victim/' || image"),
    "cells name methods outside": lambda home: _cells(home, "UPDATE restored SET method = '../../victim/' || method"),
    "cells with a trigger": lambda home: _cells(home, "CREATE TRIGGER t AFTER INSERT ON score BEGIN DELETE FROM score; END"),
    "cells with a trigger that lies": lambda home: _cells(
        home, "CREATE TRIGGER t AFTER INSERT ON restored BEGIN UPDATE restored SET method = '../../victim'; END"
    ),
    "cells are a view": lambda home: _cells(home, "ALTER TABLE score RENAME TO s; CREATE VIEW score AS SELECT * FROM s"),
    "cells attach": lambda home: _cells(home, "CREATE TABLE x AS SELECT 1; PRAGMA user_version = 99"),
    "a method is a file": lambda home: _target(home, "{home}/evil.py:M"),
    "a method is a program": lambda home: _target(home, "facesr.methods.command:Command", path="{home}/evil.toml"),
    "a method is a folder of the victim's": lambda home: _target(home, "facesr.methods.folder:Folder", path="{home}/victim"),
    "an installed method with a checkpoint": lambda home: _target(home, "facesr.methods.psp:PSP", checkpoint="{home}/victim/file"),
    "a metric is a file": _metric,
}  # fmt: skip


def _acts(home: Path) -> Iterator[tuple[str, Callable[[], Any], Callable[[Any], bool]]]:
    run = home / "run"
    yield "read", lambda: _read(run), lambda found: True
    yield "continued", lambda: _whole(home), bool
    yield "report", lambda: _called("report", str(run), "--faces", "000"), lambda code: code in (0, 1)


def _whole(home: Path) -> bool:
    """The run called again with one more method (by a file of its own): finished, with a row for every cell of this call."""
    run = _go(home, ("bicubic", f"more={home / 'more.py'}:More"))
    rows = {(row[0], row[1], row[3]) for row in _values(run)}
    wanted = {(f.name, m, metric) for f in run.faces for m in ("bicubic", "more") for metric in run.metrics}
    return not run.running and rows >= wanted


MORE = """
from facesr.bench.imaging import resize
from facesr.bench.method import Method
class More(Method):
    def restore(self, lr, names=()):
        return resize(lr, self.size, "box").clamp(0, 1)
"""


def _called(*words: str) -> int:
    """A command, whose refusal is an error here as everywhere."""
    code = main(list(words))
    if code == 2:
        raise FaceSRError("refused")
    return code


def _attacked(world: Path, to: Path, names: list[str]) -> Outcome:
    reset_peak()
    outcome = Outcome("run folders, attacks")
    for i, name in enumerate(names):
        home = _copies(world, to / str(i))
        (home / "victim/folder").mkdir(parents=True)
        (home / "victim/file").write_bytes(b"precious")
        (home / "more.py").write_text(MORE)
        shutil.copy(world / "run/run.json", home / "victim/run.json")
        os.environ["FACESR_VICTIM"] = str(home / "victim")
        ATTACKS[name](home)
        before = _everything(home / "victim"), _everything(home / "hr")
        for what, act, right in _acts(home):
            if what == "report" and name not in REPORTED:  # the slowest
                continue
            outcome.one(f"{name}, {what}", act, right)
            if (_everything(home / "victim"), _everything(home / "hr")) != before:
                outcome.fell.append(f"{name}, {what}: written outside, or run")
                break
        shutil.rmtree(home)
    outcome.peak = peak()
    return outcome


def test_attacks(world: Path, tmp_path: Path, fresh: ProcessPoolExecutor) -> None:
    check(fresh.submit(_attacked, world, tmp_path, list(ATTACKS)).result())


@pytest.mark.parametrize("kind", ["lr", "sr/bicubic"])
def test_a_folder_that_is_no_run_keeps_its_images(kind: str, world: Path, tmp_path: Path) -> None:
    home = tmp_path / "dataset"
    mine = home / kind / "000.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(FaceSRError, match="is no run"):
        _go(world, ("bicubic",), str(home))
    assert mine.read_bytes() == b"mine"
    assert [p.name for p in home.iterdir()] == [kind.partition("/")[0]]
