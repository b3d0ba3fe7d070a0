"""Whom a restored face resembles: the HR faces nearest to it in the space of a face recogniser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.faces import Batch, Face
from facesr.bench.imaging import read_rgb
from facesr.bench.metrics.embedders import embedder
from facesr.bench.metrics.identity import Recogniser
from facesr.reports.scores import Scores

if TYPE_CHECKING:
    from facesr.bench.onnxnet import F32

BATCH = 32


@dataclass(frozen=True)
class Neighbours:
    """The HR faces most like one method's answer, nearest first. ``rank``: the place of the face itself (0: no embedding)."""

    method: str
    faces: tuple[str, ...]
    similarity: tuple[float, ...]
    rank: int
    gallery: int


def possible(scores: Scores) -> str:
    """Why neighbours cannot be found here, in a sentence; '' where they can."""
    if not scores.runs[0].has_hr:
        return "Without HR there are no faces to be near to."
    if len(scores.all_faces) < 2:
        return "One face alone has no neighbours."
    try:
        _recogniser().weights  # noqa: B018 - raises where the file is missing
    except WeightsMissing as error:
        return f"No neighbours without the recogniser: {error}"
    return ""


def _recogniser() -> Recogniser:
    return Recogniser(embedder("sface"))


def _faces(scores: Scores) -> dict[str, Face]:
    entries = {f.name: (run, f) for run in reversed(scores.runs) for f in run.faces}
    return {name: Face(name, run.hr_path(name), "", {}, face.landmarks) for name, (run, face) in entries.items()}


def embed_hr(scores: Scores) -> F32:
    """Unit embeddings of every HR face of the runs, (N, D) in the order of ``scores.all_faces``; NaN where no face is found."""
    network, faces = _recogniser(), _faces(scores)
    ordered = [faces[name] for name in scores.all_faces]
    parts = []
    for start in range(0, len(ordered), BATCH):
        part = tuple(ordered[start : start + BATCH])
        parts.append(network.hr(Batch(part, np.stack([read_rgb(f.path) for f in part]))).vectors)
    return np.concatenate(parts)


def neighbours(scores: Scores, face: str, scale: float, gallery: F32, count: int = 5) -> list[Neighbours]:
    """For every method that has an image of ``face``: its ``count`` nearest HR faces. ``gallery``: ``embed_hr(scores)``."""
    network = _recogniser()
    one = _faces(scores)[face]
    names = scores.all_faces
    hr = read_rgb(one.path)
    batch = Batch((one,), hr[None])
    points = network.hr(batch).points
    known = np.asarray(np.isfinite(gallery).all(axis=1))
    made = []
    for method in scores.methods:
        run, label = scores.owner[method]
        if not run.sr_path(label, face, scale).is_file():
            continue
        vector = network.sr(read_rgb(run.as_measured(run.sr_path(label, face, scale)))[None], batch, points)[0]
        if not isinstance(vector, np.ndarray) or not np.isfinite(vector).all():
            made.append(Neighbours(method, (), (), 0, int(known.sum())))
            continue
        alike = np.where(known, gallery @ vector, -np.inf)
        order = np.argsort(-alike, kind="stable")
        own = names.index(face)
        rank = int((alike > alike[own]).sum()) + 1 if known[own] else 0
        nearest = [i for i in order[:count] if known[i]]
        made.append(
            Neighbours(method, tuple(names[i] for i in nearest), tuple(float(alike[i]) for i in nearest), rank, int(known.sum()))
        )
    if not made:
        raise FaceSRError(f"no method has an image of {face!r} at factor {scale} yet")
    return made
