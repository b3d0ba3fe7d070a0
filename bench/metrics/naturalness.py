"""Distances between the distributions of SR and HR: FID and KID on Inception's features, and both on a face recogniser's.

Maths and Inception are torch-fidelity's. A Frechet distance of too few images is refused with the reason: its covariance would be
singular and the number mostly bias. A kernel distance has none, and is printed with its interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from facesr.bench.errors import FaceSRError
from facesr.bench.faces import U8, Batch, Face
from facesr.bench.metrics.base import NoScore, SetMetric, SetScore
from facesr.bench.metrics.embedders import embedder
from facesr.bench.metrics.identity import HrFaces, Recogniser
from facesr.bench.metrics.network import batch_slices, device, exactly
from facesr.bench.onnxnet import F32

FEATURES = 2048
"""Inception's last pooled layer."""


def frechet(a: ArrayLike, b: ArrayLike) -> float:
    """Frechet distance of two sets of features (n, d), (m, d): squared, of fitted Gaussians, as torch-fidelity computes it.

    The trace of the root of A B is the sum of the roots of the eigenvalues of the symmetric root(A) B root(A), so no general matrix root
    is taken. Raises ``FaceSRError`` where a set has no more images than features: its covariance is singular.
    """
    sets = [np.asarray(x, np.float64) for x in (a, b)]
    fewest, width = min(len(x) for x in sets), sets[0].shape[1]
    if fewest <= width:
        raise FaceSRError(
            f"a Frechet distance of {width} features needs more than {width:,} images, these are {fewest:,}: use the kernel distance"
        )
    mean_a, mean_b = (x.mean(axis=0) for x in sets)
    cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in sets)
    values, vectors = np.linalg.eigh(cov_a)
    root = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov_b @ root), 0.0)).sum()
    return float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * shared)


def kernel_distance(a: ArrayLike, b: ArrayLike) -> tuple[float, float, float]:
    """Unbiased squared MMD of two paired sets (n, d) with KID's kernel (x.y / d + 1)^3, and its 95 % interval; it may be negative.

    The mean over all images (torch-fidelity's with one subset of all); the interval by the jackknife over pairs. Needs n >= 3.
    Source: Binkowski et al. 2018.
    """
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    n = len(x)
    if x.shape != y.shape or n < 3:
        raise FaceSRError(f"a kernel distance needs two sets of one shape and at least 3 images, got {x.shape} and {y.shape}")
    xx, yy, xy = _sums(x, x), _sums(y, y), _sums(x, y)
    own_x, own_y, across = xx[2], yy[2], xy[2]
    inner = (xx[0].sum() - own_x.sum() + yy[0].sum() - own_y.sum()) / (n * (n - 1))
    value = inner - 2 * xy[0].sum() / n**2
    # Leaving pair i out takes its row and column from each sum.
    m = n - 1
    less_x = xx[0].sum() - own_x.sum() - 2 * (xx[0] - own_x)
    less_y = yy[0].sum() - own_y.sum() - 2 * (yy[0] - own_y)
    less_xy = xy[0].sum() - xy[0] - xy[1] + across
    left_out = (less_x + less_y) / (m * (m - 1)) - 2 * less_xy / m**2
    error = float(np.sqrt((n - 1) / n * np.square(left_out - left_out.mean()).sum()))
    return float(value), float(value - 1.959964 * error), float(value + 1.959964 * error)


def _sums(x: Any, y: Any) -> tuple[Any, Any, Any]:
    """Row sums, column sums and diagonal of the kernel matrix, a block of rows at a time."""
    rows, columns = np.zeros(len(x)), np.zeros(len(y))
    for start in range(0, len(x), 512):
        block = (x[start : start + 512] @ y.T / x.shape[1] + 1.0) ** 3
        rows[start : start + 512] = block.sum(axis=1)
        columns += block.sum(axis=0)
    return rows, columns, (np.einsum("nd,nd->n", x, y) / x.shape[1] + 1.0) ** 3


