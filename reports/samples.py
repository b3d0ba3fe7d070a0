"""Several answers of one method to the same LR: how far apart they are, and why the best of them by HR is no result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.faces import U8, Batch, Face
from facesr.bench.imaging.files import read_rgb
from facesr.bench.metrics.base import NoScore
from facesr.bench.metrics.identity import Identity
from facesr.bench.metrics.perceptual import StLpipsAlex
from facesr.bench.stats.intervals import Interval, mean_interval
from facesr.bench.weights import with_fetch
from facesr.reports.cells import Cell, Column, Row
from facesr.reports.references import printed
from facesr.reports.scores import Scores
from facesr.reports.table import Table

F64 = NDArray[np.float64]
ILLEGAL = "best of K by HR ‡"
COLUMNS = (
    Column("k", "K"),
    Column("diversity", "Diversity, ST-LPIPS", conventions="mean ST-LPIPS (AlexNet) over all pairs of a face's samples"),
    Column(
        "distance",
        "Pairwise RMS",
        unit="levels",
        conventions="mean over all pairs of the root mean square difference over pixels and colours",
    ),
    Column("spread", "Spread per pixel", unit="levels", conventions="mean over pixels of the samples' standard deviation (K − 1)"),
    Column("lowest", "ID, least of K", conventions="SFace similarity to HR of the sample that is least like it"),
    Column("range", "ID, range", conventions="greatest less least SFace similarity of a face's samples to HR"),
    Column("oracle", f"ID, {ILLEGAL}", conventions="SFace similarity of the sample most like HR"),
)


def sample_sets(scores: Scores, asked: Sequence[str] = ()) -> dict[str, list[str]]:
    """Sets of samples by name: what is ``asked`` for (labels of one method run with several seeds), else every method with stored samples ([])."""
    if asked:
        known = scores.only(methods=asked).methods
        if len(known) < 2:
            raise FaceSRError(
                f"--samples {','.join(asked)}: one answer has no spread; name two labels or more, or none for stored samples"
            )
        return {" + ".join(known): list(known)}
    found = {m: list[str]() for m in scores.methods if _folder(scores, m, scores.scales[0]).is_dir()}
    if not found:
        raise FaceSRError(
            "no method here has stored samples: run one that draws several (--set psp.samples=4), or name the labels of one method run with "
            "several seeds (--methods p0=pulse,p1=pulse --set p1.seed=1, then --samples p0,p1)"
        )
    return found


def samples_table(scores: Scores, asked: Sequence[str] = ()) -> Table:
    """One row per set of samples: K, diversity, spread, and identity's range; the best of K by HR is there, marked as what it is."""
    rows, said = [], []
    for name, labels in sample_sets(scores, asked).items():
        for scale in scores.scales:
            stacks, skipped = _stacks(scores, name, labels, scale)
            group = f"×{scale}" if len(scores.scales) > 1 else ""
            if skipped:
                said.append(
                    f"{name}{f' at {group}' if group else ''}: {skipped:,} faces have fewer than two samples and are left out."
                )
            if not stacks:
                raise FaceSRError(
                    f"{name} has one sample per face, which has no spread: draw two or more (as in --set {name}.samples=4)"
                )
            cells, lines = _row(scores, name, stacks)
            said += lines
            rows.append(Row(name, name if labels else printed(name, scores.cite(name)), cells, group))
    notes = (
        *dict.fromkeys(said),
        *(f"{c.label.removesuffix(' ‡')}: {c.conventions}." for c in COLUMNS if c.conventions),
        "‡ Illegal as a result: it chooses with the answer at hand, and rises with K for any method that draws at random. It bounds what a better "
        "choice could gain; no such number stands in a comparison of methods.",
        "Intervals over faces; t.",
    )
    return Table("samples", "Several answers to one LR", COLUMNS, tuple(rows), notes)


