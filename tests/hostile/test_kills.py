"""kill -9 at random moments of first runs and of second calls: called again, a run ends as one that nobody disturbed, byte for byte."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from facesr.bench import protocol
from facesr.bench.registry import installed, method_specs
from facesr.bench.results import load_run
from facesr.bench.run import make_plan, start
from helpers import TINY, faces
from hostile.campaign import COUNTS, Outcome, check

MINE = """
import time
from facesr.bench.imaging import resize
from facesr.bench.method import Method
class Slow(Method):
    batch_size = 1
    def restore(self, lr, names=()):
        time.sleep(0.02)
        return resize(lr, self.size, "box").clamp(0, 1)
"""
METRICS = ("psnr", "psnr-y", "ssim", "consistency", "consistency-pass")


def _go(home: Path, methods: tuple[str, ...]) -> None:
    specs = method_specs([*methods[:2], *(f"mine={home.parent / 'mine.py'}:Slow" for _ in methods[2:])])
    known = protocol.parse_protocol(TINY, metrics=installed("facesr.metrics"))
    start(make_plan(known, specs, home, data=str(home.parent / "hr"), metrics=METRICS))


def _child(home: Path, methods: tuple[str, ...], kill_after: float | None) -> bool:
    """The run in a child of this process (whose imports it has); killed after some seconds. Whether it ended by itself, and well."""
    pid = os.fork()
    if pid == 0:
        try:
            _go(home, methods)
        except BaseException:  # noqa: BLE001 - a child must not return into the test
            os._exit(1)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1] == 0


def _bytes(home: Path) -> dict[str, bytes]:
    files = [home / "scores.parquet", *sorted(home.glob("lr/*")), *sorted(home.glob("sr/*/*"))]
    return {file.relative_to(home).as_posix(): file.read_bytes() for file in files}


def _campaign(folder: Path, kills: int) -> Outcome:
    faces(folder / "hr", 5)
    (folder / "mine.py").write_text(MINE)
    two, three = ("bicubic", "nearest"), ("bicubic", "nearest", "mine")
    _go(folder / "warm", three)  # imports and caches, so that a child's time is the run's
    outcome = Outcome("kills")
    spent = []
    for home, methods in ((folder / "first", two), (folder / "whole", three)):
        began = time.monotonic()
        assert _child(home, methods, None)
        spent.append(time.monotonic() - began)
    shutil.copytree(folder / "first", folder / "second")
    began = time.monotonic()
    assert _child(folder / "second", three, None)
    added = time.monotonic() - began
    known = _bytes(folder / "whole")
    assert len(known) == 1 + 5 + 3 * 5
    assert _bytes(folder / "second") == known
    for i in range(kills):
        rng, home = random.Random(i), folder / f"run{i}"
        if i % 2:
            shutil.copytree(folder / "first", home)
        whole = added if i % 2 else spent[1]
        for _ in range(rng.randint(1, 2)):  # half of them late, where cells are done and files derived from them are not
            _child(home, three, whole * (rng.uniform(0, 1) if rng.random() < 0.5 else rng.uniform(0.7, 1.02)))

        def act(home: Path = home) -> Any:
            assert _child(home, three, None), "it does not end well"
            parts = [p.name for p in home.rglob(".*.part")]
            return load_run(home).info.state, _bytes(home) == known, parts if len(parts) > 8 else []

        outcome.one(f"kill {i}", act, lambda got: got == ("finished", True, []))
        shutil.rmtree(home)
    return outcome


def test_a_few_kills(tmp_path: Path, fresh: ProcessPoolExecutor) -> None:
    check(fresh.submit(_campaign, tmp_path, 6).result())


@pytest.mark.slow
def test_fifty_kills(tmp_path: Path, fresh: ProcessPoolExecutor) -> None:
    COUNTS.pop("kills", None)
    check(fresh.submit(_campaign, tmp_path, 50).result())
