"""Full-reference fidelity: PSNR and SSIM as super-resolution papers print them, and the classical metrics of ``piq``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from facesr.bench.errors import FaceSRError
from facesr.bench.faces import U8, Batch
from facesr.bench.imaging.color import luma
from facesr.bench.metrics.base import Metric, NoScore

F32 = NDArray[np.float32]
Color = Literal["rgb", "y"]
CAP = 100.0
"""dB given for identical images, whose PSNR is infinite and would make every mean infinite."""


class _Fidelity(Metric):
    """Shared conventions: colour and border crop."""

    def __init__(self, *, color: Color = "rgb", border: int = 0) -> None:
        if color not in ("rgb", "y"):
            raise FaceSRError(f"color {color!r} of {self.name}: use 'rgb' or 'y' (BT.601, 16-235)")
        if border < 0:
            raise FaceSRError(f"border {border} of {self.name}: use 0 or more pixels")
        self.color, self.border = color, border

    def _crop(self, images: U8) -> U8:
        b = self.border
        return images[:, b:-b, b:-b] if b else images

    def _where(self) -> str:
        return f"{'RGB' if self.color == 'rgb' else 'Y of BT.601, 16-235, unrounded'}, border {self.border} px cropped"


class PSNR(_Fidelity):
    """10 log10(255² / MSE), MSE over pixels and channels of one image; the mean of a set is the mean of its images' dB."""

    name, label, unit, digits, range = "psnr", "PSNR", "dB", 2, (0.0, CAP)
    source = "BasicSR calculate_psnr (equal within 1e-9 dB)"

    def __init__(self, *, color: Color = "rgb", border: int = 0) -> None:
        super().__init__(color=color, border=border)
        self.conventions = f"{self._where()}; mean of the images' dB; identical images count as {CAP:.0f} dB"

    def reference(self, batch: Batch) -> Any:
        hr = self._crop(batch.hr)
        return luma(hr) if self.color == "y" else hr

    def score(self, sr: U8, batch: Batch, reference: Any) -> Sequence[float | NoScore]:
        import cv2

        cropped = self._crop(sr)
        if self.color == "y":
            squares = [float(np.square(a.astype(np.float64) - b).sum()) for a, b in zip(luma(cropped), reference, strict=True)]
        else:  # exact: a sum of squared integers
            squares = [
                cv2.norm(np.ascontiguousarray(a), np.ascontiguousarray(b), cv2.NORM_L2SQR)
                for a, b in zip(cropped, reference, strict=True)
            ]
        n = reference[0].size
        return [CAP if s == 0 else min(CAP, float(20.0 * np.log10(255.0 / np.sqrt(s / n)))) for s in squares]


class PSNRY(PSNR):
    """PSNR of the luma alone."""

    name, label = "psnr-y", "PSNR-Y"

    def __init__(self, *, color: Color = "y", border: int = 0) -> None:
        super().__init__(color=color, border=border)


C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


@lru_cache(maxsize=1)
def _gauss() -> F32:
    x = np.arange(11) - 5.0
    window = np.exp(-(x**2) / (2 * 1.5**2))
    normed: F32 = (window / window.sum()).astype(np.float32)
    return normed


STRIP = 40
"""Rows of the SSIM map worked on at once: what a strip needs then stays in the processor's cache."""


def _blur(image: F32, out: F32 | None = None) -> F32:
    """Gaussian 11 x 11, σ 1.5, of the valid region: (H, W, C) -> (H-10, W-10, C), channels apart. ``out``: (H, W, C) to work in."""
    import cv2

    window = _gauss()
    blurred: Any = cv2.sepFilter2D(image, cv2.CV_32F, window, window, dst=out, borderType=cv2.BORDER_ISOLATED | cv2.BORDER_CONSTANT)
    valid: F32 = blurred.reshape(image.shape)[5:-5, 5:-5]
    return valid