def _folder(scores: Scores, method: str, scale: float) -> Path:
    run, label = scores.owner[method]
    place = run.path / "samples" / label
    return place / f"x{scale}" if len(run.scales) > 1 else place


def _stacks(scores: Scores, name: str, labels: Sequence[str], scale: float) -> tuple[dict[str, U8], int]:
    """Samples (K, H, W, 3) by face, of the faces that have two or more, and how many have fewer (but one)."""
    found, short = dict[str, U8](), 0
    for face in scores.faces:
        if labels:
            files = [run.sr_path(label, face, scale) for run, label in (scores.owner[m] for m in labels)]
        else:
            files = sorted(_folder(scores, name, scale).glob(f"*/{face}.png"), key=lambda f: (len(f.parent.name), f.parent.name))
        files = [file for file in files if file.is_file()]
        if len(files) < 2:
            short += bool(files)
            continue
        found[face] = np.stack([read_rgb(file) for file in files])
    return found, short


def _row(scores: Scores, name: str, stacks: Mapping[str, U8]) -> tuple[tuple[Cell, ...], list[str]]:
    counts = sorted({len(s) for s in stacks.values()})
    distance = [float(np.mean([rms(a, b) for a, b in combinations(s, 2)])) for s in stacks.values()]
    spread = [float(s.astype(np.float64).std(axis=0, ddof=1).mean()) for s in stacks.values()]
    alike, why = _identity(scores, stacks)
    apart, missing = _diversity(stacks)
    values: dict[str, list[float]] = {
        "diversity": apart,
        "distance": distance,
        "spread": spread,
        "lowest": [min(v) for v in alike],
        "range": [max(v) - min(v) for v in alike],
        "oracle": [max(v) for v in alike],
    }
    digits = {"distance": 1, "spread": 1}
    cells = [Cell(name, "k", text="–".join(map(str, dict.fromkeys((counts[0], counts[-1])))))]
    for column in COLUMNS[1:]:
        found: Interval = mean_interval(values[column.key])
        cells.append(
            Cell(name, column.key, found.mean, found.low, found.high, found.n, digits=digits.get(column.key, 3), ranked=False)
            if found.n
            else Cell(name, column.key, text="–")
        )
    return tuple(cells), [line for line in (why, missing) if line]


def rms(a: U8, b: U8) -> float:
    """Root mean square difference of two images over pixels and colours, in grey levels."""
    return float(np.sqrt(np.square(a.astype(np.float64) - b).mean()))


def _diversity(stacks: Mapping[str, U8]) -> tuple[list[float], str]:
    metric = StLpipsAlex()
    try:
        with_fetch(lambda: metric.weights)
        return [metric.diversity(s[:, None])[0] for s in stacks.values()], ""
    except WeightsMissing as error:
        return [], f"No ST-LPIPS: {error}."


def _identity(scores: Scores, stacks: Mapping[str, U8]) -> tuple[list[list[float]], str]:
    """Similarity to HR of each sample of each face that has HR and in which a face is found."""
    run = scores.runs[0]
    if not run.has_hr:
        return [], "No identity: there is no HR."
    metric = Identity("sface")
    known = {f.name: f for f in run.faces}
    found = []
    try:
        with_fetch(lambda: metric.weights)
        for name, stack in stacks.items():
            info = known[name]
            hr = read_rgb(run.hr_path(name))
            if hr.shape != stack.shape[1:]:
                continue
            face = Face(name, Path(), "", landmarks=info.landmarks)
            batch = Batch((face,) * len(stack), np.repeat(hr[None], len(stack), 0))
            values = metric.score(stack, batch, metric.reference(batch))
            good = [v for v in values if not isinstance(v, NoScore)]
            found += [good] if len(good) == len(stack) else []
    except WeightsMissing as error:
        return [], f"No identity: {error}."
    lost = len(stacks) - len(found)
    return found, f"Identity: {lost:,} faces without HR of this size or a face that is found are left out." if lost else ""
