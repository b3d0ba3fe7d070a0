"""Face detection with five landmarks: YuNet (Wu et al. 2023), in its OpenCV Zoo release of March 2023."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from facesr.bench import weights
from facesr.bench.errors import FaceSRError
from facesr.bench.faces import F64, U8
from facesr.bench.onnxnet import F32, OnnxNet

WEIGHTS = "yunet"
"""Name of the weight file in ``facesr.bench.weights``."""
STRIDES = (8, 16, 32)
MAX_SIDE = 640
"""Larger images are reduced to this side: YuNet was trained on faces of 10 to 300 pixels at about 640."""
SCORE = 0.7
OVERLAP = 0.3
"""Boxes with a larger intersection over union count as one face (OpenCV's default for YuNet)."""


@dataclass(frozen=True)
class Detection:
    """A face found. ``box``: (left, top, width, height); ``landmarks5`` (5, 2): left eye, right eye, nose, left and right mouth
    corner as seen in the image, (x, y); both in pixels, pixel centres at integers. ``score`` in [0, 1]."""

    box: tuple[float, float, float, float]
    landmarks5: F64
    score: float

    @property
    def points(self) -> tuple[tuple[float, float], ...]:
        """The landmarks as ``facesr.bench.faces.Face.landmarks`` keeps them."""
        return tuple((float(x), float(y)) for x, y in self.landmarks5)


def detect(image: U8, *, min_score: float = SCORE) -> list[Detection]:
    """The faces of one image (H, W, 3), uint8 RGB, of any size; the most certain first, none where there is no face.

    Raises ``WeightsMissing`` where YuNet's file is not to be had, ``FaceSRError`` for anything but uint8 RGB.
    """
    return detect_batch(_checked(image)[None], min_score=min_score)[0]


def detect_batch(images: U8, *, min_score: float = SCORE) -> list[list[Detection]]:
    """``detect`` for images of one size (N, H, W, 3) in one pass of the network; the result does not depend on the batch."""
    if len(images) == 0:
        return []
    _checked(images[0])
    blobs, factor = _blobs(images)
    outputs = dict(zip(_net().output_names, _net()(blobs), strict=True))
    faces = _decoded(outputs, blobs.shape[3])
    return [_kept(rows, min_score, factor) for rows in faces]


def main_face(detections: Sequence[Detection], shape: tuple[int, int]) -> Detection | None:
    """The face an aligned portrait of ``shape`` (H, W) is of: large and central rather than merely certain; None where none is."""

    def weight(face: Detection) -> float:
        left, top, width, height = face.box
        off = np.hypot(left + width / 2 - shape[1] / 2, top + height / 2 - shape[0] / 2)
        return width * height - 2.0 * float(off) ** 2  # insightface's rule for the face a portrait is of

    return max(detections, key=weight, default=None)


@cache
def _net() -> OnnxNet:
    return OnnxNet(Path(weights.find_weight(WEIGHTS)), free="NHW")


def _checked(image: U8) -> U8:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise FaceSRError(f"a face is looked for in uint8 RGB images (H, W, 3), not in {image.dtype} {image.shape}")
    return image


def _blobs(images: U8) -> tuple[F32, float]:
    """(N, 3, h, w) BGR 0..255, sides padded with black to multiples of 32; and the factor from the images to it."""
    import cv2

    height, width = images.shape[1:3]
    factor = min(1.0, MAX_SIDE / max(height, width))
    h, w = max(1, round(height * factor)), max(1, round(width * factor))
    blobs = np.zeros((len(images), 3, -(-h // 32) * 32, -(-w // 32) * 32), np.float32)
    for blob, image in zip(blobs, images, strict=True):
        small = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA) if factor < 1 else image
        blob[:, :h, :w] = small[:, :, ::-1].transpose(2, 0, 1)
    return blobs, factor


def _decoded(outputs: dict[str, F32], width: int) -> F32:
    """Every anchor as a row (N, A, 15): left, top, width, height, five (x, y), score, in pixels of the network's input."""
    parts: list[F32] = []
    for stride in STRIDES:
        box, points = outputs[f"bbox_{stride}"], outputs[f"kps_{stride}"]
        score = np.sqrt(np.clip(outputs[f"cls_{stride}"], 0, 1) * np.clip(outputs[f"obj_{stride}"], 0, 1))
        row, column = np.divmod(np.arange(box.shape[1]), width // stride)
        anchor = np.stack([column, row], axis=1).astype(np.float32)
        centre, size = (box[..., :2] + anchor) * stride, np.exp(np.minimum(box[..., 2:], 10.0)) * stride
        corners = (points.reshape(*points.shape[:2], 5, 2) + anchor[:, None]) * stride
        parts.append(np.concatenate([centre - size / 2, size, corners.reshape(points.shape), score], axis=2))
    return np.concatenate(parts, axis=1)


def _kept(anchors: F32, min_score: float, factor: float) -> list[Detection]:
    rows: F64 = anchors[anchors[:, 14] >= min_score].astype(np.float64)
    rows = rows[np.argsort(-rows[:, 14], kind="stable")]
    found: list[Detection] = []
    while len(rows):
        best, rows = rows[0], rows[1:]
        # Pixel centres at integers, in the reduced image and in the original alike: cv2.resize maps x to (x + .5) / factor - .5.
        points = (best[4:14].reshape(5, 2) + 0.5) / factor - 0.5
        left, top, width, height = (float(v) for v in best[:4] / factor)
        found.append(Detection((left, top, width, height), points, float(best[14])))
        rows = rows[_overlap(best, rows) <= OVERLAP]
    return found


def _overlap(one: F64, rows: F64) -> F64:
    """Intersection over union of a box with each row's box."""
    low = np.maximum(one[:2], rows[:, :2])
    high = np.minimum(one[:2] + one[2:4], rows[:, :2] + rows[:, 2:4])
    inner = np.clip(high - low, 0, None).prod(axis=1)
    union = one[2:4].prod() + rows[:, 2:4].prod(axis=1) - inner
    return np.asarray(inner / np.maximum(union, 1e-12), np.float64)
