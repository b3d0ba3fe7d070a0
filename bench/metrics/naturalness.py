"""Distances between the distributions of SR and HR, or a named reference set: FID and KID on Inception's features, both on a recogniser's too.

Maths and Inception are torch-fidelity's. A Frechet distance of too few images is refused with the reason: its covariance would be
singular and the number mostly bias. A kernel distance has none, and is printed with its interval.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.faces import F64, U8, Batch, Face
from facesr.bench.imaging.resample import KERNELS
from facesr.bench.metrics.base import NoScore, SetMetric, SetScore
from facesr.bench.metrics.embedders import embedder
from facesr.bench.metrics.identity import HrFaces, Recogniser
from facesr.bench.metrics.network import batch_slices, device, exactly
from facesr.bench.metrics.reference import FeatureMoments, Reference, features_of, open_reference
from facesr.bench.onnxnet import F32
from facesr.bench.results.status import Status
from facesr.bench.weights import find_weight, load_tensors, weight_sha256

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
    return frechet_of(feature_moments(a), feature_moments(b))


def feature_moments(features: ArrayLike) -> FeatureMoments:
    """Mean and covariance of features (n, d)."""
    x = np.asarray(features, np.float64)
    return FeatureMoments(x.mean(axis=0), np.atleast_2d(np.cov(x, rowvar=False)), len(x))


def frechet_of(a: FeatureMoments, b: FeatureMoments) -> float:
    """Frechet distance of two Gaussians, whatever they were fitted to."""
    values, vectors = np.linalg.eigh(a.cov)
    root = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ b.cov @ root), 0.0)).sum()
    return float(((a.mean - b.mean) ** 2).sum() + np.trace(a.cov) + np.trace(b.cov) - 2 * shared)


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
    return _with_interval(float(value), left_out)


def kernel_distance_to(a: ArrayLike, reference: ArrayLike) -> tuple[float, float, float]:
    """The same of a set (n, d) and a reference (m, d) that is taken as it is: the interval is the jackknife's over ``a``. Needs n >= 3, m >= 2."""
    x, y = np.asarray(a, np.float64), np.asarray(reference, np.float64)
    n, m = len(x), len(y)
    if x.shape[1] != y.shape[1] or n < 3 or m < 2:
        raise FaceSRError(f"a kernel distance needs at least 3 images against 2 of the same features, got {x.shape} and {y.shape}")
    xx, yy, xy = _sums(x, x), _sums(y, y), _sums(x, y)
    within = (yy[0].sum() - yy[2].sum()) / (m * (m - 1))
    total, across = xx[0].sum() - xx[2].sum(), xy[0].sum()
    value = total / (n * (n - 1)) + within - 2 * across / (n * m)
    less = total - 2 * (xx[0] - xx[2])
    left_out = less / ((n - 1) * (n - 2)) + within - 2 * (across - xy[0]) / ((n - 1) * m)
    return _with_interval(float(value), left_out)


def _with_interval(value: float, left_out: F64) -> tuple[float, float, float]:
    """``value`` and its 95 % interval by the jackknife: ``left_out`` are the values without each image."""
    n = len(left_out)
    half = 1.959964 * float(np.sqrt((n - 1) / n * np.square(left_out - left_out.mean()).sum()))
    return value, value - half, value + half


def _sums(x: Any, y: Any) -> tuple[Any, Any, Any]:
    """Row sums, column sums and diagonal (of as many as both have) of the kernel matrix, a block of rows at a time."""
    rows, columns = np.zeros(len(x)), np.zeros(len(y))
    for start in range(0, len(x), 512):
        block = (x[start : start + 512] @ y.T / x.shape[1] + 1.0) ** 3
        rows[start : start + 512] = block.sum(axis=1)
        columns += block.sum(axis=0)
    paired = min(len(x), len(y))
    return rows, columns, (np.einsum("nd,nd->n", x[:paired], y[:paired]) / x.shape[1] + 1.0) ** 3


