"""Runs: every cell a row, resumable at any moment, keyed on bytes, weights, code and conventions."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from facesr.bench import protocol, registry
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import image_size, read_rgb, resize8, write_png
from facesr.bench.results import COLUMNS, Run, load_run
from facesr.bench.run import make_plan, start
from helpers import TINY, faces, picture

COUNTING = '''
from pathlib import Path
from facesr.bench.imaging import resize
from facesr.bench.method import Method, Outcome, Restored

class Counting(Method):
    """Bicubic that leaves a mark for every call; seeded noise by face."""
    batch_size = 2
    def __init__(self, *, log, strength=0.0, **more):
        super().__init__(**more)
        self.log, self.strength = log, strength
    def restore(self, lr, names=()):
        with (Path(self.log) / "log").open("a") as file:
            file.write(" ".join(names) + "\\n")
        return resize(lr, self.size, "bicubic-matlab") + self.strength
'''


@pytest.fixture
def world(tmp_path: Path) -> Path:
    faces(tmp_path / "hr")
    (tmp_path / "mine.py").write_text(COUNTING)
    return tmp_path


def _go(world: Path, *methods: str, settings: tuple[str, ...] = (), out: str = "run", text: str = TINY, **more: object) -> Run:
    specs = registry.method_specs(methods or ["bicubic"], settings)
    return start(
        make_plan(
            protocol.parse_protocol(text, metrics=registry.installed("facesr.metrics")),
            specs,
            world / out,
            data=str(world / "hr"),
            **more,
        )
    )  # type: ignore[arg-type]


def _bytes(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for kind in ("lr", "sr") for p in sorted((folder / kind).rglob("*.png"))
    }


def _scores(run: Run) -> list[tuple[object, ...]]:
    frame = run.scores()
    return [tuple(None if v != v else v for v in row) for row in frame.itertuples(index=False)]


def _calls(world: Path) -> int:
    log = world / "log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_every_cell_is_a_row(world: Path) -> None:
    run = _go(world, "bicubic", "nearest")
    frame = run.scores()
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == 5 * 2 * 4
    assert (frame.status == "ok").all()
    assert np.isfinite(frame.value).all()
    assert run.methods == ["bicubic", "nearest"]
    assert run.info.state == "finished"
    lr = read_rgb(run.lr_path("002", 8))
    assert np.array_equal(lr, resize8(picture(2), 8, "bicubic-matlab"))
    assert image_size(run.sr_path("bicubic", "002", 8)) == (64, 64)
    assert (frame[(frame.metric == "consistency-pass")].value <= 1).all()


def test_warm_run_calls_and_decodes_nothing(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method, settings = f"{world / 'mine.py'}:Counting", (f"counting.log={world}",)
    first = _go(world, method, settings=settings)
    before, calls, stamp = _scores(first), _calls(world), (world / "run/scores.parquet").stat().st_mtime_ns
    assert calls == 3  # five faces, two a call

    def never(*args: object) -> None:
        raise AssertionError("decoded in a warm run")

    for module in (
        "facesr.bench.run.lr.read_picture",
        "facesr.bench.run.lr.decode",
        "facesr.bench.run.restorer.read_lr",
        "facesr.bench.run.findings.read_rgb",
    ):
        monkeypatch.setattr(module, never)
    again = _go(world, method, settings=settings)
    assert _scores(again) == before
    assert _calls(world) == calls
    assert (world / "run/scores.parquet").stat().st_mtime_ns == stamp


def test_a_change_recomputes_what_depends_on_it(world: Path) -> None:
    method, settings = f"{world / 'mine.py'}:Counting", (f"counting.log={world}",)
    _go(world, method, "nearest", settings=settings)
    nearest = (world / "run/sr/nearest/000.png").stat().st_mtime_ns
    changed = _scores(_go(world, method, "nearest", settings=(*settings, "counting.strength=0.1")))
    assert _calls(world) == 6
    assert (world / "run/sr/nearest/000.png").stat().st_mtime_ns == nearest
    text = COUNTING.replace('"bicubic-matlab"', '"nearest"')
    (world / "mine.py").write_text(text)
    after = _go(world, method, "nearest", settings=settings)
    assert _calls(world) == 9
    assert _scores(after) != changed


def test_a_touched_image_is_made_and_scored_again(world: Path) -> None:
    first = _go(world)
    before, scores = _bytes(world / "run"), _scores(first)
    write_png(world / "run/sr/bicubic/001.png", picture(9))
    (world / "run/sr/bicubic/002.png").unlink()
    (world / "run/lr/003.png").write_bytes(b"")
    again = _go(world)
    assert _bytes(world / "run") == before
    assert _scores(again) == scores


def _counted(world: Path, text: str, out: str = "run") -> Run:
    return _go(world, f"{world / 'mine.py'}:Counting", settings=(f"counting.log={world}",), text=text, out=out)


def _restored(world: Path) -> int:
    return sum(len(set(line.split())) for line in (world / "log").read_text().splitlines())


def test_metrics_scales_versions_and_faces_are_added_to_a_finished_run(world: Path) -> None:
    _counted(world, TINY)
    assert _restored(world) == 5
    more = TINY.replace("version = 1", "version = 2") + '[[metric]]\nname = "psnr-y"\n'
    found = _counted(world, more)
    assert _restored(world) == 5  # nothing restored again
    assert set(found.metrics) == {"psnr", "ssim", "consistency", "consistency-pass", "psnr-y"}
    scales = more.replace("scale = 8", "scale = [8, 4]")
    found = _counted(world, scales)
    assert _restored(world) == 10  # x4 only
    assert found.sr_path("counting", "000", 8).is_file()
    write_png(world / "hr/100.png", picture(77))
    both = _scores(_counted(world, scales))
    assert _restored(world) == 12  # the new face, at both scales
    back = _scores(_counted(world, more))
    assert _restored(world) == 12
    assert back == _scores(_counted(world, more, out="fresh"))
    assert [row for row in both if row[2] == 8] == back


def test_another_degradation_or_hr_is_computed_again(world: Path) -> None:
    _go(world)
    for i, text in enumerate((TINY.replace("bicubic-matlab", "box"), TINY.replace("scale = 8", "scale = 4"))):
        assert _scores(_go(world, text=text)) == _scores(_go(world, text=text, out=f"fresh{i}"))
    write_png(world / "hr/000.png", picture(77))
    assert _scores(_go(world)) == _scores(_go(world, out="fresh"))


def test_images_of_a_method_not_named_again_are_gone_where_hr_changed(world: Path) -> None:
    _counted(world, TINY)
    write_png(world / "hr/000.png", picture(77))
    rows = _go(world, "bicubic").scores().query("method == 'counting' and metric == 'psnr'").set_index("image")
    assert rows.loc["000", "status"] == "missing"
    assert "its HR image changed" in rows.loc["000", "reason"]
    assert rows.loc["001", "status"] == "ok"


def test_methods_can_be_added(world: Path) -> None:
    _go(world, "bicubic")
    both = _go(world, "nearest")
    assert both.methods == ["bicubic", "nearest"]
    assert set(both.scores().method) == {"bicubic", "nearest"}


def test_folder_statuses(world: Path) -> None:
    theirs = world / "theirs"
    theirs.mkdir()
    write_png(theirs / "000.png", picture(0))
    write_png(theirs / "001.png", np.repeat(np.repeat(picture(1), 2, 0), 2, 1))  # twice as large: reduced
    write_png(theirs / "002.png", picture(2, 48))
    (theirs / "003.jpg").write_text("<html>quota exceeded</html>")
    write_png(theirs / "extra.png", picture(1))
    frame = _go(world, f"folder:{theirs}").scores()
    psnr = frame[frame.metric == "psnr"].set_index("image")
    assert psnr.status.to_dict() == {"000": "ok", "001": "ok", "002": "failed", "003": "failed", "004": "missing"}
    assert psnr.value["000"] == 100
    assert psnr.value["001"] == 100
    assert "48 x 48" in psnr.reason["002"]
    assert "not an image" in psnr.reason["003"]
    assert "no image named 004" in psnr.reason["004"]
    write_png(theirs / "004.png", picture(4))
    assert _go(world, f"folder:{theirs}").scores().query("metric == 'psnr' and image == '004'").status.item() == "ok"


def test_larger_hr_is_reduced_by_the_protocol(world: Path) -> None:
    shutil.rmtree(world / "hr")
    faces(world / "hr", side=128)
    run = _go(world, "bicubic")
    assert np.array_equal(read_rgb(run.lr_path("000", 8)), resize8(resize8(picture(0, 128), 64, "box"), 8, "bicubic-matlab"))


def test_two_runs_into_one_folder(world: Path) -> None:
    from facesr.bench.run.folder import locked

    with locked(world / "run"), pytest.raises(FaceSRError, match="in use by another facesr run"):
        _go(world)
    assert _go(world).info.state == "finished"


def test_read_only_output(world: Path) -> None:
    (world / "file").write_text("")
    with pytest.raises(FaceSRError, match="cannot be written"):
        _go(world, out="file/run")


def test_full_disk_is_told_and_loses_nothing(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    _go(world, "bicubic", out="whole")
    original = Path.open

    def narrow(self: Path, mode: str = "r", *args: object, **more: object) -> object:
        if mode == "wb" and "sr" in self.parts:
            written.append(self)
            if len(written) > 2:
                raise OSError(28, "No space left on device")
        return original(self, mode, *args, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", narrow)
    with pytest.raises(FaceSRError, match=r"cannot be written \(No space left on device\); what was finished before is kept"):
        _go(world, "bicubic")
    monkeypatch.undo()
    assert _scores(_go(world, "bicubic")) == _scores(load_run(world / "whole"))
    assert not list((world / "run").rglob("*.part"))


SLOW = COUNTING.replace("        return resize", "        import time; time.sleep(0.15)\n        return resize")


@pytest.mark.parametrize("after", [0.3, 1.2, 3.0])
def test_killed_and_restarted_equals_never_stopped(world: Path, after: float) -> None:
    (world / "mine.py").write_text(SLOW)
    (world / "p.toml").write_text(TINY)
    command = [
        *(sys.executable, "-m", "facesr", "run", str(world / "p.toml"), "--data", str(world / "hr")),
        *("--methods", f"bicubic,{world / 'mine.py'}:Counting", "--set", f"counting.log={world}"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "--out", str(world / "run")], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not (world / "run/run.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run([*command, "--out", str(world / "run")], env=environment, check=True, capture_output=True)
    subprocess.run([*command, "--out", str(world / "whole")], env=environment, check=True, capture_output=True)
    assert _bytes(world / "run") == _bytes(world / "whole")
    assert _scores(load_run(world / "run")) == _scores(load_run(world / "whole"))


def test_several_scales(world: Path) -> None:
    run = _go(world, "bicubic", text=TINY.replace("scale = 8", "scale = [2, 8]"))
    frame = run.scores()
    assert set(frame.scale) == {2, 8}
    assert len(frame) == 5 * 2 * 4
    means = frame[frame.metric == "psnr"].groupby("scale").value.mean()
    assert means[2] > means[8]
    assert image_size(run.lr_path("000", 2)) == (32, 32)


def test_run_json_says_what_was_measured(world: Path) -> None:
    run = _go(world, "bicubic")
    info = json.loads((world / "run/run.json").read_text())
    assert info["title"] == "tiny-x8@1"
    assert info["data"] == {"name": "hr", "faces": 5, "total": 5, "note": "folder hr"}
    assert info["protocol"]["data"]["dataset"] == "folder:hr"
    assert info["metrics"]["psnr"]["higher_is_better"] is True
    assert "numpy" in info["environment"]
    assert len(info["faces"][0]["sha256"]) == 64
    assert len(run.digest) == 64


def test_a_broken_run_json_is_told(tmp_path: Path) -> None:
    with pytest.raises(FaceSRError, match="not a run"):
        load_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(FaceSRError, match=r"not valid JSON.*call the run again to rewrite it"):
        load_run(tmp_path)
    (tmp_path / "run.json").write_text('{"format": 99}')
    with pytest.raises(FaceSRError, match="layout version 99"):
        load_run(tmp_path)


def test_limit_and_metric_choice(world: Path) -> None:
    run = _go(world, "bicubic", metrics=["psnr?border=4", "ssim-y"], limit=2)
    assert len(run.faces) == 2
    assert set(run.metrics) == {"psnr", "ssim-y"}
    assert "border 4" in run.metrics["psnr"].conventions
    with pytest.raises(FaceSRError, match="--limit 0"):
        _go(world, limit=0, out="x")


PICKY = """
from facesr.bench.method import Method

