"""Ray and submitit give the bytes that one process gives. Slow: a local Ray takes half a minute to start."""

from __future__ import annotations

from pathlib import Path

import pytest

from facesr.bench import protocol, registry
from facesr.bench.errors import FaceSRError
from facesr.bench.run import make_plan, start
from facesr.bench.run.clusters import OnRay, OnSlurm
from facesr.bench.run.workers import Workers
from helpers import TINY, faces

DEADLY = '''
import os, signal
from facesr.bench.imaging import resize
from facesr.bench.method import Method

class Deadly(Method):
    """Ends its process over face 002."""
    batch_size = 1
    def restore(self, lr, names=()):
        if "002" in names:
            os.kill(os.getpid(), signal.SIGKILL)
        return resize(lr, self.size, "bicubic-matlab")
'''


def _bytes(world: Path, out: str, workers: Workers | None = None, *methods: str) -> dict[str, bytes]:
    known = protocol.parse(TINY, metrics=registry.installed("facesr.metrics"))
    plan = make_plan(known, registry.method_specs(methods or ("bicubic", "nearest")), world / out, data=str(world / "hr"))
    run = start(plan, workers=workers)
    files = [*sorted((run.path / "sr").rglob("*.png")), run.path / "scores.parquet"]
    return {str(f.relative_to(run.path)): f.read_bytes() for f in files}


def test_slurm_jobs(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    faces(tmp_path / "hr")
    assert _bytes(tmp_path, "jobs", OnSlurm(2, tmp_path / "jobs/.slurm")) == _bytes(tmp_path, "alone")
    with pytest.raises(FaceSRError, match="--slurm"):
        OnSlurm(1, tmp_path / "x", {"no_such_setting": 3})


@pytest.mark.slow
def test_a_slurm_job_that_dies(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    faces(tmp_path / "hr")
    (tmp_path / "d.py").write_text(DEADLY)
    workers = OnSlurm(2, tmp_path / "jobs/.slurm")
    found = _bytes(tmp_path, "jobs", workers, f"{tmp_path / 'd.py'}:Deadly")
    assert len(found) == 4 + 1
    assert workers.deaths == 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ray(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    faces(tmp_path / "hr")
    (tmp_path / "d.py").write_text(DEADLY)
    assert _bytes(tmp_path, "ray", OnRay(2)) == _bytes(tmp_path, "alone")
    workers = OnRay(2)
    found = _bytes(tmp_path, "deadly", workers, f"{tmp_path / 'd.py'}:Deadly")
    assert len(found) == 4 + 1
    assert workers.deaths == 3
