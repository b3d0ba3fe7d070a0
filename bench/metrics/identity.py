"""Identity: is the restored face the same person? Cosine similarity of face embeddings, and the distance of facial landmarks.

How a face is aligned is part of the metric's name: ``identity-sface`` applies one transform, from HR, to HR and SR alike, so that no
method escapes by producing faces that cannot be detected; ``identity-sface-detected`` finds the face in each and counts the lost ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from facesr.bench.errors import WeightsMissing
from facesr.bench.faces import F64, U8, Batch
from facesr.bench.metrics import insight
from facesr.bench.metrics.base import Metric, NoScore
from facesr.bench.metrics.embedders import Embedder, OnnxEmbedder, embedder
from facesr.bench.metrics.faces import Crops, aligned, check_align, five_points, hr_points, psp_crop
from facesr.bench.onnxnet import F32
from facesr.bench.results.status import Status
from facesr.bench.weights import find_weight, weight_sha256

ALIGNMENTS = {
    "hr-landmarks": "one transform per face from HR's five landmarks (known, else YuNet's), applied to HR and SR",
    "detected": "HR and SR each aligned by its own YuNet landmarks; a face not found counts as no_face",
    "psp-crop": "pSp's fixed crop of the 256-pixel image, no landmarks",
}


HR_IS = {"hr": "HR", "person": "the photo of the person", "nothing": "HR"}


@dataclass(frozen=True)
class HrFaces:
    """What HR gives: landmarks of each face (or why not), embeddings (N, D), NaN where there is no face."""

    points: list[F64 | NoScore]
    vectors: F32


class Recogniser:
    """An embedder with an alignment: embeddings of the faces of a batch. What identity, retrieval and verification share."""

    def __init__(self, network: Embedder, align: str = "hr-landmarks") -> None:
        self.network, self.align = network, check_align(align)
        self.suffix = network.name + ("" if self.align == "hr-landmarks" else f"-{self.align}")

    @property
    def conventions(self) -> str:
        """A footnote."""
        where = ALIGNMENTS[self.align]
        if self.align == "detected" and self._insight():
            where = where.replace("YuNet", "SCRFD (insightface)")
        fit = "" if self.align == "psp-crop" else f"; 112 x 112, least squares as {self.network.fit}"
        terms = f"; {self.network.terms}" if self.network.terms else ""
        return f"{self.network.label}, {self.network.input}; {where}{fit}{terms}"

    @property
    def weights(self) -> dict[str, str]:
        """sha256 of network and detector. The detector may be missing where every face's landmarks are known."""
        held = {name: weight_sha256(path) for name, path in self.network.files().items()}
        if self.align == "detected" and (detector := self._insight()):
            return held | {"scrfd": weight_sha256(detector)}
        if self.align != "psp-crop":
            try:
                held["yunet"] = weight_sha256(find_weight("yunet"))
            except WeightsMissing:
                if self.align == "detected":
                    raise
        return held

    def _insight(self) -> Path | None:
        """insightface's own detector, for its own networks, where the package and the file are there."""
        return insight.detector_file() if self.network.name == "arcface" else None

    def _found(self, images: U8, what: str) -> list[F64 | NoScore]:
        return insight.insight_points(images, what) if self._insight() else five_points(images, what)

    def hr(self, batch: Batch) -> HrFaces:
        """Landmarks and embeddings of HR."""
        if self.align == "psp-crop":
            return HrFaces([NoScore(Status.SKIPPED, "")] * len(batch), self._vectors(psp_crop(batch.hr), len(batch)))
        points = hr_points(batch) if self.align == "hr-landmarks" else self._found(batch.hr, HR_IS[batch.against])
        return HrFaces(points, self._vectors(aligned(batch.hr, points, self.network.fit), len(batch)))

    def sr(self, sr: U8, batch: Batch, points: Sequence[F64 | NoScore]) -> list[F32 | NoScore]:
        """Embeddings of SR, or why there is none; ``points``: HR's."""
        if self.align == "psp-crop":
            return list(self._vectors(psp_crop(sr), len(sr)))
        if self.align == "detected":
            points = [hr if isinstance(hr, NoScore) else own for hr, own in zip(points, self._found(sr, "SR"), strict=True)]
        crops = aligned(sr, points, self.network.fit)
        vectors = self._vectors(crops, len(sr))
        return [crops.missing.get(i, vectors[i]) for i in range(len(sr))]

    def _vectors(self, crops: Crops, n: int) -> F32:
        found = self.network.embed(crops.pixels)
        vectors = np.full((n, found.shape[1]), np.nan, np.float32)
        vectors[list(crops.index)] = found
        return vectors


