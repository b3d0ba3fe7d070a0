"""Recognition of restored faces: verification of same and different pairs, rank-1 retrieval, and both by attribute.

Pure functions on arrays first, then the metrics of whole sets that a run can score. Similarities are cosines, higher is more alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facesr.bench.errors import FaceSRError
from facesr.bench.faces import F64, U8, Batch, Face
from facesr.bench.metrics.base import NoScore, SetMetric, SetScore
from facesr.bench.metrics.embedders import Embedder, embedder
from facesr.bench.metrics.identity import HrFaces, Recogniser
from facesr.bench.onnxnet import F32
from facesr.bench.results.status import Status
from facesr.bench.stats.effect import superiority
from facesr.bench.stats.many import share_interval

Bool = NDArray[np.bool_]
MOST = 1000
"""Above 3 x this many faces each is compared with this many others instead of all: memory stays flat, the tail is still resolved."""
DRAWS = 1000
TRUE_PAIRS = 20
"""Pairs of photos of one person below which a share of them says little (each is 5 %)."""


@dataclass(frozen=True)
class Rate:
    """A share or an area in [0, 1] with its 95 % interval (NaN where there is none) and the number of SR faces behind it."""

    value: float
    low: float
    high: float
    n: int


def auc(genuine: ArrayLike, impostor: ArrayLike) -> float:
    """The chance that a same-person pair scores higher than a different-person pair; ties count half (Mann-Whitney U / nm)."""
    value = superiority(genuine, impostor)
    if np.isnan(value):
        raise FaceSRError(f"verification needs pairs of both kinds, got {np.size(genuine)} same and {np.size(impostor)} different")
    return value


def tar_at(genuine: ArrayLike, impostor: ArrayLike, far: float) -> float:
    """True acceptance rate at the loosest threshold that accepts at most ``far`` of the impostor pairs (strictly above it accepts).

    Raises ``FaceSRError`` with fewer than 10 / far impostor pairs: the rate would hang on a handful of them.
    """
    g, i = np.ravel(np.asarray(genuine)), np.ravel(np.asarray(impostor))
    if not 0 < far < 1:
        raise FaceSRError(f"a false acceptance rate lies between 0 and 1, got {far:g}")
    if len(g) == 0 or len(i) < 10 / far:
        raise FaceSRError(
            f"TAR at FAR {far:g} needs at least {10 / far:,.0f} different-person pairs, these faces give {len(i):,}: use more faces"
        )
    accepted = int(np.floor(far * len(i) + 1e-9))
    threshold = np.partition(i, len(i) - 1 - accepted)[len(i) - 1 - accepted]
    return float((g > threshold).mean())


def pair_similarities(probes: F32, gallery: F32, persons: Sequence[str]) -> tuple[F64, list[F64]]:
    """Same-person similarities (n,), SR face i against its own HR face; and for each SR face those with other persons' HR faces.

    ``persons``: who each face is; other faces of the same person are neither. Above 3 x ``MOST`` faces, ``MOST`` others each.
    """
    n, who = len(probes), np.asarray(persons)
    step = n if n <= 3 * MOST else MOST
    genuine = np.einsum("nd,nd->n", probes, gallery, dtype=np.float64)
    impostor = []
    for i in range(n):
        others = (i + np.arange(1, min(step, n - 1) + 1)) % n
        others = others[who[others] != who[i]]
        impostor.append((gallery[others] @ probes[i]).astype(np.float64))
    return genuine, impostor


def hits(probes: F32, gallery: F32, persons: Sequence[str]) -> Bool:
    """Whether the HR face most like each SR face is its own, or the same person's. A tie with another person is a miss."""
    who = np.asarray(persons)
    found = np.zeros(len(probes), bool)
    for start in range(0, len(probes), 512):
        rows = slice(start, start + 512)
        similar = probes[rows] @ gallery.T
        own = who[rows, None] == who[None, :]
        found[rows] = np.where(own, similar, -np.inf).max(axis=1) > np.where(own, -np.inf, similar).max(axis=1)
    return found


def retrieval(probes: F32, gallery: F32, persons: Sequence[str], among: Bool | None = None) -> Rate:
    """Rank-1 rate of SR faces among all HR faces, with Wilson's interval. ``among``: the SR faces that count (an attribute's)."""
    if len(set(persons)) < 2:
        raise FaceSRError("rank-1 needs faces of at least two persons: a gallery of one is always right")
    good = hits(probes, gallery, persons)
    good = good if among is None else good[among]
    if len(good) == 0:
        raise FaceSRError("retrieval needs at least one face")
    return share_of(good)


