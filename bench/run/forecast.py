"""What a run would do, without doing it: cells due and reused, seconds where they are known, room on the disk. Writes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from facesr.bench.errors import FaceSRError, some
from facesr.bench.numbers import span
from facesr.bench.results import Run, load_run
from facesr.bench.results.cells import Cells
from facesr.bench.run import previous_run, restorers_of, with_earlier_methods
from facesr.bench.run.environment import environment
from facesr.bench.run.known import known_before, lost_cells
from facesr.bench.run.lr import known_lr
from facesr.bench.run.place import bytes_of, in_words
from facesr.bench.run.plan import Plan
from facesr.bench.run.restorer import Restorer
from facesr.bench.run.scorer import Scorer
from facesr.bench.weights import without_fetch

NEIGHBOURS = 50
"""Other runs beside this one that are asked how long a method takes."""


@dataclass(frozen=True)
class Due:
    """Cells of a method at a scale (``metric`` is ''), or of a metric for it: to be computed, and there already.

    ``seconds``: per image, as measured before on this machine; None where it was not. ``reason``: why nothing can come of them, or ''.
    """

    method: str
    scale: float
    metric: str
    due: int
    reused: int
    seconds: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Forecast:
    """The plan of a run. ``images``: one for each method and scale; ``scores``: one for each metric of those."""

    title: str
    faces: int
    out: Path
    images: tuple[Due, ...]
    scores: tuple[Due, ...]
    workers: int
    needed: int
    """Bytes of the new files, at most."""
    free: int
    """Bytes that the disk has left."""
    notes: tuple[str, ...]
    lost: tuple[str, ...] = ()
    """Those of ``notes`` that say of which method or metric no cell can come."""

    @property
    def seconds(self) -> float | None:
        """Of restoring, shared by the workers; None where a method that is due was never timed on this machine."""
        due = [d for d in self.images if d.due and not d.reason]
        return (
            sum(d.due * d.seconds for d in due if d.seconds is not None) / self.workers
            if all(d.seconds is not None for d in due)
            else None
        )

    @property
    def lines(self) -> list[str]:
        """For a terminal."""
        several = len({d.scale for d in self.images}) > 1
        width = max((len(d.method) for d in self.images), default=0)
        said = [f"{self.title}: {self.faces:,} faces -> {self.out} (nothing is written)"]
        for one in self.images:
            scores = [s for s in self.scores if (s.method, s.scale) == (one.method, one.scale)]
            parts = [f"{one.due:,} images due, {one.reused:,} reused"]
            parts += [f"{sum(s.due for s in scores):,} scores due, {sum(s.reused for s in scores):,} reused"]
            parts += [one.reason] if one.reason else [_time(one)] if one.due else []
            said.append(f"  {one.method:<{width}}{f' ×{one.scale}' if several else ''}  {'; '.join(parts)}")
        unknown = list(dict.fromkeys(d.method for d in self.images if d.due and d.seconds is None and not d.reason))
        whole = (
            f"unknown, because {some(unknown)} was not timed here before" if self.seconds is None else f"about {span(self.seconds)}"
        )
        said += [f"time to restore: {whole} with {self.workers} worker{'s' * (self.workers > 1)}; scoring comes on top"]
        said += [f"disk: up to {in_words(self.needed)} of {in_words(self.free)} free"]
        return said + [f"note: {note}" for note in self.notes]


def _time(one: Due) -> str:
    return (
        "seconds per face unknown" if one.seconds is None else f"{one.seconds:.3g} s per face, about {span(one.due * one.seconds)}"
    )


def look_ahead(plan: Plan, workers: int = 1) -> Forecast:
    """What ``start`` would do with ``plan``. Nothing is written, downloaded or loaded. Raises ``FaceSRError`` as ``start`` does.

    What a shared store (``--cache``) has is not looked up, so that less may be due.
    """
    plan = with_earlier_methods(plan, previous_run(plan))
    with Cells.copied(plan.out) as cells, without_fetch():
        restorers = restorers_of(plan, cells, None)
        lr, lr_due = known_lr(plan, cells)
        due = {(r.spec.label, r.scale): r.due(lr) for r in restorers}
        scorer = Scorer(plan, cells, lr.pixels)
        images = tuple(_images(plan, restorers, due))
        scores = tuple(_scores(plan, scorer, due))
    there = next(p for p in (plan.out, *plan.out.resolve().parents) if p.exists())
    count = sum(d.due for d in images) + len(lr_due) * len(plan.scales)
    return Forecast(
        f"{plan.protocol.name}@{plan.protocol.version}", len(plan.data.faces), plan.out, images, scores, workers,
        bytes_of(plan.size, count), shutil.disk_usage(there).free, tuple(known_before(plan, restorers)), tuple(lost_cells(plan, restorers)),
    )  # fmt: skip


def _images(plan: Plan, restorers: Sequence[Restorer], due: dict[tuple[str, float], set[str]]) -> Iterator[Due]:
    past = list(_past(plan))
    for r in restorers:
        count = len(due[r.spec.label, r.scale])
        yield Due(
            r.spec.label, r.scale, "", count, len(plan.data.faces) - count, _seconds(r, past, plan),
            r.trouble or r.facts.missing,
        )  # fmt: skip


def _scores(plan: Plan, scorer: Scorer, due: dict[tuple[str, float], set[str]]) -> Iterator[Due]:
    for metric in plan.metrics:
        for column, names in due.items():
            if metric.missing or metric.metric.skip(plan.size):
                yield Due(*column, metric.name, 0, 0, reason=metric.missing or str(metric.metric.skip(plan.size)))
            elif metric.of_set:
                again = bool(names) or column in scorer.sets.get(metric.name, ())
                yield Due(*column, metric.name, int(again), int(not again))
            else:
                count = len(names | scorer.due[metric.name][column])
                yield Due(*column, metric.name, count, len(plan.data.faces) - count)


def _past(plan: Plan) -> Iterator[Run]:
    """This run and those beside it that were made with this side, on this machine and device."""
    beside = sorted(p.parent for p in plan.out.resolve().parent.glob("*/run.json"))
    here = environment(plan.device)
    for folder in [plan.out.resolve(), *(p for p in beside[:NEIGHBOURS] if p != plan.out.resolve())]:
        try:
            run = load_run(folder)
        except FaceSRError:
            continue
        alike = all(run.info.environment.get(k) == here.get(k) for k in ("processor", "device"))
        if alike and dict(run.protocol.get("data") or {}).get("size") == plan.size:
            yield run


def _seconds(restorer: Restorer, past: Sequence[Run], plan: Plan) -> float | None:
    """Per face, of the same class, parameters and scale; of a first batch only where there is no other."""
    for run in past:
        for method in run.info.methods:
            if (method.target, dict(method.params)) != (restorer.spec.target, dict(restorer.info.params)):
                continue
            costs = run.costs()
            mine = costs[(costs["method"] == method.label) & (costs["scale"] == restorer.scale)]
            warm = mine[~mine["first"]]
            if len(mine):
                return float((warm if len(warm) else mine)["seconds"].mean())
    return None
