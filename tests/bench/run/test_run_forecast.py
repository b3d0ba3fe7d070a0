"""What a run would do: counted as the run then does it, with everything that is wrong in one answer, and nothing written."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import facesr
from facesr.bench.errors import FaceSRError
from facesr.bench.results.cells import Cells, CostCell, SrCell
from facesr.cli import main
from helpers import TINY, faces

SLOW = '''
import time
from facesr.bench.imaging import resize
from facesr.bench.method import Method
class Slow(Method):
    """Takes .03 s per batch of two; the first a second more."""
    batch_size, fixed_batch = 2, False
    def restore(self, lr, names=()):
        time.sleep(1.03 if not hasattr(self, "warm") else 0.06)
        self.warm = True
        return resize(lr, self.size, "bicubic-matlab")
'''

LACKS = '''
from facesr.bench.errors import WeightsMissing
from facesr.bench.method import Method
class Lacks(Method):
    """Has no weights."""
    def missing(self):
        return "big.pth is not on this machine: ask its author"
    def load(self):
        raise WeightsMissing(self.missing())
    def restore(self, lr, names=()):
        raise NotImplementedError
'''


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Six faces, a protocol, a method that must warm up."""
    faces(tmp_path / "hr", 6)
    (tmp_path / "P.toml").write_text(TINY)
    (tmp_path / "slow.py").write_text(SLOW)
    return tmp_path


def _files(folder: Path) -> dict[str, float]:
    return {str(f): f.stat().st_mtime for f in folder.rglob("*")}


def test_it_counts_what_the_run_then_does(world: Path) -> None:
    methods = ["bicubic", f"slow={world / 'slow.py'}:Slow"]
    asked = {"data": world / "hr", "metrics": ["psnr", "consistency"]}
    before = _files(world)
    first = facesr.forecast(world / "P.toml", methods, world / "run", **asked)
    assert _files(world) == before
    assert [(d.method, d.due, d.reused, d.seconds) for d in first.images] == [("bicubic", 6, 0, None), ("slow", 6, 0, None)]
    assert {(d.metric, d.due, d.reused) for d in first.scores} == {("psnr", 6, 0), ("consistency", 6, 0)}
    assert first.seconds is None and "unknown, because bicubic, slow" in " ".join(first.lines)
    assert first.needed == (12 + 6) * (3 * 64 * 64 + 1000) and first.free > first.needed
    facesr.run(world / "P.toml", methods, world / "run", **asked)
    before = _files(world)
    again = facesr.forecast(world / "P.toml", methods, world / "run", **{**asked, "metrics": ["psnr", "ssim"]})
    assert _files(world) == before
    assert all((d.due, d.reused) == (0, 6) for d in again.images)
    assert {(d.metric, d.due, d.reused) for d in again.scores} == {("psnr", 0, 6), ("ssim", 6, 0)}
    # a neighbour of the run knows how long a face takes; the first batch, which warms up, is left out
    beside = facesr.forecast(world / "P.toml", methods[1:], world / "other", **asked, workers=2)
    assert beside.seconds is not None and 0.03 * 6 / 2 <= beside.seconds < 0.9
    (world / "run/sr/slow/003.png").unlink()
    broken = facesr.forecast(world / "P.toml", methods, world / "run", **asked)
    assert [d.due for d in broken.images] == [0, 1]


