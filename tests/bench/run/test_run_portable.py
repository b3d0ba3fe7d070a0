"""Keys of content only, a derived table that cannot be stale, run folders of strangers, errors that leave a trace."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from facesr.bench import protocol, registry
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import read_rgb, write_png
from facesr.bench.results import Run, Status, load_run
from facesr.bench.results.cells import Cells, ScoreCell, SrCell
from facesr.bench.run import make_plan, start
from helpers import TINY, faces, picture

MINE = '''
from pathlib import Path
import {module} as helper
from facesr.bench.imaging import resize
from facesr.bench.method import Method

class Mine(Method):
    """Bicubic, brighter by what the module beside says; marks every call."""
    batch_size = 2
    def __init__(self, *, log, checkpoint="", **more):
        super().__init__(**more)
        self.log = log
    def restore(self, lr, names=()):
        with (Path(self.log) / "calls").open("a") as file:
            file.write("x\\n")
        return resize(lr, self.size, "bicubic-matlab") * helper.GAIN
'''
METRIC = '''
import numpy as np
from facesr.bench.metrics import Metric

class MAE(Metric):
    """Mean absolute error times a factor."""
    name, label, higher_is_better, conventions, source = "mae", "MAE", False, "own", "own"
    def score(self, sr, batch, reference):
        return list(np.abs(sr / 255 - batch.hr / 255).mean((1, 2, 3)) * {factor})
'''


@pytest.fixture
def world(tmp_path: Path) -> Path:
    faces(tmp_path / "a/hr")
    (tmp_path / "a/mine.py").write_text(MINE.format(module="gain_of_mine"))
    (tmp_path / "a/gain_of_mine.py").write_text("GAIN = 0.5\n")
    (tmp_path / "a/net.pt").write_bytes(b"weights")
    (tmp_path / "log").mkdir()
    return tmp_path


def _go(place: Path, log: Path, *methods: str, settings: tuple[str, ...] = (), out: str = "run", **more: object) -> Run:
    wanted = methods or (f"{place / 'mine.py'}:Mine", "nearest")
    given = settings or (f"mine.log={log}", f"mine.checkpoint={place / 'net.pt'}")
    text = protocol.parse_protocol(TINY, metrics=registry.installed("facesr.metrics"))
    plan = make_plan(text, registry.method_specs(wanted, given), place / out, data=str(place / "hr"), **more)  # type: ignore[arg-type]
    return start(plan)


def _calls(log: Path) -> int:
    return len((log / "calls").read_text().splitlines()) if (log / "calls").exists() else 0


def _times(run: Path) -> dict[str, int]:
    return {str(p.relative_to(run)): p.stat().st_mtime_ns for p in run.rglob("*.p*") if p.suffix in (".png", ".parquet")}


def test_a_copy_elsewhere_recomputes_nothing(world: Path) -> None:
    log = world / "log"
    first = _go(world / "a", log)
    assert _calls(log) == 3
    shutil.copytree(world / "a", world / "b/deeper")
    shutil.rmtree(world / "a")
    (world / "b/deeper/mine.py").rename(world / "b/deeper/other.py")
    (world / "b/deeper/net.pt").rename(world / "b/deeper/renamed.pt")
    before = _times(world / "b/deeper/run")
    place = world / "b/deeper"
    settings = (f"mine.log={log}", f"mine.checkpoint={place / 'renamed.pt'}")
    again = _go(place, log, f"mine={place / 'other.py'}:Mine", "nearest", settings=settings)
    assert _calls(log) == 3
    assert _times(world / "b/deeper/run") == before
    assert again.digest == first.digest
    assert again.hr_path("001") == place / "run/../hr/001.png"


def test_hr_is_found_again_by_its_sha256(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _go(world / "a", world / "log", "nearest", settings=("nearest.seed=0",))
    shutil.copytree(world / "a/run", world / "elsewhere")
    (world / "a").rename(world / "gone")
    moved = load_run(world / "elsewhere")
    assert not moved.hr_path("001").is_file()
    shutil.copytree(world / "gone/hr", world / "elsewhere/hr")
    write_png(world / "elsewhere/hr/002.png", picture(50))
    assert (moved.hr_path("001").read_bytes()) == (world / "gone/hr/001.png").read_bytes()
    assert run.faces[2].sha256 != ""
    monkeypatch.chdir(world)  # a folder of the data set's name in the working folder
    shutil.copytree(world / "gone/hr", world / "hr")
    assert moved.hr_path("002").resolve() == (world / "hr/002.png").resolve()


def test_modules_beside_count_and_are_not_mixed_up(world: Path) -> None:
    log = world / "log"
    dark = read_rgb(_go(world / "a", log).sr_path("mine", "000", 8)).mean()
    (world / "a/gain_of_mine.py").write_text("GAIN = 1.00\n")
    bright = read_rgb(_go(world / "a", log).sr_path("mine", "000", 8)).mean()
    assert bright > 1.8 * dark
    other = world / "other"
    other.mkdir()
    (other / "mine.py").write_text(MINE.format(module="gain_of_mine"))
    (other / "gain_of_mine.py").write_text("GAIN = 0.250\n")
    run = _go(world / "a", log, f"x={other / 'mine.py'}:Mine", settings=(f"x.log={log}",), out="third")
    assert abs(read_rgb(run.sr_path("x", "000", 8)).mean() - dark / 2) < 1


def test_an_edited_metric_is_not_stale(world: Path) -> None:
    metric = f"{world / 'm.py'}:MAE"
    found = []
    for factor in (100, 1):
        (world / "m.py").write_text(METRIC.format(factor=factor))
        frame = _go(world / "a", world / "log", "nearest", settings=("nearest.seed=0",), metrics=[metric]).scores()
        found.append(frame[frame.metric == "mae"].value.mean())
    assert found[1] == pytest.approx(found[0] / 100)


def test_a_script_that_a_command_names_counts(world: Path) -> None:
    script = "import sys, pathlib, shutil\nfrom PIL import Image\nimport beside_it\nfor f in pathlib.Path(sys.argv[1]).iterdir():\n"
    script += "    Image.open(f).resize((64, 64)).point(lambda v: v * beside_it.GAIN).save(pathlib.Path(sys.argv[2]) / f.name)\n"
    (world / "sr.py").write_text(script)
    (world / "t.toml").write_text(f'command = ["{sys.executable}", "sr.py", "{{input}}", "{{output}}"]\n')
    levels = []
    for gain in ("1.0", "0.50"):  # of another length: Python trusts a compiled module of the same second and size
        (world / "beside_it.py").write_text(f"GAIN = {gain}\n")
        run = _go(world / "a", world / "log", f"c=command:{world / 't.toml'}", settings=("c.seed=0",))
        levels.append(read_rgb(run.sr_path("c", "000", 8)).mean())
    assert levels[1] == pytest.approx(levels[0] / 2, abs=1)


def test_the_table_is_current_when_it_holds_the_digest_of_the_cells(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the last cell of a second call: the table must not lack that call's method for ever."""
    _go(world / "a", world / "log", "bicubic", settings=("bicubic.seed=0",))

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("facesr.bench.run.finish", killed)
    with pytest.raises(KeyboardInterrupt):
        _go(world / "a", world / "log", "nearest", settings=("nearest.seed=0",))
    monkeypatch.undo()
    half = load_run(world / "a/run")
    assert half.running
    assert set(half.scores().method) == {"bicubic", "nearest"}  # what the cells say, not the older table
    run = _go(world / "a", world / "log", "nearest", settings=("nearest.seed=0",))
    assert not run.running
    assert set(run.scores().method) == {"bicubic", "nearest"}


