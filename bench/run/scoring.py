"""Computing scores, and nothing else: a task with the files' bytes goes in, values and features come out. Runs in any process.

HR is decoded and embedded once for all methods of a task; every metric sees batches of one size (see ``BATCH``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesr.bench.errors import FaceSRError, sentence, trace
from facesr.bench.faces import U8, Batch, Face
from facesr.bench.imaging.decode import decode
from facesr.bench.imaging.files import decode_rgb
from facesr.bench.imaging.lowres import LR, decode_lr
from facesr.bench.imaging.resample import resize8
from facesr.bench.metrics.base import Metric, NoScore, SetMetric
from facesr.bench.metrics.measure import measure
from facesr.bench.metrics.network import on_device
from facesr.bench.protocol import MetricSpec
from facesr.bench.registry import build_metric
from facesr.bench.results import Status
from facesr.bench.run.lr import decode_hr
from facesr.bench.run.restoring import Setting

Column = tuple[str, float]
"""A method's label and a scale."""


def batch_size(size: int, device: str = "cpu") -> int:
    """Faces per scoring task: 4 of 256 px and less (64 on a GPU), fewer of larger ones, and no other number: a short batch is filled with copies
    of its last face. Eight or sixteen would save a processor a twentieth, and leave workers without a share of a small set."""
    most = 64 if device.startswith("cuda") else 4
    return max(1, min(most, most * 256**2 // size**2))


@dataclass(frozen=True)
class Wanted:
    """A metric (``key``: of its code, conventions and weights), and the columns and faces (places in the task) it is to score.

    For a metric of sets: the columns to embed.
    """

    key: str
    spec: MetricSpec
    columns: Mapping[Column, tuple[int, ...]]


@dataclass(frozen=True)
class ScoreTask:
    """``hr``, ``lr`` and ``sr`` are the files' bytes, in the order of ``of`` (the faces); None where a face has no SR image; for an HR
    file that cannot be read, why."""

    setting: Setting
    of: tuple[Face, ...]
    hr: tuple[bytes | str, ...]
    lr: Mapping[float, tuple[bytes, ...]]
    sr: Mapping[Column, tuple[bytes | None, ...]]
    wanted: Mapping[str, Wanted]

    title = "metrics"

    @property
    def faces(self) -> int:
        """How many faces."""
        return len(self.of)


@dataclass
class ScoreResult:
    """``values``: for each metric and column, one per face. ``features``: of SR, and under the column ('', 0) of HR.

    ``notes``: what decoding HR took, by face.
    """

    values: dict[tuple[str, Column], list[float | NoScore]] = field(default_factory=dict)
    features: dict[tuple[str, Column], list[Any]] = field(default_factory=dict)
    traces: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)


HR: Column = ("", 0)
_made: dict[str, Metric] = {}


def _metric(wanted: Wanted) -> Metric:
    """The metric, made once per process."""
    if wanted.key not in _made:
        _made[wanted.key] = build_metric(wanted.spec.name, wanted.spec.conventions)
    return _made[wanted.key]


def score_task(task: ScoreTask) -> ScoreResult:
    """Values and features of everything that a task wants; a fault of a metric is the ``NoScore`` of its cells."""
    with on_device(task.setting.device):
        return _score(task)


def _score(task: ScoreTask) -> ScoreResult:
    result = ScoreResult()
    images = _Images(task)
    result.notes = images.notes
    for name, wanted in task.wanted.items():
        try:
            metric = _metric(wanted)
        except Exception as error:  # somebody's metric may raise anything
            lost = NoScore(Status.FAILED, sentence(error))
            result.values |= {(name, column): [lost] * task.faces for column in wanted.columns}
            result.features |= {(name, column): [lost] * task.faces for column in (*wanted.columns, HR)}
            result.traces += trace(error, f"metric {name} cannot be made")
            continue
        if isinstance(metric, SetMetric):
            _features(name, metric, wanted, images, result)
        else:
            _values(name, metric, wanted, images, result)
        for (known, column), found in [*result.values.items(), *result.features.items()]:
            for i, lost in images.lost(metric, column[1]).items() if known == name else ():
                found[i] = lost  # whatever stood in for that face was not measured
    return result


PHOTO = 512
"""Side of the square that photos of people are brought into: enough for a detector and for a face of 112 pixels."""


def _in_square(photo: U8) -> U8:
    """A photo of any shape in the corner of a black square; larger ones are averaged down first."""
    height, width, _ = photo.shape
    times = min(1.0, PHOTO / max(height, width))
    small = resize8(photo, (max(1, round(height * times)), max(1, round(width * times))), "box")
    square = np.zeros((PHOTO, PHOTO, 3), np.uint8)
    square[: small.shape[0], : small.shape[1]] = small
    return square


class _Images:
    """The task's images, each decoded once, in batches of full size."""

    def __init__(self, task: ScoreTask) -> None:
        setting = task.setting
        self.count, self.full = task.faces, max(task.faces, batch_size(setting.size, setting.device))
        self.task, self._sr, self._lr = task, dict[Column, U8](), dict[float, LR]()
        self.faces = (*task.of, *([task.of[-1]] * (self.full - self.count)))
        self.broken: dict[int, NoScore] = {}
        """Places of faces whose HR (or photo) cannot be read, and why: black stands in, so that batches stay whole."""
        self.notes: dict[str, str] = {}
        self.no_lr: dict[float, set[int]] = {}
        self.nothing = np.zeros((self.full, 0, 0, 3), np.uint8)
        self.hr = self.nothing if setting.against == "nothing" else self._whole([self._hr(i) for i in range(self.count)])

    def _hr(self, i: int) -> U8:
        data, setting, name = self.task.hr[i], self.task.setting, self.task.of[i].name
        whole = setting.against == "hr"
        try:
            if isinstance(data, str):
                raise FaceSRError(data)
            picture = decode_hr(data, setting.size, setting.reduce, name) if whole else decode(data, name)
        except FaceSRError as error:
            lost = NoScore(Status.FAILED, f"{'HR' if whole else 'photo of the person'}: {error}")
            self.broken[i] = lost if data or whole else NoScore(Status.SKIPPED, "there is no photo of this person")
            side = setting.size if whole else PHOTO
            return np.zeros((side, side, 3), np.uint8)
        self.notes[name] = "; ".join(picture.notes)
        return picture.pixels if whole else _in_square(picture.pixels)

    def lost(self, metric: Metric, scale: float) -> Mapping[int, NoScore]:
        """The faces that the metric cannot score for want of HR, a photo or LR."""
        absent = NoScore(Status.FAILED, "there is no LR image of this face")
        without = dict.fromkeys(self.no_lr.get(scale, ()), absent) if metric.needs_lr else {}
        free = metric.compares_with == "nothing" and self.task.setting.against != "hr"
        return without if free else without | self.broken

    def _whole(self, images: Sequence[NDArray[Any]]) -> NDArray[Any]:
        return np.stack([*images, *([images[-1]] * (self.full - self.count))])

    def batch(self, metric: Metric, scale: float) -> Batch:
        against = self.task.setting.against
        hr = self.nothing if metric.compares_with == "nothing" and against != "hr" else self.hr
        if not metric.needs_lr:
            return Batch(self.faces, hr, None, against)
        if scale not in self._lr:
            files = zip(self.task.lr[scale], self.task.of, strict=True)
            read = [decode_lr(b, f"LR of {f.name}") if b else None for b, f in files]
            self.no_lr[scale] = {i for i, image in enumerate(read) if image is None}
            black = np.zeros_like(next((image for image in read if image is not None), np.zeros((1, 1, 3), np.uint8)))
            self._lr[scale] = self._whole([black if image is None else image for image in read])
        return Batch(self.faces, hr, self._lr[scale], against)

    def sr(self, column: Column) -> U8:
        """SR images; where there is none HR (or black) stands in, so that batches stay whole, and its score is thrown away."""
        if column not in self._sr:
            self._sr[column] = self._whole([self._one(column, i) for i in range(self.count)])
        return self._sr[column]

    def _one(self, column: Column, i: int) -> U8:
        data, name = self.task.sr[column][i], self.task.of[i].name
        side = self.task.setting.size
        if data is None:
            return np.asarray(self.hr[i]) if self.task.setting.against == "hr" else np.zeros((side, side, 3), np.uint8)
        image = decode_rgb(data, f"{name} of {column[0]}")
        if image.shape != (side, side, 3):
            raise FaceSRError(f"{name} of {column[0]}: {image.shape[1]} x {image.shape[0]} pixels, expected {side}")
        return image


def _values(name: str, metric: Metric, wanted: Wanted, images: _Images, result: ScoreResult) -> None:
    references: dict[float, Any] = {}
    for column in wanted.columns:
        scale = column[1] if metric.needs_lr else 0
        batch, sr = images.batch(metric, scale), images.sr(column)

        def reference(scale: float = scale, batch: Batch = batch) -> Any:
            if scale not in references:
                references[scale] = metric.reference(batch)
            return references[scale]

        def report(error: Exception, face: str) -> None:
            result.traces.extend(trace(error, f"metric {name}, face {face}"))

        result.values[name, column] = list(measure(metric, sr, batch, reference, report, images.count))


def _features(name: str, metric: SetMetric, wanted: Wanted, images: _Images, result: ScoreResult) -> None:
    batch = images.batch(metric, next(iter(wanted.columns))[1])
    try:
        reference = metric.reference(batch)
        result.features[name, HR] = list(metric.hr_features(batch, reference))[: images.count]
    except Exception as error:  # as above
        result.traces += trace(error, f"metric {name} of HR")
        lost = NoScore(Status.FAILED, sentence(error))
        result.features |= {(name, column): [lost] * images.count for column in (*wanted.columns, HR)}
        return
    for column in wanted.columns:
        try:
            features = list(metric.features(images.sr(column), batch, reference))[: images.count]
        except Exception as error:  # as above
            result.traces += trace(error, f"metric {name} of {column[0]}")
            features = [NoScore(Status.FAILED, sentence(error))] * images.count
        result.features[name, column] = features
