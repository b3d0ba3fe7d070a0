"""The same tasks on a Ray cluster or under SLURM: thin front ends, the scheduling is theirs."""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from facesr.bench.errors import FaceSRError, sentence
from facesr.bench.run.restoring import Loaded
from facesr.bench.run.workers import LIVES, Result, Task, Workers, at, default_count, lost, make_workers, on_own_gpu, perform

_loaded = Loaded()


def _do(tasks: Sequence[Task]) -> list[Result]:
    """What a worker of a cluster does; the scheduler decides which GPU it sees."""
    return [perform(on_own_gpu(task), _loaded) for task in tasks]


def workers_on(where: str | None, count: int | None, device: str, out: Path, jobs: Mapping[str, Any]) -> Workers:
    """Who does a run's tasks: workers of this machine (``where`` None), of a Ray cluster (``ray``), or ``slurm`` jobs with settings ``jobs``."""
    if jobs and where != "slurm":
        raise FaceSRError("--slurm goes with --on slurm")
    if where not in (None, "ray", "slurm"):
        raise FaceSRError(f"--on {where}: choose ray or slurm, or leave it out for this machine")
    if where is None:
        return make_workers(count, device)
    count = count if count is not None else default_count()
    if count < 1:
        raise FaceSRError(f"--workers {count}: give at least one")
    if where == "ray":
        return OnRay(count, gpus=1.0 if device.startswith("cuda") else 0.0)
    return OnSlurm(count, out / ".slurm", jobs)


class OnRay:
    """Tasks on the Ray cluster that ``RAY_ADDRESS`` names, else on a local one. ``count``: tasks at once; ``gpus``: GPUs per task."""

    def __init__(self, count: int, gpus: float = 0.0) -> None:
        try:
            import ray
        except ImportError:
            raise FaceSRError("--on ray needs Ray: pip install 'facesr-bench[ray]'") from None
        self.count, self.deaths, self._ray = count, 0, ray
        self._started = not ray.is_initialized()
        if self._started:
            cpus = None if os.environ.get("RAY_ADDRESS") else count
            try:
                ray.init(num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
            except Exception as error:
                ray.shutdown()
                where = os.environ.get("RAY_ADDRESS") or "a local one"
                raise FaceSRError(f"--on ray: no cluster ({where}): {sentence(error)}") from None
        self._call = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(_do)
        self._running: dict[Any, tuple[Task, int]] = {}

    def do(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """See ``facesr.bench.run.workers.Workers``."""
        from ray.exceptions import RayError, RayTaskError

        coming: Iterator[tuple[Task, int]] = ((task, 0) for task in tasks)
        again: deque[tuple[Task, int]] = deque()
        while True:
            for task, ended in itertools.islice(itertools.chain(_drain(again), coming), self.count - len(self._running)):
                self._running[self._call.remote([task])] = (task, ended)
            if not self._running:
                return
            ready, _ = self._ray.wait(list(self._running), num_returns=1)
            task, ended = self._running.pop(ready[0])
            try:
                (result,) = self._ray.get(ready[0])
            except RayTaskError as error:
                raise FaceSRError(f"{task.title}: {str(error.cause).strip() or type(error.cause).__name__}") from None
            except RayError as error:  # the worker or its node is gone
                self.deaths += 1
                if ended + 1 < LIVES:
                    again.append((task, ended + 1))
                    continue
                result = lost(task, f"the Ray worker ended {LIVES} times while at it ({type(error).__name__})")
            yield task, result

    def doing(self) -> dict[str, str]:
        """See ``Workers``; Ray's own dashboard knows more."""
        return {f"Ray task {reference.hex()[:8]}": at([task]) for reference, (task, _) in list(self._running.items())}

    def dismiss(self) -> None:
        """See ``Workers``."""

    def close(self) -> None:
        """See ``Workers``."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running.clear()
        if self._started:
            self._ray.shutdown()


def _drain(queue: deque[tuple[Task, int]]) -> Iterator[tuple[Task, int]]:
    while queue:
        yield queue.popleft()


class OnSlurm:
    """Tasks as SLURM jobs by submitit (as processes of this machine where there is no SLURM).

    ``count``: jobs at once, each with its share of the tasks. ``folder``: of scripts and logs, on a disk that all nodes see. ``options``:
    submitit's parameters (``timeout_min``, ``slurm_partition``, ``gpus_per_node`` ...).
    """

    EVERY = 0.5
    """Seconds between two looks at the jobs."""
    MOST = 64
    """Tasks of one job: what is lost when a node is, and what the driver holds in memory per job."""

    def __init__(self, count: int, folder: Path, options: Mapping[str, Any] | None = None) -> None:
        try:
            import submitit
        except ImportError:
            raise FaceSRError("--on slurm needs submitit: pip install 'facesr-bench[slurm]'") from None
        self.count, self.deaths = count, 0
        self._executor = submitit.AutoExecutor(folder=folder)
        try:
            self._executor.update_parameters(**{"timeout_min": 60 * 24, "cpus_per_task": 1, **(options or {})})
        except (NameError, TypeError, ValueError) as error:
            raise FaceSRError(f"--slurm: {error}") from None
        self._jobs: dict[Any, tuple[list[Task], int]] = {}

    def do(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """See ``Workers``."""
        coming = iter(tasks)
        while True:
            if idle := self.count - len(self._jobs):
                ahead = list(itertools.islice(coming, max(0, idle) * self.MOST))
                for start in range(0, len(ahead), share := -(-len(ahead) // max(1, idle)) or 1):
                    self._submit(ahead[start : start + share], 0)
            if not self._jobs:
                return
            ended = [job for job in self._jobs if job.done()]
            for job in ended:
                yield from self._take(job)
            if not ended:
                time.sleep(self.EVERY)

    def _submit(self, tasks: list[Task], ended: int) -> None:
        self._jobs[self._executor.submit(_do, tasks)] = (tasks, ended)

    def _take(self, job: Any) -> Iterator[tuple[Task, Result]]:
        from submitit.core.utils import FailedJobError, UncompletedJobError

        tasks, ended = self._jobs.pop(job)
        try:
            results = job.result()
        except FailedJobError as error:
            raise FaceSRError(f"{tasks[0].title}: {str(error).strip().splitlines()[-1]}") from None
        except UncompletedJobError:  # killed, out of memory or time
            self.deaths += 1
            if ended + 1 < LIVES:
                for task in tasks:  # one by one, so that only the one at fault is given up
                    self._submit([task], ended + 1)
                return
            results = [lost(task, f"its SLURM job ended {LIVES} times before it was done ({job.paths.stderr})") for task in tasks]
        yield from zip(tasks, results, strict=True)

    def doing(self) -> dict[str, str]:
        """See ``Workers``."""
        return {f"job {job.job_id}": at(tasks) for job, (tasks, _) in list(self._jobs.items())}

    def dismiss(self) -> None:
        """See ``Workers``."""

    def close(self) -> None:
        """See ``Workers``."""
        for job in self._jobs:
            job.cancel()
        self._jobs.clear()