@pytest.mark.parametrize("damage", ["cut", "flipped", "noise", "gone"])
def test_a_damaged_table_is_made_again(world: Path, damage: str) -> None:
    run = _go(world / "a", world / "log", "bicubic", settings=("bicubic.seed=0",))
    file, good = world / "a/run/scores.parquet", (world / "a/run/scores.parquet").read_bytes()
    spoilt = {"cut": good[:-9], "noise": b"PAR1", "flipped": good[:40] + bytes([good[40] ^ 1]) + good[41:], "gone": b""}[damage]
    file.write_bytes(spoilt)
    with pytest.raises(FaceSRError, match="call the run again to rebuild it"):
        run.scores()
    _go(world / "a", world / "log", "bicubic", settings=("bicubic.seed=0",))
    assert file.read_bytes() == good


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_in_place_of_the_table_neither_hangs_nor_is_read(world: Path, kind: str) -> None:
    _go(world / "a", world / "log", "nearest", settings=("nearest.seed=0",), metrics=["psnr"])
    table = world / "a/run/scores.parquet"
    whole = table.read_bytes()
    table.unlink()
    {"pipe": os.mkfifo, "folder": os.mkdir, "device": lambda p: p.symlink_to("/dev/zero")}[kind](table)
    assert load_run(world / "a/run").scores().value.notna().all()  # from the cells
    if kind == "folder":  # somebody's folder stays, and is said
        with pytest.raises(FaceSRError, match=r"scores\.parquet: cannot be written"):
            _go(world / "a", world / "log", "nearest", settings=("nearest.seed=0",), metrics=["psnr"])
        return
    _go(world / "a", world / "log", "nearest", settings=("nearest.seed=0",), metrics=["psnr"])
    assert table.read_bytes() == whole
    assert not table.is_symlink()


