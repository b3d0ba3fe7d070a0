"""Perceptual distance: LPIPS v0.1 on three trunks, shift-tolerant LPIPS on two, and LPIPS among a method's own samples.

Images are uint8 here and become [-1, 1] in one place, so that nobody can feed [0, 1], as a dozen published scripts did.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.faces import U8, Batch
from facesr.bench.metrics.base import Metric, NoScore
from facesr.bench.metrics.network import batch_slices, exactly, ready, to_network
from facesr.bench.weights import find_weight, heads_file, load_tensors, weight_sha256

if TYPE_CHECKING:
    from torch import Tensor

    from facesr.bench.networks.lpips import LPIPS

MEMORY = 512 * 2**20
"""Bytes of HR features kept for the methods to come; a batch that needs more has them computed anew for every method."""


class _Perceptual(Metric):
    """A network's distance of SR to HR; a subclass names its weight files and builds it."""

    higher_is_better, digits, range = False, 3, (0.0, 1.0)
    smallest: ClassVar[int] = 16
    """The side below which the deepest layer has no pixel."""
    depth: ClassVar[int] = 1
    """Bytes of features per pixel, roughly."""

    def files(self) -> dict[str, Path]:
        """The weight files, by name. Raises ``WeightsMissing``."""
        raise NotImplementedError

    def network(self) -> LPIPS:
        """The frozen network on the metrics' device, built once a process."""
        raise NotImplementedError

    @property
    def weights(self) -> dict[str, str]:
        return {name: weight_sha256(path) for name, path in self.files().items()}

    def skip(self, size: int) -> str | None:
        if size < self.smallest:
            return f"{self.label} needs images of at least {self.smallest} pixels a side, these have {size}"
        return None

    def reference(self, batch: Batch) -> list[list[Tensor]] | None:
        if batch.hr.size // 3 * self.depth > MEMORY:
            return None
        return [self._maps(batch.hr[part]) for part in batch_slices(len(batch))]

    def score(self, sr: U8, batch: Batch, reference: Any) -> Sequence[float | NoScore]:
        values: list[float] = []
        for i, part in enumerate(batch_slices(len(batch))):
            known = reference[i] if reference is not None else self._maps(batch.hr[part])
            values += self._distances(self._maps(sr[part]), known)
        return values

    def distance(self, a: U8, b: U8) -> list[float]:
        """The distances of two batches (N, H, W, 3), uint8 RGB: (N,)."""
        if a.shape != b.shape or a.dtype != np.uint8 or b.dtype != np.uint8:
            raise FaceSRError(f"{self.label} compares uint8 images of one shape, not {a.dtype} {a.shape} and {b.dtype} {b.shape}")
        return [d for part in batch_slices(len(a)) for d in self._distances(self._maps(a[part]), self._maps(b[part]))]

    def diversity(self, samples: U8) -> list[float]:
        """The mean distance among each face's samples: ``samples`` (K, N, H, W, 3) uint8, K >= 2, of the same N faces; (N,) values.

        What BicycleGAN (Zhu et al. 2017) reports of multi-modal methods: the mean over all pairs, 0 where all samples are equal.
        """
        if len(samples) < 2:
            raise FaceSRError(f"diversity needs at least two samples per face, got {len(samples)}")
        rows = []
        for n in range(samples.shape[1]):
            maps = [self._maps(samples[k : k + 1, n]) for k in range(len(samples))]
            rows.append(np.mean([self._distances(a, b)[0] for a, b in combinations(maps, 2)]))
        return [float(row) for row in rows]

    def _maps(self, images: U8) -> list[Tensor]:
        with exactly():
            return self.network().maps(to_network(images))

    def _distances(self, a: Sequence[Tensor], b: Sequence[Tensor]) -> list[float]:
        import torch

        net = self.network()
        with exactly():
            total = torch.zeros(len(a[0]), device=a[0].device)
            for k, (x, y) in enumerate(zip(a, b, strict=True)):
                # A linear head and the mean over pixels commute; the mean first touches the features once.
                total += (x - y).square_().mean((2, 3)) @ net.get_buffer(f"lin{k}").flatten()
            return [float(v) for v in total.tolist()]


class _LPIPS(_Perceptual):
    trunk: ClassVar[Literal["alex", "vgg", "squeeze"]]
    candidates: ClassVar[tuple[str, ...]]
    """Names of weight files of which any one will do."""
    source = "lpips 0.1.4, version 0.1 (equal within 1e-5)"

    def __init__(self) -> None:
        self.conventions = f"v0.1, ImageNet {self.label[7:-1]} with the lpips package's linear heads; RGB; mean over pixels"

    def files(self) -> dict[str, Path]:
        return {"trunk": _first(self.candidates), "heads": heads_file(self.trunk)}

    def network(self) -> LPIPS:
        return _lpips(self.trunk, _first(self.candidates))


class LpipsAlex(_LPIPS):
    """LPIPS with AlexNet, the one that papers compare with."""

    name, label, trunk, candidates, smallest, depth = "lpips-alex", "LPIPS (AlexNet)", "alex", ("alexnet",), 31, 40


class LpipsVgg(_LPIPS):
    """LPIPS with VGG16."""

    name, label, trunk, candidates, smallest, depth = "lpips-vgg", "LPIPS (VGG16)", "vgg", ("vgg16",), 16, 500


class LpipsSqueeze(_LPIPS):
    """LPIPS with SqueezeNet 1.1."""

    name, label, trunk, smallest, depth = "lpips-squeeze", "LPIPS (SqueezeNet)", "squeeze", 17, 130
    candidates = ("squeezenet", "squeezenet-features")


class _StLPIPS(_Perceptual):
    trunk: ClassVar[Literal["alex", "vgg"]]
    source = "stlpips-pytorch 0.0.2 (equal within 1e-5)"

    def __init__(self) -> None:
        self.conventions = (
            f"shift-tolerant LPIPS, {self.label[10:-1]}, trunk and heads of the published vST0.0; not comparable with LPIPS"
        )

    def files(self) -> dict[str, Path]:
        return {"weights": find_weight(f"stlpips-{self.trunk}")}

    def network(self) -> LPIPS:
        return _stlpips(self.trunk, self.files()["weights"])


class StLpipsAlex(_StLPIPS):
    """Shift-tolerant LPIPS with AlexNet: for machines that reach only a package index."""

    name, label, trunk, smallest, depth = "st-lpips-alex", "ST-LPIPS (AlexNet)", "alex", 21, 170


class StLpipsVgg(_StLPIPS):
    """Shift-tolerant LPIPS with VGG16."""

    name, label, trunk, smallest, depth = "st-lpips-vgg", "ST-LPIPS (VGG16)", "vgg", 18, 510


def _first(names: tuple[str, ...]) -> Path:
    """The first of these weight files that is here. Raises ``WeightsMissing`` with what to do about the first."""
    problems = []
    for name in names:
        try:
            return find_weight(name)
        except WeightsMissing as error:
            problems.append(error)
    raise problems[0]


@cache
def _lpips(trunk: Literal["alex", "vgg", "squeeze"], file: Path) -> LPIPS:
    from facesr.bench.networks.lpips import LPIPS

    net: LPIPS = ready(LPIPS(trunk, load_tensors(file)))
    return net


@cache
def _stlpips(trunk: Literal["alex", "vgg"], file: Path) -> LPIPS:
    from facesr.bench.networks.stlpips import ShiftTolerantLPIPS

    net: LPIPS = ready(ShiftTolerantLPIPS(trunk, load_tensors(file)))
    return net
