"""Real runs of a few seconds, and headless Chromium, for the dashboard's tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType

from facesr.bench.protocol import parse_protocol
from facesr.bench.registry import method_specs
from facesr.bench.results import Run, load_run
from facesr.bench.run import make_plan, start
from servers import ROOT, free_port

PROTOCOL = """
name = "small-x8"
version = 1
[data]
dataset = "demo"
split = "all"
size = 128
reduce = "box"
[degradation]
kernel = "bicubic-matlab"
scale = {scale}
quantize = true
[consistency]
epsilon = 1e-3
study = "flag"
[[metric]]
name = "psnr"
[[metric]]
name = "ssim"
[[metric]]
name = "consistency"
[[metric]]
name = "consistency-pass"
[study]
raters = 4
images = 6
anchors = 2
"""


def real_run(folder: Path, scale: str = "8", methods: tuple[str, ...] = ("bicubic", "nearest")) -> Run:
    """The eight demo faces by methods without weights, really measured; every second face is called female, and ages are given."""
    start(make_plan(parse_protocol(PROTOCOL.format(scale=scale)), method_specs(methods), folder))
    info = json.loads((folder / "run.json").read_text())
    for i, face in enumerate(info["faces"]):
        face["attributes"] = {"gender": ("female", "male")[i % 2], "age": str(20 + 3 * i)}
    (folder / "run.json").write_text(json.dumps(info))
    return load_run(folder)


def chromium() -> str | None:
    """Debian's Chromium, or another on the path."""
    return next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)


class Dashboard:
    """``facesr dashboard`` as its own process on a free port."""

    def __init__(self, *arguments: str, log: Path, url: str = "") -> None:
        self.port = free_port()
        self.log = log
        extra = ["--url", url.format(port=self.port)] if url else []
        command = [sys.executable, "-m", "facesr", "dashboard", *arguments, "--port", str(self.port), "--no-browser", *extra]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with log.open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env=environment, cwd=ROOT)
        self.path = re.sub(r"^https?://[^/]+", "", url).rstrip("/")
        self._wait()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}{self.path}"

    def _wait(self) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the dashboard ended: {self.log.read_text()[-2000:]}")
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the dashboard did not answer within two minutes")

    def __enter__(self) -> Dashboard:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()