def share_of(good: Bool) -> Rate:
    """The share of faces that are good, with Wilson's interval."""
    return Rate(float(good.mean()), *share_interval(int(good.sum()), len(good)), len(good))


def verification(
    probes: F32, gallery: F32, persons: Sequence[str], far: float | None = None, among: Bool | None = None, seed: int = 0
) -> Rate:
    """AUC (``far`` None) or TAR at FAR of SR faces against HR faces; interval by resampling SR faces, HR faces given (Wilson at 0 and 1).

    ``among``: the SR faces that count; their impostors are all other persons' HR faces.
    """
    genuine, rows = pair_similarities(probes, gallery, persons)
    keep = np.arange(len(genuine)) if among is None else np.flatnonzero(among)
    genuine, rows = genuine[keep], [rows[i] for i in keep]
    if sum(map(len, rows)) == 0:
        raise FaceSRError("verification needs faces of at least two persons")
    value = auc(genuine, np.concatenate(rows)) if far is None else tar_at(genuine, np.concatenate(rows), far)
    low, high = _resampled(genuine, rows, far, seed)
    if value in (0.0, 1.0):  # every resample says the same: bound by Wilson the share of faces that could have been otherwise
        low, high = share_interval(round(value * len(genuine)), len(genuine))
    return Rate(value, low, high, len(genuine))


def _resampled(genuine: F64, rows: list[F64], far: float | None, seed: int) -> tuple[float, float]:
    """95 % percentile interval over resampled SR faces, from histograms with a fine upper tail."""
    n = len(genuine)
    if n < 2:
        return np.nan, np.nan
    pooled = np.concatenate(rows)
    grid = np.concatenate([np.linspace(0, 0.98, 512), np.linspace(0.98, 1, 513)[1:]])
    edges = np.unique(np.quantile(pooled, grid))
    bins = len(edges) + 1
    counts = np.stack([np.bincount(np.searchsorted(edges, row, "left"), minlength=bins) for row in rows]).astype(np.float32)
    same = np.searchsorted(edges, genuine, "left")
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=DRAWS).astype(np.float32)
    different = weights @ counts  # (draws, bins)
    accepted = np.stack([np.bincount(same, w, minlength=bins) for w in weights])
    total = different.sum(axis=1, keepdims=True)
    below = np.cumsum(different, axis=1) - different
    if far is None:
        drawn = (accepted * (below + different / 2)).sum(axis=1) / total[:, 0] / n
    else:
        open_bins = total - below <= far * total + 1e-6  # impostors in this bin and above it
        drawn = (accepted * open_bins).sum(axis=1) / n
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def likeness(probes: F32, gallery: F32, persons: Sequence[str], among: Bool | None = None, seed: int = 0) -> Rate:
    """How alike SR and HR are on the scale of true pairs: the mean share of pairs of two HR photos of one person that are less alike.

    0.5 means as alike as two photos of one person typically are, 0 less alike than any; ties count half. Interval by resampling SR faces, true
    pairs given. Raises ``FaceSRError`` with fewer than ``TRUE_PAIRS`` of them (data with one photo per person has none).
    """
    who, hr = np.asarray(persons), gallery.astype(np.float64)
    first, second = np.triu_indices(len(who), 1)
    true = who[first] == who[second]
    known = np.sort((hr[first[true]] * hr[second[true]]).sum(axis=1))
    if len(known) < TRUE_PAIRS:
        raise FaceSRError(
            f"likeness needs {TRUE_PAIRS} pairs of two photos of one person, these faces give {len(known)}: the attribute 'person' says who is who"
        )
    similar = (probes.astype(np.float64) * hr).sum(axis=1)
    shares = (np.searchsorted(known, similar, "left") + np.searchsorted(known, similar, "right")) / 2 / len(known)
    shares = shares if among is None else shares[among]
    drawn = shares[np.random.default_rng(seed).integers(0, len(shares), (DRAWS, len(shares)))].mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975)) if len(shares) > 1 else (np.nan, np.nan)
    return Rate(float(shares.mean()), float(low), float(high), len(shares))


