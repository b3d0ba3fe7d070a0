"""insightface's own code on insightface's own models, where the package is installed (``pip install 'facesr-bench[insightface]'``).

Recognition gives the numbers of our own reading of the same file, to the last digits of float32; detection (SCRFD, ``det_10g.onnx``) is another
detector than YuNet, so a metric that uses it says so. Files are checked, and run on one thread, as all ONNX files are here.
"""

from __future__ import annotations

import importlib.util
import inspect
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.faces import F64, U8
from facesr.bench.metrics.base import NoScore
from facesr.bench.onnxnet import F32, OnnxNet
from facesr.bench.results.status import Status
from facesr.bench.weights import find_weight

LARGEST = 640
"""Side of the square that SCRFD sees at most; smaller images are seen as they are, padded to a multiple of 32."""


def insight_installed() -> bool:
    """Whether the package is there; nothing is imported."""
    return importlib.util.find_spec("insightface") is not None


def detector_file() -> Path | None:
    """The detector of insightface's packs where it can be used: the package is installed and the file lies on this machine."""
    if not insight_installed():
        return None
    try:
        return find_weight("buffalo-l-detector")
    except WeightsMissing:
        return None


@cache
def recogniser(path: Path) -> Any:
    """insightface's ``ArcFaceONNX`` of a file. Raises ``FaceSRError`` where it cannot be read."""
    ArcFaceONNX = _imported("arcface_onnx", "ArcFaceONNX")  # noqa: N806 - a class
    net = OnnxNet(path)
    try:
        return ArcFaceONNX(str(path), session=net.session)
    except AssertionError:
        raise FaceSRError(f"{path} has {len(net.output_names)} outputs: a recognition network gives one vector per face") from None


def insight_embeddings(path: Path, crops: U8 | F32) -> F32:
    """``get_feat`` of aligned faces (N, 112, 112, 3), RGB 0..255: (N, D), of any length."""
    net = recogniser(path)
    faces = [np.ascontiguousarray(crop[..., ::-1]) for crop in crops]
    batches = [[face] for face in faces] if net.input_shape[0] == 1 else [faces]
    return np.concatenate([np.asarray(net.get_feat(batch), np.float32) for batch in batches])


@cache
def _detector(path: Path) -> Any:
    SCRFD = _imported("scrfd", "SCRFD")  # noqa: N806 - a class
    options = {"static_shape_sessions": False} if "static_shape_sessions" in inspect.signature(SCRFD).parameters else {}
    found = SCRFD(str(path), session=OnnxNet(path, free="HW").session, **options)
    if not getattr(found, "use_kps", False):
        raise FaceSRError(f"{path} gives no landmarks: use an SCRFD detector with five points, such as det_10g.onnx")
    return found


def insight_points(images: U8, what: str) -> list[F64 | NoScore]:
    """SCRFD's landmarks (5, 2) of the main face of each image (N, H, W, 3), by insightface's rule (large and central), or why there are none."""
    path = detector_file()
    if path is None:
        raise WeightsMissing("insightface's detector needs the package and det_10g.onnx", "buffalo-l-detector")
    side = min(LARGEST, -(-max(images.shape[1:3]) // 32) * 32)
    found: list[F64 | NoScore] = []
    for image in images:
        _, points = _detector(path).detect(np.ascontiguousarray(image[..., ::-1]), input_size=(side, side), max_num=1)
        found.append(
            np.asarray(points[0], np.float64) if len(points) else NoScore(Status.NO_FACE, f"SCRFD finds no face in {what}")
        )
    return found


def _imported(module: str, name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import warns of what concerns its own applications
        return getattr(importlib.import_module(f"insightface.model_zoo.{module}"), name)
