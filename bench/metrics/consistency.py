"""Downscaling consistency: does the answer, degraded again, give the input it was made from?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.faces import U8, Batch
from facesr.bench.imaging.lowres import LR, unit
from facesr.bench.imaging.resample import KERNELS, matrix
from facesr.bench.metrics.base import Metric, NoScore


class Consistency(Metric):
    """ε: mean squared error of D(SR) against LR over pixels and channels, RGB in [0, 1]; D is the protocol's own operator.

    D(SR) is computed from the saved 8-bit SR and left unrounded; LR is the file that the method was given (8-bit, or unrounded). PULSE asks for
    ε ≤ 1e-3 (Menon 2020). The floor of an LR rounded to 8 bits is about 1.3e-6.
    """

    name, label, digits, higher_is_better, needs_lr = "consistency", "ε", 6, False, True
    scores_unconverged = True
    compares_with = "nothing"
    from_protocol: ClassVar[Mapping[str, str]] = {"kernel": "degradation.kernel", "epsilon": "consistency.epsilon"}
    source = "PULSE (Menon 2020), loss L2"

    def __init__(self, *, kernel: str = "bicubic-matlab", epsilon: float = 1e-3) -> None:
        if kernel not in KERNELS:
            raise FaceSRError(f"kernel {kernel!r} of {self.name}: {suggest(str(kernel), KERNELS)}")
        if not isinstance(epsilon, float | int) or isinstance(epsilon, bool) or not 0 < epsilon < 1:
            raise FaceSRError(f"epsilon {epsilon!r} of {self.name}: use a mean squared error between 0 and 1, such as 1e-3")
        self.kernel, self.epsilon = kernel, epsilon
        self.conventions = f"MSE of D(SR) against the LR that was given, RGB in [0, 1], D = {kernel}, unrounded"

    def distances(self, sr: U8, lr: LR) -> list[float]:
        """ε of every image: ``sr`` (N, H, W, 3), ``lr`` (N, h, w, 3) uint8, or float32 in [0, 1]."""
        n, height, width, _ = sr.shape
        rows = matrix(self.kernel, height, lr.shape[1])
        columns = matrix(self.kernel, width, lr.shape[2])
        again = np.einsum("yh,nhwc,xw->nyxc", rows, sr / 255.0, columns, optimize=True)
        return [float(v) for v in np.square(again - unit(lr)).reshape(n, -1).mean(1)]

    def score(self, sr: U8, batch: Batch, reference: Any) -> Sequence[float | NoScore]:
        return self.distances(sr, _lr(batch))


def _lr(batch: Batch) -> LR:
    if batch.lr is None:
        raise FaceSRError("consistency needs LR images: the protocol's degradation makes them")
    return batch.lr


class ConsistencyPass(Consistency):
    """Share of images with ε within the protocol's limit; 1 or 0 for one image."""

    name, label, higher_is_better, digits, share = "consistency-pass", "ε pass", True, 3, True

    def __init__(self, *, kernel: str = "bicubic-matlab", epsilon: float = 1e-3) -> None:
        super().__init__(kernel=kernel, epsilon=epsilon)
        self.conventions = f"share of images with ε <= {epsilon:g}; {self.conventions}"

    def score(self, sr: U8, batch: Batch, reference: Any) -> Sequence[float | NoScore]:
        return [float(d <= self.epsilon) for d in self.distances(sr, _lr(batch))]