class Picky(Method):
    \"\"\"Serves no scale but x4.\"\"\"
    def skip(self):
        return None if self.scale == 4 else f"x{self.scale} is not x4"
"""


def test_a_method_may_decline_a_scale(world: Path) -> None:
    (world / "picky.py").write_text(PICKY)
    frame = _go(world, f"{world / 'picky.py'}:Picky").scores()
    assert set(frame.status) == {"skipped"}
    assert set(frame.reason) == {"x8 is not x4"}


def test_a_wrong_parameter_stops_before_any_work(world: Path) -> None:
    method = f"{world / 'mine.py'}:Counting"
    with pytest.raises(FaceSRError, match="did you mean 'strength'"):
        _go(world, method, f"again={method}", settings=(f"counting.log={world}", f"again.log={world}", "again.strenght=1"))
    assert _calls(world) == 0
    assert _go(world, "bicubic").methods == ["bicubic"]  # the folder does not remember the method that could not be made


BROKEN = """
from facesr.bench.errors import FaceSRError
from facesr.bench.method import Method

class Broken(Method):
    \"\"\"Its weight file is cut off.\"\"\"
    def load(self):
        raise FaceSRError("net.pth is cut off")
"""


def test_a_broken_weight_file_costs_one_method_its_cells(world: Path) -> None:
    (world / "broken.py").write_text(BROKEN)
    frame = _go(world, f"{world / 'broken.py'}:Broken", "bicubic").scores()
    assert set(frame[frame.method == "broken"].status) == {"failed"}
    assert set(frame[frame.method == "broken"].reason) == {"net.pth is cut off"}
    assert set(frame[frame.method == "bicubic"].status) == {"ok"}
