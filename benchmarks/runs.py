"""Start-up, warm runs and memory of the command itself, in one process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks import cpu_seconds, within
from facesr.bench.imaging import write_png

PROTOCOL = """
name = "bench"
version = 1
[data]
dataset = "nowhere"
split = "all"
size = 128
reduce = "box"
[degradation]
kernel = "bicubic-matlab"
scale = 8
quantize = true
[consistency]
epsilon = 1e-3
[[metric]]
name = "psnr"
[[metric]]
name = "ssim"
"""


def faces(folder: Path, count: int) -> Path:
    """Textured images of 128 px."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        coarse = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        write_png(folder / f"{i:05d}.png", cv2.resize(coarse, (128, 128), interpolation=cv2.INTER_CUBIC))
    return folder


def call(*arguments: str) -> tuple[float, float]:
    """CPU seconds and peak memory (MiB) of a ``facesr`` call. Not ``ru_maxrss``: a process inherits it from the one that started it."""
    code = "import sys\nfrom facesr.cli import main\nfrom facesr.bench.run.peak import peak_memory\nstatus = main(sys.argv[1:])\n"
    code += "print(peak_memory('cpu') / 2**20, file=sys.stderr)\nsys.exit(status)"
    start = cpu_seconds()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"OMP_NUM_THREADS": "1"},
    )
    return cpu_seconds() - start, float(done.stderr.split()[-1])


def bare() -> float:
    """CPU seconds of the interpreter's own start, the least of five."""
    times = []
    for _ in range(5):
        start = cpu_seconds()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        times.append(cpu_seconds() - start)
    return min(times)


def help_time() -> float:
    """CPU seconds of ``facesr --help``, the least of five."""
    times = []
    for _ in range(5):
        start = cpu_seconds()
        subprocess.run([sys.executable, "-m", "facesr", "--help"], check=True, capture_output=True)
        times.append(cpu_seconds() - start)
    return min(times)


def main(argv: Sequence[str]) -> int:
    """Run; 0 when every goal is reached."""
    good = []
    start = bare()
    helped = help_time()
    good.append(within(f"facesr --help (bare Python {start:.3f} s)", helped, 0.15))
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / "p.toml").write_text(PROTOCOL)

        def run(name: str, methods: str) -> list[str]:
            return [
                "run",
                str(root / "p.toml"),
                "--data",
                str(root / f"hr{name}"),
                "--methods",
                methods,
                "--workers",
                "1",
                "--out",
                str(root / f"run{name}"),
            ]

        faces(root / "hr50", 50)
        cold, _ = call(*run("50", "bicubic,nearest"))
        warm = min(call(*run("50", "bicubic,nearest"))[0] for _ in range(5)) - start
        good.append(within(f"facesr run, 200 cells, warm (cold {cold:.2f} s)", warm, 0.5))
        peaks = []
        for count in (300, 3000):
            faces(root / f"hr{count}", count)
            peaks.append(call(*run(str(count), "bicubic"))[1])
        good.append(within(f"peak memory, 3,000 faces against 300 ({peaks[0]:.0f} MiB)", peaks[1] / peaks[0], 1.1, "times"))
    return 0 if all(good) else 1