class _Distribution(SetMetric):
    """A distance of two sets of features; a subclass gives features and distance."""

    higher_is_better, range = False, (0.0, float("inf"))
    kernel: ClassVar[bool]

    def compare(self, sr: Sequence[Any], hr: Sequence[Any], faces: Sequence[Face]) -> SetScore | NoScore:
        try:
            if self.kernel:
                value, low, high = kernel_distance(np.stack(sr), np.stack(hr))
                return SetScore(value, len(sr), low, high)
            return SetScore(frechet(np.stack(sr), np.stack(hr)), len(sr))
        except FaceSRError as error:
            return NoScore("skipped", str(error))


@cache
def _inception(file: Path) -> Any:
    import tempfile

    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    from facesr.bench.weights import load_tensors

    # torch-fidelity unpickles whatever the file holds; it gets a copy that holds only the tensors, read without running code.
    with tempfile.TemporaryDirectory() as folder:
        copy = str(Path(folder) / file.name)
        torch.save(load_tensors(file), copy)
        net = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=copy)
    return net.to(device())


class _Inception(_Distribution):
    @property
    def weights(self) -> dict[str, str]:
        from facesr.bench.weights import find_weight, weight_sha256

        return {"inception": weight_sha256(find_weight("inception-fid"))}

    def reference(self, batch: Batch) -> Sequence[Any]:
        return self.features(batch.hr, batch, None)

    def features(self, sr: U8, batch: Batch, reference: Any) -> Sequence[Any]:
        import torch

        from facesr.bench.weights import find_weight

        net = _inception(find_weight("inception-fid"))
        rows: list[F32] = []
        with exactly():
            for part in batch_slices(len(sr)):
                pixels = torch.from_numpy(np.ascontiguousarray(sr[part])).permute(0, 3, 1, 2).to(device())
                rows += list(net(pixels)[0].cpu().numpy())
        return rows


class FID(_Inception):
    """Frechet Inception distance of SR and HR."""

    name, label, digits, kernel = "fid", "FID", 2, False
    conventions = (
        f"Inception v3 of 2015, {FEATURES} features, TensorFlow's bilinear to 299; more than {FEATURES:,} images or refused"
    )
    source = "torch-fidelity"


class KID(_Inception):
    """Kernel Inception distance of SR and HR."""

    name, label, digits, kernel = "kid", "KID", 4, True
    conventions = f"Inception v3 of 2015, {FEATURES} features; cubic kernel, unbiased, all images in one subset; jackknife interval"
    source = "torch-fidelity (one subset of all images)"


class _FaceDistribution(_Distribution):
    """The same on a recogniser's embeddings: available anywhere, comparable only with itself."""

    def __init__(self, network: str = "sface", *, weights: str = "") -> None:
        self.recogniser = Recogniser(embedder(network, weights))
        kind = "kernel" if self.kernel else "Frechet"
        self.name = f"{'kd' if self.kernel else 'fd'}-{self.recogniser.suffix}"
        self.label = f"{'KD' if self.kernel else 'FD'} ({self.recogniser.network.label})"
        self.conventions = (
            f"{kind} distance of face embeddings, not {'KID' if self.kernel else 'FID'}; {self.recogniser.conventions}"
        )

    @property
    def weights(self) -> dict[str, str]:
        return self.recogniser.weights

    def reference(self, batch: Batch) -> HrFaces:
        return self.recogniser.hr(batch)

    def hr_features(self, batch: Batch, reference: HrFaces) -> Sequence[Any]:
        return [p if isinstance(p, NoScore) else v for p, v in zip(reference.points, reference.vectors, strict=True)]

    def features(self, sr: U8, batch: Batch, reference: HrFaces) -> Sequence[Any]:
        return self.recogniser.sr(sr, batch, reference.points)


class FaceFrechet(_FaceDistribution):
    """Frechet distance of face embeddings."""

    kernel, digits, source = False, 3, "torch-fidelity's maths"


class FaceKernel(_FaceDistribution):
    """Kernel distance of face embeddings."""

    kernel, digits, source = True, 4, "torch-fidelity's maths"


# What the entry points of pyproject.toml name.
fd_sface = partial(FaceFrechet, "sface")
kd_sface = partial(FaceKernel, "sface")