class _Distribution(SetMetric):
    """A distance of two sets of features; a subclass gives features and distance.

    ``reference``: a folder, prepared set or file in place of HR (see ``facesr.bench.metrics.reference``), brought to ``size`` by ``reduce``.
    """

    higher_is_better, range = False, (0.0, float("inf"))
    from_protocol: ClassVar[Mapping[str, str]] = {"size": "data.size", "reduce": "data.reduce"}
    kernel: ClassVar[bool]
    against: Reference | None = None

    def set_reference(self, reference: str, size: int, reduce: str) -> None:
        """Compare with a reference set in place of HR, which becomes part of name, label and footnote."""
        if size < 0 or reduce not in KERNELS:
            raise FaceSRError(f"size {size}, reduce {reduce!r} of {self.name}: give 0 or a side, and {suggest(reduce, KERNELS)}")
        self.size, self.reduce = size, reduce
        if not reference:
            return
        self.against = open_reference(reference, size, reduce)
        if self.kernel and self.against.moments is not None:
            raise FaceSRError(
                f"{self.name}: {reference} holds mean and covariance, a kernel distance needs the images or their features"
            )
        self.name, self.label = f"{self.name}[{self.against.name}]", f"{self.label} against {self.against.name}"
        if self.against.faces:
            how = f", brought to {size} pixels by {reduce}" if size else ", as they are"
        else:
            how = ", features" if self.against.moments is None else ", mean and covariance"
            how += " as saved: of which network and images this cannot say"
        self.conventions += f"; against {self.against.words}{how}, not against HR"

    def known(self) -> dict[str, str]:
        """The reference set's digest, for ``weights``."""
        return {} if self.against is None else {"reference": self.against.digest}

    def embed(self, images: U8, faces: Sequence[Face]) -> Sequence[Any]:
        """Features, or why there are none, of images of the reference set."""
        raise NotImplementedError

    def compare(self, sr: Sequence[Any], hr: Sequence[Any], faces: Sequence[Face]) -> SetScore | NoScore:
        try:
            return self._kernel(sr, hr) if self.kernel else self._frechet(sr, hr)
        except FaceSRError as error:
            return NoScore(Status.SKIPPED, str(error))

    def known_features(self, width: int) -> F32:
        """Features (m, ``width``) of the reference set's images."""
        assert self.against is not None
        key = json.dumps([type(self).__mro__[1].__name__, self.version, sorted(self.weights.items())])
        found = features_of(self.against, key, self.size, self.reduce, self.embed)
        self._fits(found.shape[1], width)
        return found

    def _fits(self, theirs: int, width: int) -> None:
        if theirs != width:
            raise FaceSRError(f"{self.label}: the reference holds {theirs} features an image, this network gives {width}")

    def _kernel(self, sr: Sequence[Any], hr: Sequence[Any]) -> SetScore:
        x = np.stack(sr)
        if self.against is None:
            value, low, high = kernel_distance(x, np.stack(hr))
        else:
            value, low, high = kernel_distance_to(x, self.known_features(x.shape[1]))
        return SetScore(value, len(sr), low, high)

    def _frechet(self, sr: Sequence[Any], hr: Sequence[Any]) -> SetScore:
        features = np.stack(sr)
        width = features.shape[1]
        if self.against is None or self.against.moments is None:
            return SetScore(frechet(features, np.stack(hr) if self.against is None else self.known_features(width)), len(sr))
        known = self.against.moments
        self._fits(len(known.mean), width)
        if len(sr) <= width:
            raise FaceSRError(
                f"a Frechet distance of {width} features needs more than {width:,} images, these are {len(sr):,}: use the kernel distance"
            )
        return SetScore(frechet_of(feature_moments(features), known), len(sr))


@cache
def _inception(file: Path) -> Any:
    import tempfile

    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # torch-fidelity unpickles whatever the file holds; it gets a copy that holds only the tensors, read without running code.
    with tempfile.TemporaryDirectory() as folder:
        copy = str(Path(folder) / file.name)
        torch.save(load_tensors(file), copy)
        net = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=copy)
    return net.to(device())


class _Inception(_Distribution):
    @property
    def weights(self) -> dict[str, str]:
        return {"inception": weight_sha256(find_weight("inception-fid"))} | self.known()

    def __init__(self, *, reference: str = "", size: int = 0, reduce: str = "box") -> None:
        self.set_reference(reference, size, reduce)
        if self.against is not None:
            self.compares_with = "nothing"

    def reference(self, batch: Batch) -> Sequence[Any]:
        return self.features(batch.hr, batch, None) if self.against is None else [0.0] * len(batch)

    def embed(self, images: U8, faces: Sequence[Face]) -> Sequence[Any]:
        return self.features(images, Batch(tuple(faces), images), None)

    def features(self, sr: U8, batch: Batch, reference: Any) -> Sequence[Any]:
        import torch

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

    def __init__(
        self, network: str = "sface", *, weights: str = "", reference: str = "", size: int = 0, reduce: str = "box"
    ) -> None:
        self.recogniser = Recogniser(embedder(network, weights))
        kind = "kernel" if self.kernel else "Frechet"
        self.name = f"{'kd' if self.kernel else 'fd'}-{self.recogniser.suffix}"
        self.label = f"{'KD' if self.kernel else 'FD'} ({self.recogniser.network.label})"
        self.conventions = (
            f"{kind} distance of face embeddings, not {'KID' if self.kernel else 'FID'}; {self.recogniser.conventions}"
        )
        self.set_reference(reference, size, reduce)

    @property
    def weights(self) -> dict[str, str]:
        return self.recogniser.weights | self.known()

    def embed(self, images: U8, faces: Sequence[Face]) -> Sequence[Any]:
        batch = Batch(tuple(faces), images)
        return self.hr_features(batch, self.recogniser.hr(batch))

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