class _Strips:
    """Buffers for one strip of the SSIM of a pair, used again and again: fresh memory would cost more than the arithmetic."""

    def __init__(self, width: int, channels: int) -> None:
        self.wide = [np.empty((STRIP + 10, width, channels), np.float32) for _ in range(6)]
        self.maps = [np.empty((STRIP, width - 10, channels), np.float32) for _ in range(4)]

    def total(self, x: F32 | U8, y: F32, y_mean: F32) -> float:
        """Sum of the SSIM map of a pair (H, W, C); ``y_mean`` is y blurred.

        With m = μx μy and s = x² + y²: SSIM = (2m + C1)(2 blur(xy) - 2m + C2) / ((μx² + μy² + C1)(blur(s) - μx² - μy² + C2)), so four
        blurs do for a pair, of which y's own is shared by all methods.
        """
        import cv2

        rows, total = y_mean.shape[0], 0.0
        for top in range(0, rows, STRIP):
            n = min(STRIP, rows - top)
            fx, xy, squares, *blurred = (w[: n + 10] for w in self.wide)
            above, right, below, left = (m[:n] for m in self.maps)
            np.copyto(fx, x[top : top + n + 10])
            fy, my = y[top : top + n + 10], y_mean[top : top + n]
            cv2.multiply(fx, fy, dst=xy)
            cv2.multiply(fx, fx, dst=squares)
            cv2.accumulateSquare(fy, squares)
            mx, cross, square = (np.ascontiguousarray(_blur(m, out)) for m, out in zip((fx, xy, squares), blurred, strict=True))
            cv2.multiply(mx, my, dst=above, scale=2.0)
            above += C1
            cv2.addWeighted(cross, 2.0, above, -1.0, C1 + C2, dst=right)
            cv2.multiply(mx, mx, dst=below)
            cv2.accumulateSquare(my, below)
            below += C1
            cv2.addWeighted(square, 1.0, below, -1.0, C1 + C2, dst=left)
            above *= right
            below *= left
            above /= below
            total += float(above.sum(dtype=np.float64))
        return total


class SSIM(_Fidelity):
    """Structural similarity (Wang 2004): Gaussian 11 x 11 σ 1.5, valid region, mean of the channels, no downsampling."""

    name, label, digits, range = "ssim", "SSIM", 4, (-1.0, 1.0)
    source = "BasicSR calculate_ssim (equal within 2e-6)"

    def __init__(self, *, color: Color = "rgb", border: int = 0) -> None:
        super().__init__(color=color, border=border)
        self.conventions = f"{self._where()}; Gaussian 11x11 sigma 1.5, valid region, K = .01, .03, not downsampled"

    def skip(self, size: int) -> str | None:
        smallest = 11 + 2 * self.border
        return f"SSIM's window needs {smallest} px a side, the images have {size}" if size < smallest else None

    def _planes(self, images: U8) -> NDArray[Any]:
        cropped = self._crop(images)
        return luma(cropped) if self.color == "y" else cropped

    def reference(self, batch: Batch) -> Any:
        planes = np.ascontiguousarray(self._planes(batch.hr), dtype=np.float32)
        return [(y, np.ascontiguousarray(_blur(y))) for y in planes]

    def score(self, sr: U8, batch: Batch, reference: Any) -> Sequence[float | NoScore]:
        planes = self._planes(sr)
        strips = _Strips(planes.shape[2], planes.shape[3])
        return [strips.total(x, y, mean) / mean.size for x, (y, mean) in zip(planes, reference, strict=True)]


class SSIMY(SSIM):
    """SSIM of the luma alone."""

    name, label = "ssim-y", "SSIM-Y"

    def __init__(self, *, color: Color = "y", border: int = 0) -> None:
        super().__init__(color=color, border=border)


