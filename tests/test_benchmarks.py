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


def test_the_page_of_conformance_says_what_failed_and_what_was_not_run(tmp_path: Path) -> None:
    """A difference above tolerance and a peer that fails are bold and counted; a missing peer and missing weights are lines that say so."""
    page = tmp_path / "page.md"
    page.write_text("# Ours\n<!-- written by make conformance -->\nold\n<!-- end of make conformance -->\nafter\n")
    code = f"""
from pathlib import Path
from benchmarks.conformance import Check, NotRun, Section, page, run
from facesr.bench.errors import WeightsMissing
def stop(error):
    def raised():
        raise error
    return raised
checks = [
    Check("a", "numpy", "one", "x", 1e-6, lambda: 2e-7),
    Check("b", "numpy", "two", "x", 1e-6, lambda: 3e-6),
    Check("c", "numpy", "three", "x", 1e-6, lambda: float("nan")),
    Check("d", "numpy", "four", "x", 1e-6, stop(ValueError("no such thing"))),
    Check("e", "numpy", "five", "x", 1e-6, stop(WeightsMissing("gone", "vgg16"))),
    Check("f", "no-such-peer", "six", "x", 1e-6, lambda: 0.0),
]
outcomes = [run(check) for check in checks]
assert [o.good for o in outcomes] == [True, False, False, False, True, True]
page.write([(Section("All"), outcomes)], ["### A fault"], Path({str(page)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert "old" not in text
    assert text.endswith("<!-- end of make conformance -->\nafter\n")
    assert "3 of 6 comparisons were run, **3 above tolerance or failing**" in text
    found = [row.split(" | ")[3] for row in text.splitlines() if row.startswith("| ") and "---" not in row][1:]
    assert found == [
        "2.0e-07", "**3.0e-06, above tolerance**", "**nan, above tolerance**", "**fails: ValueError: no such thing**",
        "not run: weights are not reachable", "not run: not installed",
    ]  # fmt: skip


def test_every_peer_of_conformance_that_is_installed_here_agrees() -> None:
    """The quick rows, live: kernels beside Pillow, torch and OpenCV, tests and agreement beside scipy, statsmodels and krippendorff."""
    code = """
from benchmarks.conformance import installed, kernels, run, statistics
rows = [c for s in (*kernels.sections(), *statistics.sections()) for c in s.checks if installed(c.peer)]
for outcome in map(run, rows):
    assert outcome.good, (outcome.check.ours, outcome.check.peer, outcome.apart, outcome.said)
print(len(rows))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 15