def test_a_flipped_bit_in_a_cell_is_not_a_score(world: Path) -> None:
    run = _go(world / "a", world / "log", "bicubic", settings=("bicubic.seed=0",))
    before = run.scores()
    with closing(sqlite3.connect(world / "a/run/cells.sqlite")) as db, db:
        db.execute("UPDATE score SET value = value + 1 WHERE metric = 'psnr' AND image = '001'")
        db.execute("UPDATE restored SET status = 'failed' WHERE image = '002'")
    with Cells(world / "a/run") as cells:
        assert len(list(cells.rows(ScoreCell))) == 19
        assert len(list(cells.rows(SrCell))) == 4
    assert _go(world / "a", world / "log", "bicubic", settings=("bicubic.seed=0",)).scores().equals(before)


def test_damaged_cells_are_rebuilt(world: Path) -> None:
    run = _go(world / "a", world / "log", "bicubic", settings=("bicubic.seed=0",))
    before, file = run.scores(), world / "a/run/cells.sqlite"
    for spoil in (b"not a database", file.read_bytes()[: file.stat().st_size // 2], b""):
        file.write_bytes(spoil)
        assert _go(world / "a", world / "log", "bicubic", settings=("bicubic.seed=0",)).scores().equals(before)


EVIL = "open({mark!r}, 'w').write('ran')\nfrom facesr.bench.method import Method\nclass M(Method):\n    '''Bad.'''\n"


@pytest.mark.parametrize("kind", ["file", "module", "program"])
def test_nothing_a_run_folder_names_is_imported_or_run(world: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _go(world / "a", world / "log", "bicubic", settings=("bicubic.seed=0",))
    mark, place = world / "mark", world / "a/run"
    (world / "evil_module.py").write_text(EVIL.format(mark=str(mark)))
    (world / "e.toml").write_text(f'command = ["touch", "{mark}"]\n')
    monkeypatch.syspath_prepend(str(world))
    target, params = {
        "file": (f"{world / 'evil_module.py'}:M", {}),
        "module": ("evil_module:M", {}),
        "program": ("facesr.methods.command:Command", {"path": str(world / "e.toml")}),
    }[kind]
    info = json.loads((place / "run.json").read_text())
    info["methods"].append({**info["methods"][0], "label": "evil", "target": target, "params": params})
    (place / "run.json").write_text(json.dumps(info))
    run = _go(world / "a", world / "log", "nearest", settings=("nearest.seed=0",))
    assert not mark.exists()
    assert run.methods == ["bicubic", "evil", "nearest"]  # nothing is lost either: its cells say what is there
    evil = run.scores().query("method == 'evil'")
    assert set(evil.status) == {Status.MISSING}


def test_images_of_a_method_that_is_not_named_again_stay(world: Path) -> None:
    log = world / "log"
    first = _go(world / "a", log).scores().query("method == 'mine'")
    run = _go(world / "a", log, "bicubic", settings=("bicubic.seed=0",))
    assert _calls(log) == 3
    assert run.methods == ["mine", "nearest", "bicubic"]
    kept = run.scores().query("method == 'mine'")
    assert list(kept.value) == list(first.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda i: i["methods"][0].update(label="../../victim"), "path separator"),
        (lambda i: i["methods"][0].update(label=""), "is empty"),
        (lambda i: i["faces"][0].update(name="*"), "stands for the whole set"),
        (lambda i: i["faces"][0].update(name="a/b"), "path separator"),
        (lambda i: i["faces"][0].update(name="x\x1b[31m"), "control characters"),
        (lambda i: i["faces"][0].update(name="y" * 250), "more than 200"),
        (lambda i: i["faces"][0].update(name="001"), "two faces have one name"),
        (lambda i: i["faces"][0]["attributes"].update({"": "x"}), "attribute"),
        (lambda i: i.update(scales=[0]), "scale 0"),
        (lambda i: i.update(scales="8"), "'scales'"),
        (lambda i: i["metrics"]["psnr"].update(digits="two"), "digits"),
        (lambda i: i.update(state="on fire"), "state"),
        (lambda i: i.update(format=1), "layout version 1"),
    ],
)
def test_run_json_is_checked_on_load(world: Path, change, says: str) -> None:  # type: ignore[no-untyped-def]
    _go(world / "a", world / "log", "nearest", settings=("nearest.seed=0",))
    file = world / "a/run/run.json"
    info = json.loads(file.read_text())
    change(info)
    file.write_text(json.dumps(info))
    with pytest.raises(FaceSRError) as caught:
        load_run(world / "a/run")
    assert says in str(caught.value)


def test_nothing_is_written_through_a_link(world: Path) -> None:
    victim, out = world / "victim", world / "a/run"
    victim.mkdir()
    (out / "sr").mkdir(parents=True)
    (out / "sr/nearest").symlink_to(victim)
    with pytest.raises(FaceSRError, match="is no run, and its folder 'sr' would be written into"):
        _go(world / "a", world / "log", "nearest", settings=("nearest.seed=0",))
    shutil.rmtree(out)
    _go(world / "a", world / "log", "nearest", settings=("nearest.seed=0",))
    shutil.rmtree(out / "sr/nearest")
    (out / "sr/nearest").symlink_to(victim)
    with pytest.raises(FaceSRError, match="is a link that leads out of"):
        _go(world / "a", world / "log", "nearest", settings=("nearest.seed=0",))
    assert not list(victim.iterdir())


BUGGY = """
from facesr.bench.metrics import Metric
class Buggy(Metric):
    '''Stumbles over one face.'''
    name = "buggy"
    def score(self, sr, batch, reference):
        if any(f.name == "001" for f in batch.faces):
            return batch.no_such_thing
        return [1.0] * len(batch)
"""
BUGGY_METHOD = """
from facesr.bench.method import Method
class Bad(Method):
    '''Cannot be made.'''
    def __init__(self, **more):
        raise ValueError("three wheels")
"""


def test_a_bug_leaves_its_sentence_in_the_cell_and_its_trace_in_the_log(world: Path) -> None:
    (world / "buggy.py").write_text(BUGGY)
    (world / "bad.py").write_text(BUGGY_METHOD)
    run = _go(
        world / "a",
        world / "log",
        "nearest",
        f"{world / 'bad.py'}:Bad",
        settings=("nearest.seed=0",),
        metrics=["psnr", f"{world / 'buggy.py'}:Buggy"],
    )
    frame = run.scores()
    bug = frame[(frame.metric == "buggy") & (frame.method == "nearest")].set_index("image")
    assert bug.status["001"] == "failed" and "no_such_thing" in bug.reason["001"]
    assert (bug.status.drop("001") == "ok").all()
    assert set(frame[frame.method == "bad"].status) == {"failed"}
    assert set(frame[frame.method == "bad"].reason) == {"ValueError: three wheels"}
    log = (world / "a/run/run.log").read_text()
    assert 'buggy.py", line 8' in log and "three wheels" in log and "Traceback" in log