class Identity(Metric):
    """Cosine similarity of the embeddings of SR and HR: 1 is the same face, about 0 another person.

    ``network``: an embedder's name (sface, arcface, irse50, curricularface) or an ``Embedder``; ``align``: hr-landmarks, detected or
    psp-crop; ``weights``: a file in place of the embedder's own.
    """

    higher_is_better, digits, range = True, 3, (-1.0, 1.0)

    def __init__(self, network: str | Embedder = "sface", *, align: str = "hr-landmarks", weights: str = "") -> None:
        self.recogniser = Recogniser(embedder(network, weights) if isinstance(network, str) else network, align)
        self.name = f"identity-{self.recogniser.suffix}"
        if self.recogniser.align == "detected":
            self.compares_with = "person"
        variant = {"hr-landmarks": "", "detected": ", detected", "psp-crop": ", pSp crop"}[self.recogniser.align]
        self.label = f"ID ({self.recogniser.network.label}{variant})"
        self.conventions = f"cosine similarity; {self.recogniser.conventions}"

    @property
    def weights(self) -> dict[str, str]:
        return self.recogniser.weights

    def reference(self, batch: Batch) -> HrFaces:
        return self.recogniser.hr(batch)

    def score(self, sr: U8, batch: Batch, reference: Any) -> Sequence[float | NoScore]:
        found = self.recogniser.sr(sr, batch, reference.points)
        pairs = zip(found, reference.vectors, strict=True)
        return [one if isinstance(one, NoScore) else float(np.dot(one.astype(np.float64), other)) for one, other in pairs]


class IdentityOnnx(Identity):
    """Identity by any recognition network in an ONNX file: ``weights`` its path, ``order``, ``mean`` and ``std`` its input."""

    def __init__(
        self,
        *,
        weights: str = "",
        label: str = "ONNX",
        order: Any = "rgb",
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] = 127.5,
        align: str = "hr-landmarks",
    ) -> None:
        super().__init__(OnnxEmbedder("onnx", weights, label=label, order=order, mean=mean, std=std), align=align)


class LandmarkDistance(Metric):
    """Mean distance of YuNet's five landmarks in SR from those in HR, in per cent of HR's distance between the eyes."""

    name, label, higher_is_better, unit, digits, range = "landmark-distance", "Landmarks", False, "%", 2, (0.0, float("inf"))
    conventions = "YuNet's five points, found in SR and in HR; normalised by the eyes' distance; a face not found counts as no_face"
    source = "normalised mean error of face alignment (five points)"

    @property
    def weights(self) -> dict[str, str]:
        return {"yunet": weight_sha256(find_weight("yunet"))}

    def reference(self, batch: Batch) -> list[F64 | NoScore]:
        return five_points(batch.hr, "HR")

    def score(self, sr: U8, batch: Batch, reference: Any) -> Sequence[float | NoScore]:
        return [_off(own, hr) for own, hr in zip(five_points(sr, "SR"), reference, strict=True)]


class FaceFound(Metric):
    """1 where YuNet finds a face in SR, 0 where it does not: the mean is the share of faces that still look like one to a detector."""

    name, label, higher_is_better, digits, range = "face-found", "Face found", True, 3, (0.0, 1.0)
    share = True
    compares_with = "nothing"
    conventions = (
        "YuNet on SR alone; the mean is a share of all faces whose HR it finds (where there is HR); one not found in HR is no_face"
    )
    source = "YuNet (Wu et al. 2023)"

    @property
    def weights(self) -> dict[str, str]:
        return {"yunet": weight_sha256(find_weight("yunet"))}

    def reference(self, batch: Batch) -> list[F64 | NoScore]:
        return five_points(batch.hr, "HR") if batch.hr.size else [np.zeros((5, 2))] * len(batch)

    def score(self, sr: U8, batch: Batch, reference: Any) -> Sequence[float | NoScore]:
        return [
            hr if isinstance(hr, NoScore) else float(not isinstance(own, NoScore))
            for own, hr in zip(five_points(sr, "SR"), reference, strict=True)
        ]


def _off(own: F64 | NoScore, hr: F64 | NoScore) -> float | NoScore:
    if isinstance(hr, NoScore):
        return hr
    if isinstance(own, NoScore):
        return own
    eyes = float(np.hypot(*(hr[1] - hr[0])))
    if eyes < 1e-6:
        return NoScore(Status.NO_FACE, "HR's eyes lie in one place")
    return float(np.hypot(*(own - hr).T).mean() / eyes * 100.0)


# What the entry points of pyproject.toml name.
sface = partial(Identity, "sface")
sface_detected = partial(Identity, "sface", align="detected")
arcface = partial(Identity, "arcface")
arcface_detected = partial(Identity, "arcface", align="detected")
irse50 = partial(Identity, "irse50")
irse50_detected = partial(Identity, "irse50", align="detected")
irse50_psp_crop = partial(Identity, "irse50", align="psp-crop")
curricularface = partial(Identity, "curricularface")
curricularface_detected = partial(Identity, "curricularface", align="detected")
adaface = partial(Identity, "adaface")
