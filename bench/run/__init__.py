"""A run: a grid of cells (image x method x metric), resumable, that never drops one.

``start`` does what is due and nothing else: stopping at any moment and starting again gives the same images and scores as never
stopping. The folder is described in ``facesr.bench.results``. Computing (``restoring``, ``scoring``) knows nothing of the folder; what is
due and what is written (``lr``, ``restorer``, ``scorer``) computes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from facesr.bench.errors import FaceSRError
from facesr.bench.imaging.files import write_whole
from facesr.bench.registry import MethodSpec, installed
from facesr.bench.results import FORMAT, CallInfo, DataInfo, FaceInfo, MethodInfo, Run, RunInfo, load
from facesr.bench.results.cells import Cells
from facesr.bench.results.run import score_rows
from facesr.bench.results.table import write_scores
from facesr.bench.run.environment import environment
from facesr.bench.run.lr import Progress, make_lr
from facesr.bench.run.plan import Plan, make_plan
from facesr.bench.run.restorer import Restorer
from facesr.bench.run.restoring import RestoreResult, RestoreTask
from facesr.bench.run.scorer import Scorer
from facesr.bench.run.scoring import ScoreResult, ScoreTask
from facesr.bench.run.workers import Here, Workers

__all__ = ["Plan", "Progress", "make_plan", "start"]


def start(plan: Plan, progress: Progress = lambda what, done, total: None, workers: Workers | None = None) -> Run:
    """Do what is due in the run folder and return the finished run.

    Methods of earlier calls stay in it. Those that are installed are brought up to date too; of others (a user's file, a folder, a
    program) the images that are there are kept and scored, but nothing is imported or run unless this call names it.
    """
    workers = workers or Here()
    with locked(plan.out):
        previous = _previous(plan)
        plan = _with_earlier_methods(plan, previous)
        started = _now()
        with Cells(plan.out, write=True) as cells:
            restorers = [Restorer(plan, cells, spec, scale) for spec in plan.methods for scale in plan.scales]
            info = _info(plan, restorers)
            _write_info(plan, replace(info, state="running"), previous, started)
            try:
                _restore_and_score(plan, cells, restorers, workers, progress)
            except BaseException:
                workers.close()
                raise
            write_scores(plan.out, score_rows(info, cells))
        _write_info(plan, info, previous, started)
    return load(plan.out)


def _restore_and_score(plan: Plan, cells: Cells, restorers: list[Restorer], workers: Workers, progress: Progress) -> None:
    needs_lr = any(m.metric.needs_lr for m in plan.metrics) or any(r.facts.needs_lr for r in restorers)
    lr = make_lr(plan, cells, progress) if needs_lr else {}
    owners = {(r.spec.label, r.scale): r for r in restorers}
    due = {r.spec.label: 0 for r in restorers}
    done = dict(due)

    def all_tasks() -> Iterator[RestoreTask]:
        for restorer in restorers:
            tasks = list(restorer.tasks(lr))
            due[restorer.spec.label] += sum(t.faces for t in tasks)
            yield from tasks

    for task, result in workers.do(all_tasks()):
        assert isinstance(task, RestoreTask)
        assert isinstance(result, RestoreResult)
        owner = owners[task.spec.label, task.scale]
        owner.accept(result)
        done[task.title] += task.faces
        progress(task.title, done[task.title], due[task.title])
    for restorer in restorers:
        _log(plan, restorer.traces)
    scorer = Scorer(plan, cells, lr)
    total, scored = len(scorer.faces), 0
    for task, result in workers.do(scorer.tasks()):
        assert isinstance(task, ScoreTask)
        assert isinstance(result, ScoreResult)
        scorer.accept(task, result)
        scored += task.faces
        progress(task.title, scored, total)
    scorer.finish()
    _log(plan, scorer.traces)


def _log(plan: Plan, traces: list[str]) -> None:
    """Append tracebacks of errors in methods and metrics to ``run.log``."""
    file = plan.out / "run.log"
    if traces and not file.is_symlink():
        with file.open("a", encoding="utf-8", errors="backslashreplace") as log:
            log.writelines(f"{_now()} {text.rstrip()}\n\n" for text in traces)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _previous(plan: Plan) -> Run | None:
    if not (plan.out / "run.json").is_file():
        return None
    try:
        run = load(plan.out)
    except FaceSRError:
        return None  # half-written by an older version or another program: run.json is rewritten, cells are checked one by one
    if run.digest != plan.digest:
        raise FaceSRError(
            f"{plan.out} holds a run of {run.info.title or 'another protocol'} (digest {run.digest[:12]}, this one {plan.digest[:12]}): "
            "protocol, metrics or faces differ; choose another --out"
        )
    return run


def _with_earlier_methods(plan: Plan, previous: Run | None) -> Plan:
    """Methods of earlier calls, in their order; one that is asked for again may have new parameters. See ``start``."""
    if previous is None:
        return plan
    asked = {m.label: m for m in plan.methods}
    known = set(installed("facesr.methods").values())
    again: list[MethodSpec] = []
    kept: list[MethodInfo] = []
    for old in previous.info.methods:
        if old.label in asked:
            again.append(asked.pop(old.label))
        elif old.target in known:
            again.append(MethodSpec(old.label, old.target, old.params))
        else:
            kept.append(old)
    labels = (*previous.methods, *asked)
    return replace(plan, methods=(*again, *asked.values()), kept=tuple(kept), labels=labels)


def _info(plan: Plan, restorers: list[Restorer]) -> RunInfo:
    """``run.json`` of a finished run, methods of earlier calls first."""
    data = plan.data
    methods = {m.label: m for m in plan.kept} | {r.spec.label: r.info for r in reversed(restorers)}
    return RunInfo(
        format=FORMAT,
        title=f"{plan.protocol.name}@{plan.protocol.version}",
        state="finished",
        protocol=plan.protocol.as_dict(),
        digest=plan.digest,
        data=DataInfo(name=data.name, faces=len(data.faces), total=data.total, note=data.note),
        scales=plan.scales,
        seed=plan.seed,
        methods=tuple(methods[label] for label in plan.labels),
        metrics={m.name: m.info for m in plan.metrics},
        environment=environment(plan.device),
        faces=tuple(
            FaceInfo(
                name=f.name, path=_seen_from(plan.out, f.path), sha256=f.sha256, attributes=f.attributes, landmarks=f.landmarks
            )
            for f in data.faces
        ),
    )


def _seen_from(folder: Path, file: Path) -> str:
    """A file's path from the run folder, so that both can move together; absolute where there is none (another drive)."""
    try:
        return Path(os.path.relpath(file, folder.resolve())).as_posix()
    except ValueError:
        return str(file)


def _write_info(plan: Plan, info: RunInfo, previous: Run | None, started: str) -> None:
    """Write ``run.json``, unless nothing in it but the clock would be different."""
    old = previous.info if previous else None
    if old and old.state == "finished" and asdict(replace(old, calls=())) == asdict(replace(info, state="finished")):
        return
    call = CallInfo(started=started, finished=_now() if info.state == "finished" else None)
    write_whole(plan.out / "run.json", replace(info, calls=(*(old.calls if old else ()), call)).as_json())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run folder; a second run into it gets one sentence. The lock ends with the process, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / ".lock").is_symlink():
            raise FaceSRError(f"{folder / '.lock'} is a link: remove it")
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise FaceSRError(f"{folder} is in use by another facesr run: wait for it, or choose another --out") from None
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise FaceSRError(f"{folder}: cannot be written ({error.strerror})") from None
