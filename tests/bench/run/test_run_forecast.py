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


def test_a_dry_run_says_what_is_missing(world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACESR_WEIGHTS", "")
    monkeypatch.setenv("FACESR_CACHE", str(world / "cache"))
    words = ["run", str(world / "P.toml"), "--data", str(world / "hr"), "--out", str(world / "run"), "--methods", "psp,bicubic"]
    before = _files(world)
    assert main(
        [*words, "--set", "psp.checkpoint=psp-celebs-super-resolution", "--metrics", "psnr,identity-sface", "--dry-run"]
    ) in (0, 2)
    printed = capsys.readouterr()
    said = printed.out + printed.err
    assert "psp" in said and _files(world) == before
    assert "bicubic  6 images due, 0 reused" in said or "choose from" in said, said


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
