"""Computing again: scores from the images that were handed in, and the images from the methods themselves. Nothing of the bundle is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from facesr.bench.data.dataset import Dataset
from facesr.bench.errors import FaceSRError
from facesr.bench.faces import Face
from facesr.bench.imaging.files import decode_rgb, make_folder, read_rgb, write_whole
from facesr.bench.imaging.lowres import read_lr
from facesr.bench.reading import read_bytes
from facesr.bench.registry import MethodSpec
from facesr.bench.results import SERVED, Run, Status
from facesr.bench.results.cells import Cells, ScoreCell, SrCell
from facesr.bench.results.run import known_cells
from facesr.bench.run import start
from facesr.bench.run.lr import make_lr
from facesr.bench.run.plan import MetricPlan, Plan
from facesr.bench.run.scorer import Scorer
from facesr.bench.run.scoring import ScoreResult, ScoreTask
from facesr.bench.run.workers import Here, Workers
from facesr.bench.verify.compare import LEVELS, Same, same_images
from facesr.bench.verify.material import Material

Tick = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Rescored:
    """``cells``: what the images that were handed in score. ``problems``: images that are no images of the run."""

    cells: tuple[ScoreCell, ...]
    problems: tuple[str, ...]


def rescore_run(
    run: Run, material: Material, faces: Sequence[Face], metrics: Sequence[MetricPlan], out: Path, tick: Tick
) -> Rescored:
    """Score the run's own SR images of ``faces`` again, by ``metrics``, in the folder ``out``; LR is made from HR anew."""
    if not metrics or not faces:
        return Rescored((), ())
    plan = _plan(run, material, faces, out, metrics=tuple(metrics), kept=run.info.methods, labels=tuple(run.methods))
    out.mkdir(parents=True, exist_ok=True)
    with Cells(out, write=True) as cells:
        rows, problems = _taken(run, plan)
        cells.put(rows)
        lr = make_lr(plan, cells, tick)
        scorer = Scorer(plan, cells, lr.pixels)
        done, total = 0, len(scorer.faces)
        for task, result in Here().do(scorer.tasks()):
            assert isinstance(task, ScoreTask)
            assert isinstance(result, ScoreResult)
            scorer.accept(task, result)
            done += task.faces
            tick("scores", done, total)
        scorer.finish()
        return Rescored(tuple(cells.rows(ScoreCell)), tuple(problems))


def _plan(run: Run, material: Material, faces: Sequence[Face], out: Path, **rest: object) -> Plan:
    data = Dataset(run.info.data.name, tuple(faces), len(faces))
    return replace(Plan(material.protocol, data, (), (), out, run.info.seed), **rest)  # type: ignore[arg-type]


def _taken(run: Run, plan: Plan) -> tuple[list[SrCell], list[str]]:
    """The rows of the faces' SR images, and the images beside them; one that is none of this size is a problem and has no score."""
    names = {f.name for f in plan.data.faces}
    rows, problems = [], []
    with Cells(run.path) as theirs:
        held = [c for c in known_cells(run.info, theirs, SrCell) if c.image in names]
    for cell in held:
        if cell.status in SERVED:
            folder = plan.folder(f"sr/{cell.method}", cell.scale)
            make_folder(plan.out, folder)
            try:
                data = read_bytes(run.sr_path(cell.method, cell.image, cell.scale))
                shape = decode_rgb(data, cell.image).shape
                if shape != (plan.size, plan.size, 3):
                    raise FaceSRError(f"{shape[1]} x {shape[0]} pixels, expected {plan.size}")
                write_whole(folder / f"{cell.image}.png", data, sync=False)
                cell = cell._replace(sha256=hashlib.sha256(data).hexdigest())
            except FaceSRError as error:
                problems.append(f"SR {cell.method} {cell.image} ×{cell.scale}: {error}")
                cell = cell._replace(status=Status.FAILED, reason="no image", sha256="")
        rows.append(cell)
    return rows, problems


def restore_again(
    run: Run, material: Material, faces: Sequence[Face], specs: Sequence[MethodSpec], metrics: Sequence[MetricPlan], out: Path, tick: Tick,
    workers: Workers | None = None, device: str = "cpu",
) -> Run:  # fmt: skip
    """Run the methods themselves on ``faces`` in the folder ``out``, and score them by ``metrics``."""
    labels = tuple(s.label for s in specs)
    return start(
        _plan(run, material, faces, out, methods=tuple(specs), metrics=tuple(metrics), labels=labels, device=device), tick, workers
    )


def compare_images(run: Run, again: Run) -> Iterator[tuple[str, float, str, Same | str]]:
    """Each image that was made again, beside the one that was claimed: method, scale, face, and how far they agree (or what kept it)."""
    with Cells(run.path) as theirs, Cells(again.path) as ours:
        claimed = {(c.method, c.scale, c.image): c for c in known_cells(run.info, theirs, SrCell)}
        made = list(known_cells(again.info, ours, SrCell))
    for cell in made:
        place = (cell.method, cell.scale, cell.image)
        before = claimed.get(place)
        if before is None:
            yield (*place, "has no row")
        elif cell.status in (Status.FAILED, Status.WEIGHTS_MISSING) and before.status in SERVED:
            yield (*place, f"could not be made here: {cell.reason}")
        elif before.status != cell.status:
            yield (*place, f"claimed {before.status}, ended {cell.status} here")
        elif cell.status not in SERVED or before.sha256 == cell.sha256:
            yield (*place, Same.BYTES)
        else:
            yield (*place, _compared(run, again, cell))


def _compared(run: Run, again: Run, cell: SrCell) -> Same | str:
    try:
        return same_images(*(read_rgb(r.sr_path(cell.method, cell.image, cell.scale)) for r in (run, again)))
    except FaceSRError as error:
        return str(error)


def lr_problems(run: Run, material: Material, faces: Sequence[Face], out: Path) -> list[str]:
    """LR files that are not what the protocol's operator makes of HR (one level apart is another machine's rounding)."""
    if material.protocol.lr is not None:
        return []
    plan = _plan(run, material, faces, out)
    out.mkdir(parents=True, exist_ok=True)
    wrong = []
    with Cells(out, write=True) as cells:
        make_lr(plan, cells, lambda what, done, total: None)
    for face in faces:
        for scale in plan.scales:
            mine, theirs = plan.lr_file(face.name, scale), run.lr_path(face.name, scale)
            if not mine.is_file() or not theirs.is_file():
                continue
            if not _alike(mine, theirs):
                wrong.append(f"{face.name} ×{scale}")
    return wrong


def _alike(mine: Path, theirs: Path) -> bool:
    try:
        a, b = read_lr(mine), read_lr(theirs)
    except FaceSRError:
        return False
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    apart = float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())
    return apart <= (LEVELS / 2 if a.dtype == np.uint8 else 1e-5)


def by_place(cells: Sequence[ScoreCell]) -> Mapping[tuple[str, float, str, str], ScoreCell]:
    """Cells by method, scale, metric and face."""
    return {(c.method, c.scale, c.metric, c.image): c for c in cells}
