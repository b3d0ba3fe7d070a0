"""A batch in which one face cannot be scored: the others keep their values, in a batch of the same size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facesr.bench.faces import U8, Batch, Face
from facesr.bench.metrics.base import Metric, NoScore
from facesr.bench.metrics.measure import measure
from facesr.bench.results import Status

FACES = tuple(Face(name, Path(), "") for name in ("a", "black", "c"))


class Brightness(Metric):
    """Mean of SR; black images raise. ``short``: it forgets the last face."""

    name = "brightness"
    short = False

    def score(self, sr: U8, batch: Batch, reference: Any) -> Sequence[float]:
        assert len(sr) == len(batch) == len(batch.faces) == 3
        if not sr.reshape(3, -1).any(axis=1).all():
            raise ValueError("a black image has no brightness")
        return [float(image.mean()) for image in sr][: 2 if self.short else 3]


def _images() -> U8:
    return np.stack([np.full((4, 4, 3), level, np.uint8) for level in (10, 0, 30)])


def test_one_black_face_among_three() -> None:
    heard: list[tuple[str, str]] = []
    images = _images()
    found = measure(Brightness(), images, Batch(FACES, images), lambda: None, lambda error, face: heard.append((str(error), face)))
    assert [found[0], found[2]] == [10.0, 30.0]
    assert isinstance(found[1], NoScore)
    assert found[1].status == Status.FAILED
    assert "a black image has no brightness" in found[1].reason
    assert heard == [("a black image has no brightness", "black")]


def test_only_the_first_are_asked_for() -> None:
    images = _images()
    batch = Batch(FACES, images)
    assert list(measure(Brightness(), images + np.uint8(1), batch, lambda: None, count=2)) == [11.0, 1.0]
    assert len(measure(Brightness(), images, batch, lambda: None, count=2)) == 2


def test_a_metric_that_forgets_a_face_is_asked_for_each() -> None:
    metric = Brightness()
    metric.short = True
    images = _images() + np.uint8(1)
    assert list(measure(metric, images, Batch(FACES, images), lambda: None)) == [11.0, 1.0, 31.0]
