"""What stands around the benchmarks: their page, a peer that is not here, the same run in several ways, the GPU script on a processor."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_page_is_written_between_its_marks(tmp_path: Path) -> None:
    """And a benchmark whose peer is missing costs its own lines only."""
    page = tmp_path / "page.md"
    page.write_text("# Speed\n<!-- written by make bench -->\nold\n<!-- end of make bench -->\nafter\n")
    code = f"""
import sys, types
from pathlib import Path
import benchmarks
from benchmarks import __main__ as command, page
def good(argv):
    return not (benchmarks.line("a thing", 0.002, 0.006, 2.5) and benchmarks.within("another", 0.7, 1.0))
def bad(argv):
    import no_such_peer
for name, call in (("good", good), ("bad", bad)):
    module = sys.modules["benchmarks." + name] = types.ModuleType(name)
    module.main = call
why = [command.run("good"), command.run("bad")]
page.write({{"good": benchmarks.RESULTS}}, [w for w in why if w], Path({str(page)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    text = page.read_text()
    assert "old" not in text
    assert text.endswith("<!-- end of make bench -->\nafter\n")
    assert "| good | a thing | 2 ms | 6 ms | 3.00× | 2.5× | reached |" in text
    assert "| good | another | 0.7 s |  |  | at most 1 s | reached |" in text
    assert "- bad (not run: No module named 'no_such_peer')" in text


@pytest.mark.slow
def test_one_run_in_many_ways(tmp_path: Path) -> None:
    only = ["--limit", "4", "--kills", "3", "--stops", "2", "--place", str(tmp_path), "--metrics", "psnr,ssim"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.equality", *only], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| NO |" not in done.stdout
    assert "2 workers, 2 kills of the driver | yes" in done.stdout


@pytest.mark.slow
def test_the_gpu_script_runs_on_a_processor() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a smoke test, no figures" in done.stdout
    assert "not run" not in done.stdout
