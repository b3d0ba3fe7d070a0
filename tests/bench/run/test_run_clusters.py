"""Ray and submitit give the bytes that one process gives. Slow: a local Ray takes half a minute to start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facesr.bench import protocol, registry
from facesr.bench.errors import FaceSRError
from facesr.bench.run import make_plan, start
from facesr.bench.run.clusters import OnRay, OnSlurm
from facesr.bench.run.restoring import RestoreTask, Setting
from facesr.bench.run.workers import Workers, on_own_gpu
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
    known = protocol.parse_protocol(TINY, metrics=registry.installed("facesr.metrics"))
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


@dataclass(frozen=True, eq=False)
class Job:
    """Of ``AtOnce``."""

    job_id: int
    call: Callable[..., Any]
    tasks: list[Any]

    def done(self) -> bool:
        return True

    def result(self) -> Any:
        return self.call(self.tasks)


class AtOnce:
    """Stands in for submitit's executor: a job is done when it is looked at."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def submit(self, call: Callable[..., Any], tasks: list[Any]) -> Job:
        self.sizes.append(len(tasks))
        return Job(len(self.sizes), call, tasks)


@dataclass(frozen=True)
class Number:
    """Stands in for a task."""

    n: int
    title: str = "numbers"
    faces: int = 1


def test_jobs_are_handed_out_in_shares_and_drawn_as_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setattr("facesr.bench.run.clusters._do", lambda tasks: [t.n**2 for t in tasks])
    workers, drawn = OnSlurm(2, tmp_path), list[int]()
    workers._executor, workers.MOST = AtOnce(), 3  # type: ignore[misc]

    def coming(count: int) -> Iterator[Any]:
        for n in range(count):
            drawn.append(n)
            yield Number(n)

    ahead = [(len(drawn), task.n, result) for task, result in workers.do(coming(20))]  # type: ignore[attr-defined]
    assert sorted(n for _, n, _ in ahead) == list(range(20))
    assert all(result == n**2 for _, n, result in ahead)
    assert all(drawn <= done + 2 * 2 * 3 for done, (drawn, _, _) in enumerate(ahead))
    assert workers._executor.sizes[:2] == [3, 3]
    workers._executor = AtOnce()
    assert len(list(workers.do(coming(5)))) == 5
    assert workers._executor.sizes == [3, 2]  # few tasks: each job has its share


def test_a_scheduler_chooses_the_gpu() -> None:
    lr = np.zeros((1, 2, 2, 3), np.uint8)
    spec = registry.method_specs(["bicubic"])[0]
    for asked, seen in (("cuda:3", "cuda"), ("cuda", "cuda"), ("cpu", "cpu")):
        assert on_own_gpu(RestoreTask(Setting(8, "box", 0, asked), spec, 4, ("a",), lr)).setting.device == seen


@pytest.mark.slow
def test_a_slurm_job_that_dies(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    faces(tmp_path / "hr")
    (tmp_path / "d.py").write_text(DEADLY)
    workers = OnSlurm(2, tmp_path / "jobs/.slurm")
    found = _bytes(tmp_path, "jobs", workers, f"{tmp_path / 'd.py'}:Deadly")
    assert len(found) == 4 + 1
    assert workers.deaths == 3


def test_no_cluster_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")

    def fails(**options: Any) -> None:
        raise Exception("The current node timed out\nduring startup.")  # as Ray does, in a bare Exception

    monkeypatch.setattr(ray, "init", fails)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(FaceSRError, match=r"--on ray: no cluster \(10.0.0.1:6379\): .*timed out during startup"):
        OnRay(2)


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