class _Recognition(SetMetric):
    """What the metrics share: embeddings as features; ``where`` (``gender=female``) keeps the SR faces with that attribute."""

    higher_is_better, digits, range = True, 3, (0.0, 1.0)
    needs_torch = False
    kind: ClassVar[str]
    title: ClassVar[str]
    footnote: ClassVar[str]

    def __init__(
        self, network: str | Embedder = "sface", *, align: str = "hr-landmarks", weights: str = "", where: str = ""
    ) -> None:
        attribute, equals, value = where.partition("=")
        if where and not (attribute and equals and value):
            raise FaceSRError(f"where {where!r} of {self.kind}: write it as attribute=value, as in gender=female")
        self.where = (attribute, value) if where else None
        self.recogniser = Recogniser(embedder(network, weights) if isinstance(network, str) else network, align)
        self.name = f"{self.kind}-{self.recogniser.suffix}" + (f"[{where}]" if where else "")
        self.label = f"{self.title} ({self.recogniser.network.label}{f', {where}' if where else ''})"
        self.conventions = f"{self.footnote}; {self.recogniser.conventions}"

    @property
    def weights(self) -> dict[str, str]:
        return self.recogniser.weights

    def reference(self, batch: Batch) -> HrFaces:
        return self.recogniser.hr(batch)

    def hr_features(self, batch: Batch, reference: HrFaces) -> Sequence[Any]:
        return [p if np.isnan(v).any() else v for p, v in zip(reference.points, reference.vectors, strict=True)]

    def features(self, sr: U8, batch: Batch, reference: HrFaces) -> Sequence[Any]:
        return self.recogniser.sr(sr, batch, reference.points)

    def compare(self, sr: Sequence[Any], hr: Sequence[Any], faces: Sequence[Face]) -> SetScore | NoScore:
        persons = [face.attributes.get("person") or face.name for face in faces]
        among = np.array([self.where is None or face.attributes.get(self.where[0]) == self.where[1] for face in faces])
        if not among.any():
            return NoScore(Status.SKIPPED, f"no face has {'='.join(self.where or ())}")
        try:
            rate = self.measure(np.stack(sr), np.stack(hr), persons, among)
        except FaceSRError as error:
            return NoScore(Status.SKIPPED, str(error))
        return SetScore(rate.value, rate.n, rate.low, rate.high)

    def measure(self, probes: F32, gallery: F32, persons: Sequence[str], among: Bool) -> Rate:
        """The rate of the SR faces in ``among``."""
        raise NotImplementedError


class Retrieval(_Recognition):
    """Rank-1: how often the HR face most like the SR face is the right one, among all HR faces."""

    kind, title = "retrieval", "Rank-1"
    footnote = "share of SR faces whose most similar HR face of the set is their own (or the same person's); Wilson interval"

    def measure(self, probes: F32, gallery: F32, persons: Sequence[str], among: Bool) -> Rate:
        return retrieval(probes, gallery, persons, among)


class Verification(_Recognition):
    """AUC of SR-HR pairs of the same face against those of different persons."""

    kind, title = "verification", "AUC"
    footnote = "AUC of same-face against different-person SR-HR pairs; interval over SR faces"
    far: ClassVar[float | None] = None

    def measure(self, probes: F32, gallery: F32, persons: Sequence[str], among: Bool) -> Rate:
        return verification(probes, gallery, persons, self.far, among)


class Tar2(Verification):
    """True acceptance rate at a false acceptance rate of 1e-2."""

    kind, title, far = "tar-1e-2", "TAR@FAR 1e-2", 1e-2
    footnote = (
        "true acceptance rate of same-face SR-HR pairs where 1e-2 of different-person pairs are accepted; interval over SR faces"
    )


class Tar3(Verification):
    """True acceptance rate at a false acceptance rate of 1e-3."""

    kind, title, far = "tar-1e-3", "TAR@FAR 1e-3", 1e-3
    footnote = (
        "true acceptance rate of same-face SR-HR pairs where 1e-3 of different-person pairs are accepted; interval over SR faces"
    )


class Likeness(_Recognition):
    """Identity calibrated by the data at hand: as alike as which share of true pairs."""

    kind, title = "likeness", "As alike as true pairs"
    footnote = (
        "mean share of pairs of two HR photos of one person that are less alike than SR and its own HR (0.5: as two photos of one person "
        "typically are); interval over SR faces"
    )

    def measure(self, probes: F32, gallery: F32, persons: Sequence[str], among: Bool) -> Rate:
        return likeness(probes, gallery, persons, among)


# What the entry points of pyproject.toml name.
retrieval_arcface = partial(Retrieval, "arcface")
verification_arcface = partial(Verification, "arcface")
tar2_arcface = partial(Tar2, "arcface")
tar3_arcface = partial(Tar3, "arcface")
