"""Who does the tasks of a run: this process, or several of this machine. Clusters (``facesr.bench.run.clusters``) offer the same ``do``.

A task's result depends on nothing but the task, so any number of workers gives the same bytes. Every worker computes on one thread.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from facesr.bench.errors import FaceSRError
from facesr.bench.memory import keep_memory
from facesr.bench.method import Outcome
from facesr.bench.metrics.base import NoScore
from facesr.bench.results import Status
from facesr.bench.run.device import gpus
from facesr.bench.run.restoring import Loaded, Restoration, RestoreResult, RestoreTask, restore_task
from facesr.bench.run.scoring import HR, ScoreResult, ScoreTask, score_task

Task = RestoreTask | ScoreTask
Result = RestoreResult | ScoreResult
LIVES = 3
"""A task that ends its worker so often ends as failed cells."""
EARLY = 4
"""How many workers are started before it is known how many tasks there are."""
GRACE = 2.0
"""Seconds between asking a worker to stop and ending it."""


class Workers(Protocol):
    """Does tasks in any order. ``close`` ends what was started for it."""

    count: int

    def do(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """Results as they come; tasks are drawn only a few ahead."""

    def dismiss(self) -> None:
        """There are no more tasks: whoever waits for one may end meanwhile."""

    def close(self) -> None:
        """Stop at once."""

    def doing(self) -> dict[str, str]:
        """What each worker is at, by its name (a process's number, a job's)."""

    @property
    def deaths(self) -> int:
        """Workers that ended and were replaced."""


class Here:
    """Tasks in this process, one after the other."""

    count, deaths = 1, 0

    def __init__(self) -> None:
        self.loaded = Loaded()

    def do(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """See ``Workers``."""
        for task in tasks:
            yield task, perform(task, self.loaded)
        self.loaded.forget()

    def dismiss(self) -> None:
        """See ``Workers``."""

    def close(self) -> None:
        """See ``Workers``."""
        self.loaded.forget()

    def doing(self) -> dict[str, str]:
        """See ``Workers``."""
        return {}


def perform(task: Task, loaded: Loaded) -> Result:
    """Do one task in this process."""
    with one_thread():
        return restore_task(task, loaded) if isinstance(task, RestoreTask) else score_task(task)


@contextmanager
def one_thread(*, torch: bool = True) -> Iterator[None]:
    """One thread for the numerical libraries, and for torch: last digits depend on how many there are. More workers do the parallel work."""
    from threadpoolctl import threadpool_limits

    with ExitStack() as stack:
        if torch:
            from facesr.bench.networks.exact import one_torch_thread

            stack.enter_context(one_torch_thread())
        stack.enter_context(threadpool_limits(1))
        yield


def on_own_gpu(task: Task) -> Task:
    """A task for a worker that sees one GPU only: there ``cuda:1`` is ``cuda``."""
    return replace(task, setting=replace(task.setting, device="cuda")) if task.setting.device.startswith("cuda") else task


def at(tasks: Sequence[Task]) -> str:
    """What a worker is at, for people; '' for nothing."""
    return f"{tasks[0].title}, {sum(t.faces for t in tasks)} faces" if tasks else ""


def lost(task: Task, reason: str) -> Result:
    """The result of a task that cannot be done by anyone: every cell of it failed, with the reason."""
    if isinstance(task, RestoreTask):
        return RestoreResult([Restoration(name, Outcome(Status.FAILED, reason)) for name in task.names])
    cells: list[Any] = [NoScore(Status.FAILED, reason)] * task.faces
    result = ScoreResult()
    for name, wanted in task.wanted.items():
        result.values |= {(name, column): cells for column in wanted.columns}
        result.features |= {(name, column): cells for column in (*wanted.columns, HR)}
    return result


# -- processes of this machine ---------------------------------------------------------------------------------------------------


@dataclass
class _Worker:
    """A process, its end of the pipe, the GPU it computes on, and the task it has."""

    process: Any
    pipe: Connection
    gpu: int | None
    task: Task | None = None


class Processes:
    """Tasks in ``count`` processes, one task each at a time. ``gpus``: numbers of the GPUs that the processes share in turn.

    A worker that dies (killed, out of memory) costs its task a retry in another; a task that ends ``LIVES`` workers is given up and its
    cells say so. Only real deaths count: errors are results.
    """

    def __init__(self, count: int, gpus: Sequence[int] = ()) -> None:
        self.count, self.gpus = count, tuple(gpus)
        self.deaths = 0
        self._workers: list[_Worker] = []
        self._ended: dict[int, int] = {}

    def start_early(self) -> None:
        """Start workers before there are tasks: they load torch meanwhile."""
        while len(self._workers) < min(self.count, EARLY):
            self._start()

    def do(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """See ``Workers``."""
        coming, again = iter(tasks), deque[Task]()
        while True:
            self._hand_out(coming, again)
            busy = [w for w in self._workers if w.task is not None]
            if not busy:
                return
            ready = wait([w.pipe for w in busy] + [w.process.sentinel for w in busy], timeout=1.0)
            for worker in [w for w in busy if w.pipe in ready or w.process.sentinel in ready]:
                yield from self._take(worker, again)

    def _hand_out(self, coming: Iterator[Task], again: deque[Task]) -> None:
        """Give every idle worker a task; start workers only while there are tasks for them."""
        while True:
            self._workers = [w for w in self._workers if w.task is not None or w.process.is_alive()]
            idle = next((w for w in self._workers if w.task is None), None)
            if idle is None and len(self._workers) >= self.count:
                return
            task = again.popleft() if again else next(coming, None)
            if task is None:
                return
            worker = idle or self._start()
            worker.task = task
            with suppress(OSError):  # it died idle: its sentinel tells
                worker.pipe.send(on_own_gpu(task) if self.gpus else task)

    def _take(self, worker: _Worker, again: deque[Task]) -> Iterator[tuple[Task, Result]]:
        task = worker.task
        assert task is not None
        try:
            if not worker.pipe.poll():
                raise EOFError
            result = worker.pipe.recv()
        except (EOFError, OSError):
            result = self._died(worker, task, again)
            if result is None:
                return
        else:
            worker.task = None
        self._ended.pop(id(task), None)
        if isinstance(result, BaseException):
            raise result
        yield task, result

    def _died(self, worker: _Worker, task: Task, again: deque[Task]) -> Result | None:
        self._workers.remove(worker)
        worker.process.join(GRACE)
        code = worker.process.exitcode
        self.deaths += 1
        self._ended[id(task)] = self._ended.get(id(task), 0) + 1
        if self._ended[id(task)] < LIVES:
            again.append(task)
            return None
        how = f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
        memory = "; perhaps too little memory: use fewer --workers" if code == -signal.SIGTERM or code in (-9, 137) else ""
        return lost(task, f"the worker process ended {LIVES} times while at it ({how}{memory})")

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        gpu = self._free_gpu()
        process = context.Process(target=_work, args=(theirs,))
        with _environment(gpu):
            process.start()
        theirs.close()
        worker = _Worker(process, ours, gpu)
        self._workers.append(worker)
        return worker

    def _free_gpu(self) -> int | None:
        """The GPU that fewest workers are on."""
        held = [w.gpu for w in self._workers]
        return min(self.gpus, key=held.count) if self.gpus else None

    def doing(self) -> dict[str, str]:
        """See ``Workers``."""
        held = [(w.process.pid, w.task) for w in list(self._workers)]  # read once: notes are written from another thread
        return {f"process {pid}": at([task] if task else []) for pid, task in held}

    def dismiss(self) -> None:
        """See ``Workers``. Unloading torch takes most of a second."""
        for worker in self._workers:
            worker.process.terminate()

    def close(self) -> None:
        """See ``Workers``."""
        self.dismiss()
        until = time.monotonic() + GRACE
        for worker in self._workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()
        self._workers.clear()


@contextmanager
def _environment(gpu: int | None) -> Iterator[None]:
    """Environment in which a worker starts: libraries read the number of threads, and which GPU there is, when they are loaded."""
    values = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    if gpu is not None:
        visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        values["CUDA_VISIBLE_DEVICES"] = visible[gpu] if gpu < len(visible) else str(gpu)
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _work(pipe: Connection) -> None:
    """The life of a worker: tasks until the pipe closes. It stops when asked to, and when the process that started it is gone."""
    keep_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal: the driver decides
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_watch_parent, daemon=True).start()
    import torch  # noqa: F401 - every task needs it; a worker that was started early has no task yet

    loaded = Loaded()
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            result: Any = perform(task, loaded)
        except Exception as error:  # what is wrong with the task's files, not with a plug-in: the driver's to report
            result = error if isinstance(error, FaceSRError) else FaceSRError(f"{task.title}: {type(error).__name__}: {error}")
        try:
            pipe.send(result)
        except OSError:
            return


def _stop(number: int, frame: Any) -> None:
    sys.exit(128 + number)


def _watch_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        with suppress(OSError):
            os.kill(os.getpid(), signal.SIGTERM)  # so that a program it runs is ended too
        time.sleep(GRACE)
        os._exit(1)


# -- how many --------------------------------------------------------------------------------------------------------------------

MEMORY_EACH = 2 << 30
"""Bytes a worker is reckoned with: torch, a generator of 1024 px, its search."""


def default_count() -> int:
    """``$FACESR_WORKERS``, else what this machine carries: one per core it may use, as far as memory goes."""
    if (asked := os.environ.get("FACESR_WORKERS", "")).isdigit() and int(asked):
        return int(asked)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _memory() // MEMORY_EACH))


MEMINFO = Path("/proc/meminfo")


def _memory() -> int:
    """Bytes that programs may take: also those that only hold copies of files, which ``SC_AVPHYS_PAGES`` leaves out."""
    with suppress(OSError, ValueError, IndexError):
        return int(MEMINFO.read_text(encoding="ascii").split("MemAvailable:")[1].split()[0]) << 10
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not known on this system
        return 8 << 30


def make_workers(count: int | None, device: str = "cpu") -> Workers:
    """``count`` workers for a run; None: as many as the machine carries (one per GPU named). One is this process itself."""
    if count is not None and count < 1:
        raise FaceSRError(f"--workers {count}: give at least one")
    named = gpus(device)
    wanted = count or (len(named) if named else default_count())
    return Here() if wanted == 1 and not (named and named != [0]) else Processes(wanted, named or ())


@contextmanager
def early_workers(out: Path, count: int | None, device: str) -> Iterator[Workers | None]:
    """Workers of this machine that load torch while a first run is planned, ended on the way out whatever happens.

    None where nothing is won or known: one worker, another device than the processor, a folder that holds a run (perhaps nothing is due).
    """
    team = None
    if device == "cpu" and (count is None or count > 1) and not (out / "run.json").exists():
        team = make_workers(count)
    try:
        if isinstance(team, Processes):
            team.start_early()
        yield team
    finally:
        if team is not None:
            team.close()
