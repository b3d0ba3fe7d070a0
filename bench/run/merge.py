"""Putting the shards of a run together: their cells and images are taken over as they are; only scores of the whole set are computed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from facesr.bench.config import from_table
from facesr.bench.data.dataset import Dataset
from facesr.bench.errors import FaceSRError
from facesr.bench.faces import Face
from facesr.bench.imaging.files import make_folder
from facesr.bench.protocol import Protocol
from facesr.bench.reading import file_sha256
from facesr.bench.registry import installed
from facesr.bench.results import SERVED, WHOLE_SET, FaceInfo, Run, RunInfo, load_run
from facesr.bench.results.again import command
from facesr.bench.results.cells import Cells, CostCell, LrCell, ScoreCell, SrCell
from facesr.bench.run.folder import finish, locked, seen_from, write_info
from facesr.bench.run.lr import Progress
from facesr.bench.run.plan import Plan, identity_of, make_metrics, run_digest
from facesr.bench.run.scorer import Scorer
from facesr.bench.run.workers import Here, Workers


def merge_shards(
    out: Path | str,
    shards: Sequence[Path | str],
    progress: Progress = lambda what, done, total: None,
    workers: Workers | None = None,
) -> Run:
    """Put finished shards together in the run folder ``out``; returns the whole run.

    Raises ``FaceSRError`` where shards are of different runs, where one is missing or unfinished, or where an image is not what its
    cell says. Calling it again goes on where it was. Metrics of sets from a user's own file are left to the next ``facesr run``.
    """
    runs = [load_run(path) for path in shards]
    info = _whole(runs)
    out = Path(out)
    workers = workers or Here()
    with locked(out):
        previous = load_run(out) if (out / "run.json").is_file() else None
        if previous and (previous.digest != info.digest or previous.info.shard):
            raise FaceSRError(f"{out} holds another run: choose another folder to merge into")
        faces = {f.name: (run, f) for run in runs for f in run.faces}
        data = tuple(_face(*faces[name]) for name in sorted(faces))
        info = replace(info, faces=tuple(replace(faces[f.name][1], path=seen_from(out, f.path)) for f in data))
        plan = _plan(out, info, data)
        with Cells(out, write=True) as cells:
            write_info(out, replace(info, state="running"), previous)
            for run in runs:
                _take(run, plan, cells, progress)
            lr = {(c.scale, c.image): c.pixels for c in cells.rows(LrCell)}
            scorer = Scorer(plan, cells, lr)
            total, done = len(scorer.faces), 0
            for task, result in workers.do(scorer.tasks()):
                scorer.accept(task, result)  # type: ignore[arg-type]
                done += task.faces
                progress("scores of the set", done, total)
            scorer.finish()
            finish(out, info, cells)
        write_info(out, info, previous)
    return load_run(out)


def _whole(runs: Sequence[Run]) -> RunInfo:
    """``run.json`` of the whole, or one error with all that keeps the shards from being one run."""
    if not runs:
        raise FaceSRError("no shard was named: give the folders that 'facesr run --shard' wrote")
    first, problems = runs[0].info, []
    for run in runs:
        if not run.info.shard:
            problems.append(f"{run.path} is no shard")
        if run.running:
            problems.append(f"{run.path} is not finished: call it again")
        if run.digest != first.digest:
            problems.append(f"{run.path} is of another run than {runs[0].path}")
        for what in ("methods", "metrics", "seed", "scales"):
            if getattr(run.info, what) != getattr(first, what):
                problems.append(f"{run.path} has other {what} than {runs[0].path}")
    faces = [f for run in runs for f in run.faces]
    if not problems:
        problems += _gaps(runs, faces)
    if problems:
        raise FaceSRError("; ".join(problems))
    ordered = tuple(sorted(faces, key=lambda f: f.name))
    whole = replace(first, faces=ordered, shard="", calls=(), data=replace(first.data, faces=len(faces)), state="finished")
    return replace(whole, command=command(whole))


def _gaps(runs: Sequence[Run], faces: Sequence[FaceInfo]) -> Iterator[str]:
    parts = {run.info.shard for run in runs}
    count = int(runs[0].info.shard.partition("/")[2])
    absent = [f"{i}/{count}" for i in range(1, count + 1) if f"{i}/{count}" not in parts]
    if absent:
        yield f"shards are missing: {', '.join(absent)}"
    elif len(runs) != count:
        yield f"{len(runs)} folders were named for {count} shards"
    elif run_digest(_protocol(runs[0].info), [identity_of(f) for f in faces]) != runs[0].digest:
        yield "the shards' faces are not those of the whole run: was the data set changed in between?"


def _protocol(info: RunInfo) -> Protocol:
    return from_table(Protocol, info.protocol, "run.json")


def _face(run: Run, face: FaceInfo) -> Face:
    return Face(
        face.name, run.hr_path(face.name, checked=False), face.sha256, face.attributes, face.landmarks, lr_sha256=face.lr_sha256
    )


def _plan(out: Path, info: RunInfo, faces: tuple[Face, ...]) -> Plan:
    """A plan that restores nothing and computes the scores of sets that an installed metric gives."""
    protocol, known = _protocol(info), installed("facesr.metrics")
    made = make_metrics(protocol, [m for m in protocol.metrics if m.name in known])
    data = Dataset(info.data.name, faces, info.data.total, info.data.note)
    sets = tuple(m for m in made if m.of_set)
    return Plan(protocol, data, (), sets, out, info.seed, kept=info.methods, labels=tuple(m.label for m in info.methods))


def _take(run: Run, plan: Plan, cells: Cells, progress: Progress) -> None:
    """A shard's files and cells; the cells last, so that a row always has its image."""
    names = {f.name for f in run.faces}
    with Cells(run.path) as theirs:
        lr = [c for c in theirs.rows(LrCell) if c.image in names]
        sr = [c for c in theirs.rows(SrCell) if c.image in names and c.method in plan.labels]
        costs = [c for c in theirs.rows(CostCell) if c.image in names and c.method in plan.labels]
        scores = [c for c in theirs.rows(ScoreCell) if c.image in names and c.image != WHOLE_SET and c.method in plan.labels]
    files = [(run.lr_path(c.image, c.scale), plan.folder("lr", c.scale), c.sha256) for c in lr]
    served = [c for c in sr if c.status in SERVED]
    files += [(run.sr_path(c.method, c.image, c.scale), plan.folder(f"sr/{c.method}", c.scale), c.sha256) for c in served]
    for folder in dict.fromkeys(folder for _, folder, _ in files):
        make_folder(plan.out, folder)
    for done, (file, folder, known) in enumerate(files, start=1):
        _copy(run.as_measured(file), folder / file.name, known)
        if done % 100 == 0 or done == len(files):
            progress(f"shard {run.info.shard}", done, len(files))
    cells.put([*lr, *sr, *scores, *costs])


def _copy(file: Path, to: Path, known: str) -> None:
    """A link to the same file where the disk has them (files of a run are replaced, never changed), else a copy; checked."""
    if not file.is_file() or file_sha256(file) != known:
        raise FaceSRError(f"{file} is not what was measured: call its shard again, then merge")
    if to.is_file() and file_sha256(to) == known:
        return
    beside = to.with_name(f".{to.name}.{os.getpid()}.part")
    beside.unlink(missing_ok=True)
    linked = False
    with suppress(OSError):
        os.link(file.resolve(), beside)
        linked = True
    if not linked:
        shutil.copyfile(file, beside)
    beside.replace(to)