def test_everything_that_is_wrong_comes_in_one_answer_within_two_seconds(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (world / "taken").write_text("")
    (world / "bad.py").write_text("import nosuchmodule\n")
    (world / "empty").mkdir()
    words = [
        "run",
        str(world / "P.toml"),
        "--data",
        str(world / "nowhere"),
        "--metrics",
        "psnr,psrn",
        "--device",
        "cuda:99",
        "--limit",
        "0",
    ]
    words += ["--methods", f"bicubic,{world / 'bad.py'}:Bad,theirs=folder:{world / 'gone'}", "--set", "bicubic.nosuch=1"]
    start = time.process_time()
    assert main([*words, "--out", str(world / "taken/run")]) == 2
    assert time.process_time() - start < 2
    said = capsys.readouterr().err
    for part in ("--limit 0", "'psrn'", "cuda:99", "taken is no folder", "nosuchmodule", "no parameter 'nosuch'", "gone"):
        assert part in said, f"{part}: {said}"
    with pytest.raises(FaceSRError, match=r"needs up to .* free: choose another --out"):
        from facesr.bench.run import place

        place.check_place(world / "run", 4096, 10**9)


def test_what_is_missing_is_said_before_the_first_face_and_costs_its_own_cells(
    world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a dry run, by a real one (which goes on with the others), and beside whatever refuses the run: a device, a folder."""
    monkeypatch.setenv("FACESR_WEIGHTS", "")
    monkeypatch.setenv("HOME", str(world))  # no ~/.insightface
    lacking = "run {0}/P.toml --data {0}/{1} --out {0}/run --methods {0}/lacks.py:Lacks,bicubic --metrics psnr,identity-arcface"
    (world / "lacks.py").write_text(LACKS)
    words = lacking.format(world, "hr").split()
    missing = ("lacks: big.pth is not on this machine", "metric identity-arcface: no insightface model pack")
    before = _files(world)
    assert main([*words, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert all(part in said for part in missing) and "bicubic  6 images due, 0 reused" in said and _files(world) == before
    for mistake in (["--device", "cuda:99"], ["--device", "cuda:99", "--dry-run"]):
        assert main([*words, *mistake]) == 2
        said = capsys.readouterr().err
        assert all(part in said for part in ("cuda:99", *missing)), said
    assert main([*lacking.format(world, "nowhere").split(), "--dry-run"]) == 2
    said = capsys.readouterr().err
    assert all(part in said for part in ("nowhere", *missing)), said
    assert not (world / "run").exists()
    assert main(words) == 1
    said = capsys.readouterr().err
    first = min(said.index(stage) for stage in ("LR images: ", "bicubic: "))
    assert all(0 <= said.index(part) < first for part in missing), said
    with Cells(world / "run") as cells:
        assert {(c.method, c.status) for c in cells.rows(SrCell)} == {("lacks", "weights_missing"), ("bicubic", "ok")}
    told: list[str] = []
    facesr.run(world / "P.toml", ["bicubic"], world / "run", data=world / "hr", metrics=["identity-arcface"], say=told.append)
    assert [line for line in told if line.startswith(missing[1])]
    assert main([*words, "-q"]) == 1
    assert "note:" not in capsys.readouterr().err


def test_seconds_and_memory_are_columns_and_no_part_of_the_scores(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    methods = ["bicubic", f"slow={world / 'slow.py'}:Slow", f"theirs=folder:{world / 'hr'}"]
    made = [facesr.run(world / "P.toml", methods, world / name, data=world / "hr", metrics=["psnr"]) for name in ("a", "b")]
    assert (world / "a/scores.parquet").read_bytes() == (world / "b/scores.parquet").read_bytes()
    table = made[0].table(cost=["time", "memory"])
    slow = table.cell("slow", "seconds")
    assert slow is not None and slow.n == 4 and 0.03 <= slow.mean < 0.4  # two batches of the three; the first took a second
    memory = table.cell("slow", "memory")
    assert memory is not None and 0.05 < memory.mean < 16
    assert getattr(table.cell("theirs", "seconds"), "text", "") == "–"  # finished images took nobody any time
    bicubic = table.cell("bicubic", "seconds")
    assert bicubic is not None and bicubic.n == 6
    assert "s/face of Bicubic: there was only one batch" in table.markdown()
    assert "| s/face |" in table.markdown() and "peak memory (GiB)" in table.markdown()
    assert "slow,seconds,4,0," in table.csv()
    assert main(["table", str(world / "a"), "--cost", "tiem"]) == 2
    assert "did you mean 'time'?" in capsys.readouterr().err
    with Cells(world / "a", write=True) as cells:  # a run of an earlier version knows the seconds only
        cells.db.execute("DROP TABLE cost")
        kept = len(list(cells.rows(SrCell)))
    old = facesr.load(world / "a")
    with Cells(world / "a") as cells:
        assert list(cells.rows(CostCell)) == [] and len(list(cells.rows(SrCell))) == kept
    assert old.table(cost=["memory"]).cell("slow", "memory") is not None
    assert old.table(cost=["time"]).cell("slow", "seconds").n == 6  # type: ignore[union-attr]
