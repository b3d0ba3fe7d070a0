"""``facesr reproduce``: a published bundle run again, whole, and every cell compared; a verdict per method."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from facesr.bench.errors import FaceSRError, some
from facesr.bench.registry import MethodSpec
from facesr.bench.results import Run
from facesr.bench.results.cells import Cells, ScoreCell
from facesr.bench.results.run import known_cells
from facesr.bench.run.plan import MetricPlan
from facesr.bench.run.workers import Workers
from facesr.bench.verify import again, structure
from facesr.bench.verify.check import score_agreement
from facesr.bench.verify.compare import Same
from facesr.bench.verify.material import Material, gather_material, runnable_methods


class Reproduced(StrEnum):
    """What came of a method."""

    IDENTICAL = "identical"
    CLOSE = "within tolerance"
    OTHER = "different"
    SCORES = "scores only"
    """Its images could not be made here; scored again they give what was claimed."""
    NOTHING = "not compared"


@dataclass(frozen=True)
class MethodVerdict:
    """``images`` and ``scores``: how many agree, by how far. ``why``: what is different, or what kept it from being run."""

    label: str
    verdict: Reproduced
    images: dict[str, int] = field(default_factory=dict)
    scores: dict[str, int] = field(default_factory=dict)
    why: str = ""

    def __str__(self) -> str:
        each = (("images", self.images), ("scores", self.scores))
        parts = [f"{sum(n.values()):,} {what}: {', '.join(f'{v:,} {how}' for how, v in n.items())}" for what, n in each if n]
        return f"{self.label}: {self.verdict} ({'; '.join([*parts, *([self.why] if self.why else [])])})"


@dataclass(frozen=True)
class Reproduction:
    """``findings``: what is wrong with the bundle itself. ``remarks``: what could not be computed, or had to be believed. ``out``: the new run."""

    title: str
    digest: str
    methods: tuple[MethodVerdict, ...]
    findings: tuple[str, ...]
    remarks: tuple[str, ...]
    out: str = ""

    @property
    def reproduced(self) -> bool:
        """Whether every method was run again, came out the same, and nothing else is wrong."""
        return not self.findings and all(m.verdict in (Reproduced.IDENTICAL, Reproduced.CLOSE) for m in self.methods)

    def as_json(self) -> str:
        """For a file."""
        return json.dumps({**asdict(self), "reproduced": self.reproduced}, indent=1, ensure_ascii=False) + "\n"


def reproduce_run(
    run: Run, out: Path | None, *, data: str | None = None, asked: Sequence[MethodSpec] = (), device: str = "cpu",
    workers: Workers | None = None, tick: again.Tick = lambda what, done, total: None,
) -> Reproduction:  # fmt: skip
    """See ``facesr.reproduce``. Raises ``FaceSRError`` where no HR of its faces is here."""
    material = gather_material(run, data)
    if not material.faces:
        raise FaceSRError(f"{run.path}: no HR of its faces is here, so it cannot be run again: name the folder with --data")
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FaceSRError(f"{out} is there already: name a folder that is not")
    specs, why = runnable_methods(run, asked)
    found = [*structure.run_problems(run, material), *material.findings]
    with _place(out) as place:
        verdicts = (
            dict(_again(run, material, list(specs.values()), place / "run" if out is None else place, device, workers, tick))
            if specs
            else {}
        )
        with tempfile.TemporaryDirectory(prefix="facesr-reproduce-") as beside:
            wrong = again.lr_problems(run, material, material.faces, Path(beside) / "lr")
            found += [f"{len(wrong):,} LR images are not what the protocol makes of HR ({some(wrong, 3)})"] if wrong else []
            verdicts |= dict(_scored(run, material, why, Path(beside) / "scores", tick))
    said = (*structure.run_remarks(run, material), *material.remarks)
    listed = tuple(verdicts[label] for label in run.methods)
    return Reproduction(run.info.title, run.digest, listed, tuple(found), said, str(out) if out is not None else "")


@contextmanager
def _place(out: Path | None) -> Iterator[Path]:
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="facesr-reproduce-") as place:
        yield Path(place)


def _metrics(run: Run, material: Material) -> list[MetricPlan]:
    whole = len(material.faces) == len(run.faces) and not run.info.shard
    return [m for m in material.metrics if whole or not m.of_set]


def _again(
    run: Run, material: Material, specs: Sequence[MethodSpec], place: Path, device: str, workers: Workers | None, tick: again.Tick
) -> Iterator[tuple[str, MethodVerdict]]:
    """Methods that can be run here: images and scores of the new run beside those of the bundle."""
    made = again.restore_again(run, material, material.faces, specs, _metrics(run, material), place, tick, workers, device)
    with Cells(made.path) as cells:
        scores = list(known_cells(made.info, cells, ScoreCell))
    pictures = list(again.compare_images(run, made))
    for spec in specs:
        counted, wrong = score_agreement(run, [c for c in scores if c.method == spec.label], material.metrics)
        images: Counter[str] = Counter()
        troubles = []
        for method, scale, face, same in pictures:
            if method == spec.label:
                images[str(same) if isinstance(same, Same) else str(Same.OTHER)] += 1
                troubles += [] if isinstance(same, Same) else [f"{face} ×{scale} {same}"]
        why = some([*troubles, *map(str, wrong)], 3)
        yield spec.label, MethodVerdict(spec.label, _verdict(images, counted), dict(images), dict(counted), why)


def _verdict(images: Counter[str], scores: Counter[str]) -> Reproduced:
    both = images + scores
    if both[str(Same.OTHER)]:
        return Reproduced.OTHER
    if not sum(images.values()):
        return Reproduced.NOTHING
    return Reproduced.CLOSE if both[str(Same.CLOSE)] else Reproduced.IDENTICAL


def _scored(
    run: Run, material: Material, why: dict[str, str], place: Path, tick: again.Tick
) -> Iterator[tuple[str, MethodVerdict]]:
    """Methods that cannot be run here: their images, scored again."""
    if not why:
        return
    made = again.rescore_run(run, material, material.faces, _metrics(run, material), place, tick)
    for label, reason in why.items():
        counted, wrong = score_agreement(run, [c for c in made.cells if c.method == label], material.metrics)
        verdict = Reproduced.OTHER if wrong else Reproduced.SCORES if counted else Reproduced.NOTHING
        yield (
            label,
            MethodVerdict(
                label, verdict, {}, dict(counted), "; ".join([reason, *([some([str(w) for w in wrong], 3)] if wrong else [])])
            ),
        )