class _Piq(_Fidelity):
    """A classical full-reference metric of the ``piq`` package, batched; RGB in [0, 1], or Y repeated where asked."""

    function: ClassVar[str] = ""
    smallest: ClassVar[int] = 32
    options: ClassVar[dict[str, Any]] = {}
    about: ClassVar[str] = ""
    singly: ClassVar[bool] = False
    source = "piq 0.8"
    digits = 4

    def __init__(self, *, color: Color = "rgb", border: int = 0) -> None:
        super().__init__(color=color, border=border)
        extra = ", ".join(f"{k} = {v}" for k, v in self.options.items())
        self.conventions = "; ".join(part for part in (self._where(), self.about, extra) if part)

    def skip(self, size: int) -> str | None:
        smallest = self.smallest + 2 * self.border
        return f"{self.label} needs {smallest} px a side, the images have {size}" if size < smallest else None

    def _tensor(self, images: U8) -> Any:
        import torch

        cropped = self._crop(images)
        planes = (
            luma(cropped).repeat(3, -1) / np.float32(255) if self.color == "y" else cropped.astype(np.float32) / np.float32(255)
        )
        return torch.from_numpy(np.ascontiguousarray(planes.transpose(0, 3, 1, 2)))

    def reference(self, batch: Batch) -> Any:
        return self._tensor(batch.hr)

    def score(self, sr: U8, batch: Batch, reference: Any) -> Sequence[float | NoScore]:
        import piq
        import torch

        function, images = getattr(piq, self.function), self._tensor(sr)
        step = 1 if self.singly else len(images)
        parts = []
        with torch.inference_mode():
            for i in range(0, len(images), step):
                part = function(images[i : i + step], reference[i : i + step], data_range=1.0, reduction="none", **self.options)
                parts.append(part.reshape(-1))
        values = torch.cat(parts)
        return [
            float(v) if np.isfinite(v) else NoScore("failed", f"{self.label} is not finite for this image") for v in values.tolist()
        ]


class MSSSIM(_Piq):
    """Multi-scale SSIM (Wang 2003), five scales."""

    name, label, function, smallest = "ms-ssim", "MS-SSIM", "multi_scale_ssim", 161
    about = "five scales, 11x11 sigma 1.5"


class IWSSIM(_Piq):
    """Information-weighted SSIM (Wang and Li 2011)."""

    name, label, function, smallest = "iw-ssim", "IW-SSIM", "information_weighted_ssim", 161
    singly = True  # piq estimates the covariance over the whole batch


class FSIM(_Piq):
    """Feature similarity with colour, FSIMc (Zhang 2011)."""

    name, label, function = "fsim", "FSIMc", "fsim"
    about = "YIQ chromatic"


class VIF(_Piq):
    """Visual information fidelity in the pixel domain (Sheikh and Bovik 2006)."""

    name, label, function, smallest, range = "vif", "VIFp", "vif_p", 41, (0.0, float("inf"))
    about = "luminance"


class GMSD(_Piq):
    """Gradient magnitude similarity deviation (Xue 2014); 0 is identical."""

    name, label, function, higher_is_better = "gmsd", "GMSD", "gmsd", False


class MSGMSD(_Piq):
    """Multi-scale GMSD (Zhang 2017); 0 is identical."""

    name, label, function, higher_is_better = "ms-gmsd", "MS-GMSD", "multi_scale_gmsd", False


class MDSI(_Piq):
    """Mean deviation similarity index (Nafchi 2016); 0 is identical."""

    name, label, function, higher_is_better = "mdsi", "MDSI", "mdsi", False


class HaarPSI(_Piq):
    """Haar perceptual similarity index (Reisenhofer 2018)."""

    name, label, function = "haarpsi", "HaarPSI", "haarpsi"


class VSI(_Piq):
    """Visual saliency induced index (Zhang 2014)."""

    name, label, function = "vsi", "VSI", "vsi"


class SRSIM(_Piq):
    """Spectral residual similarity (Zhang and Li 2012), with chromatic part."""

    name, label, function, smallest = "srsim", "SR-SIM", "srsim", 64
    options: ClassVar[dict[str, Any]] = {"chromatic": True}
    singly = True  # piq scales the saliency by the maximum of the whole batch: one image at a time gives one image's score


class DSS(_Piq):
    """DCT subband similarity (Balanov 2015)."""

    name, label, function = "dss", "DSS", "dss"
