"""From a batch of portraits to aligned 112 x 112 faces: which transform, found on which image, and what happens where there is no face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from facesr.bench.align import Fit, similarity, warp
from facesr.bench.detect import detect_batch, main_face
from facesr.bench.errors import FaceSRError, WeightsMissing, suggest
from facesr.bench.faces import F64, U8, Batch
from facesr.bench.metrics.base import NoScore
from facesr.bench.onnxnet import F32
from facesr.bench.results.status import Status

Align = Literal["hr-landmarks", "detected", "psp-crop"]
SIZE = 112


@dataclass(frozen=True)
class Crops:
    """Aligned faces of those of a batch that have one. ``index``: their places in it; ``pixels`` (K, 112, 112, 3), RGB 0..255;
    ``missing``: why the others have none, by place."""

    index: tuple[int, ...]
    pixels: U8 | F32
    missing: dict[int, NoScore]


def check_align(align: str) -> Align:
    """``align`` itself, or one sentence with the choices."""
    known: tuple[Align, ...] = ("hr-landmarks", "detected", "psp-crop")
    for name in known:
        if align == name:
            return name
    raise FaceSRError(f"no alignment {align!r}: {suggest(align, known)}")


def five_points(images: U8, what: str) -> list[F64 | NoScore]:
    """YuNet's landmarks (5, 2) of the main face of each image, or why there are none."""
    shape = (images.shape[1], images.shape[2])
    found = [main_face(faces, shape) for faces in detect_batch(images)]
    return [NoScore(Status.NO_FACE, f"YuNet finds no face in {what}") if face is None else face.landmarks5 for face in found]


def hr_points(batch: Batch) -> list[F64 | NoScore]:
    """Landmarks of HR: those known of a face, else YuNet's. Raises ``WeightsMissing`` where they are needed and cannot be had."""
    unknown = [i for i, face in enumerate(batch.faces) if face.landmarks is None]
    try:
        found = dict(zip(unknown, five_points(batch.hr[unknown], "HR"), strict=True)) if unknown else {}
    except WeightsMissing as error:
        raise WeightsMissing(f"{batch.faces[unknown[0]].name} has no known landmarks, and {error}") from None
    return [found[i] if face.landmarks is None else np.asarray(face.landmarks, np.float64) for i, face in enumerate(batch.faces)]


def aligned(images: U8, points: Sequence[F64 | NoScore], fit: Fit) -> Crops:
    """``images`` (N, H, W, 3), each through the similarity that its own landmarks fix, to the five-point template."""
    index = tuple(i for i, p in enumerate(points) if not isinstance(p, NoScore))
    missing = {i: p for i, p in enumerate(points) if isinstance(p, NoScore)}
    crops = [warp(images[i], similarity(points[i], SIZE, fit)) for i in index]  # type: ignore[arg-type]
    return Crops(index, np.stack(crops) if crops else np.zeros((0, SIZE, SIZE, 3), np.uint8), missing)


def psp_crop(images: U8) -> Crops:
    """pSp's fixed crop of an FFHQ-aligned face: to 256 x 256, rows 35..222 and columns 32..219, averaged to 112; no landmarks.

    Larger images are averaged to 256 as pSp's ``face_pool`` does, smaller ones enlarged bilinearly.
    """
    import torch
    from torch.nn import functional as F

    x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    large = min(x.shape[2:]) >= 256
    x = F.adaptive_avg_pool2d(x, 256) if large else F.interpolate(x, size=(256, 256), mode="bilinear", align_corners=False)
    x = F.adaptive_avg_pool2d(x[:, :, 35:223, 32:220], SIZE)
    return Crops(tuple(range(len(images))), x.permute(0, 2, 3, 1).contiguous().numpy(), {})
