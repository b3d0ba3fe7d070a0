"""Full-reference fidelity: PSNR and SSIM as super-resolution papers print them, and the classical metrics of ``piq``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from facesr.bench.errors import FaceSRError
from facesr.bench.faces import U8, Batch
from facesr.bench.imaging.color import luma
from facesr.bench.metrics.base import Metric, NoScore
from facesr.bench.metrics.structure import structure
from facesr.bench.results.status import Status

Color = Literal["rgb", "y"]
CAP = 100.0
"""dB given for identical images, whose PSNR is infinite and would make every mean infinite."""


class _Fidelity(Metric):
    """Shared conventions: colour and border crop."""

    def __init__(self, *, color: Color = "rgb", border: int = 0) -> None:
        if color not in ("rgb", "y"):
            raise FaceSRError(f"color {color!r} of {self.name}: use 'rgb' or 'y' (BT.601, 16-235)")
        if not isinstance(border, int) or isinstance(border, bool) or border < 0:
            raise FaceSRError(f"border {border!r} of {self.name}: use a whole number of pixels, 0 or more")
        self.color, self.border = color, border

    smallest: ClassVar[int] = 1
    """Pixels a side that the metric needs after the crop."""

    def skip(self, size: int) -> str | None:
        if size - 2 * self.border < self.smallest:
            crop = f" after {self.border} are cropped at each edge" if self.border else ""
            return f"{self.label} needs {self.smallest} px a side{crop}, the images have {size}"
        return None

    def _crop(self, images: U8) -> U8:
        b = self.border
        if why := self.skip(min(images.shape[1:3])):
            raise FaceSRError(why)
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


class SSIM(_Fidelity):
    """Structural similarity (Wang 2004): Gaussian 11 x 11 σ 1.5, valid region, mean of the channels, no downsampling."""

    name, label, digits, range, smallest = "ssim", "SSIM", 4, (-1.0, 1.0), 11
    version = 2  # float64: float32 cancelled on bright flat areas
    source = "BasicSR calculate_ssim (equal within 1e-9)"

    def __init__(self, *, color: Color = "rgb", border: int = 0) -> None:
        super().__init__(color=color, border=border)
        self.conventions = f"{self._where()}; Gaussian 11x11 sigma 1.5, valid region, K = .01, .03, not downsampled"

    def _planes(self, images: U8) -> NDArray[Any]:
        """(N, C, H, W), uint8 or, of the luma, float32."""
        import cv2

        cropped = self._crop(images)
        if self.color == "y":
            return luma(cropped)[:, None, :, :, 0]
        return np.stack([np.stack(cv2.split(image)) for image in cropped])

    def reference(self, batch: Batch) -> Any:
        planes = self._planes(batch.hr)
        ssim = structure(*planes.shape[2:])
        return [(y, ssim.means(y)) for y in planes]

    def score(self, sr: U8, batch: Batch, reference: Any) -> Sequence[float | NoScore]:
        planes = self._planes(sr)
        ssim = structure(*planes.shape[2:])
        return [ssim.mean(x, y, means) for x, (y, means) in zip(planes, reference, strict=True)]


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
            float(v) if np.isfinite(v) else NoScore(Status.FAILED, f"{self.label} is not finite for this image")
            for v in values.tolist()
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
