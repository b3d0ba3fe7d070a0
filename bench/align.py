"""Alignment of faces by five landmarks: to a recogniser's 112 x 112 template, and to the frame of FFHQ and CelebA-HQ.

Landmarks are (5, 2): left eye, right eye, nose, left and right mouth corner as seen in the image, (x, y), pixel centres at integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from facesr.bench.errors import FaceSRError
from facesr.bench.faces import F64, U8
from facesr.bench.imaging.resample import KERNELS, resize8

ARCFACE_TEMPLATE: F64 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where ArcFace's training data has the five points in its 112 x 112 crops (insightface's ``arcface_dst``)."""

Fit = Literal["insightface", "treb1en"]


def similarity(landmarks5: ArrayLike, size: int = 112, fit: Fit = "insightface") -> F64:
    """The similarity transform (2, 3) from image to template of side ``size``, a multiple of 112 or of 128.

    ``insightface``: least squares in the template (Umeyama 1991), equal to its ``estimate_norm``. ``treb1en``: least squares in the
    image, as MATLAB's ``cp2tform`` that InsightFace_Pytorch follows; matrices differ by up to a quarter pixel, so name the one used.
    Raises ``FaceSRError`` for points that fix no transform (not finite, or all in one place).
    """
    points = _five(landmarks5)
    template = _template(size)
    if fit == "insightface":
        return _fitted(points, template)
    if fit == "treb1en":
        back = np.vstack([_fitted(template, points), [0.0, 0.0, 1.0]])
        return np.linalg.inv(back)[:2]
    raise FaceSRError(f"no fit {fit!r}: choose from: insightface, treb1en")


def warp(image: U8, matrix: F64, size: int = 112) -> U8:
    """``image`` (H, W, 3) uint8 through ``matrix`` into a square of side ``size``: bilinear, black outside, as ``norm_crop`` does."""
    import cv2

    return np.asarray(cv2.warpAffine(image, matrix, (size, size), borderValue=0.0), np.uint8)


def _template(size: int) -> F64:
    if size > 0 and size % 112 == 0:
        return ARCFACE_TEMPLATE * (size / 112)
    if size > 0 and size % 128 == 0:  # insightface's rule: the 112 columns stand in the middle of 128
        return np.asarray((ARCFACE_TEMPLATE + np.array([8.0, 0.0])) * (size / 128), np.float64)
    raise FaceSRError(f"the five-point template is defined for sides that are multiples of 112 or 128, not {size}")


def _five(landmarks5: ArrayLike) -> F64:
    points = np.asarray(landmarks5, np.float64)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise FaceSRError(f"five finite (x, y) landmarks are needed, got an array of shape {points.shape}: {points.tolist()}")
    if np.ptp(points, axis=0).max() < 1e-6:
        raise FaceSRError(f"five landmarks in one place ({points[0].tolist()}) fix no alignment")
    return points


def _fitted(source: F64, target: F64) -> F64:
    """The rotation, uniform scale and shift (2, 3) that bring ``source`` nearest to ``target``, in the least-squares sense.

    In the plane, without reflection, this is linear: [x -y 1 0; y x 0 1] (a, b, s, t) = (u, v).
    """
    mean = source.mean(axis=0)
    x, y = (source - mean).T
    goal = target.mean(axis=0)
    u, v = (target - goal).T
    norm = float((x * x + y * y).sum())
    a, b = float((x * u + y * v).sum()) / norm, float((x * v - y * u).sum()) / norm
    turn = np.array([[a, -b], [b, a]])
    return np.concatenate([turn, (goal - turn @ mean)[:, None]], axis=1)


@dataclass(frozen=True)
class Frame:
    """The square of FFHQ and CelebA-HQ around a face. ``corners`` (4, 2): top left, bottom left, bottom right, top right, in the image's
    pixels, pixel centres at integers; ``side``: its length in those pixels."""

    corners: F64
    side: float


@dataclass(frozen=True)
class Aligned:
    """An aligned face. ``image`` (size, size, 3) uint8 RGB; ``scale``: its pixels per pixel of the photo; ``out_of_frame``: share of the
    frame outside the photo, filled by a blurred reflection; ``reasons``: what a careful reader would want to know, in sentences."""

    image: U8
    frame: Frame
    scale: float
    out_of_frame: float
    reasons: tuple[str, ...]


def ffhq_frame(landmarks5: ArrayLike) -> Frame:
    """The oriented square of FFHQ (Karras et al. 2019, appendix A) and CelebA-HQ (Karras et al. 2018, appendix C).

    Its centre lies a tenth of the way from the eyes to the mouth; its half side is the larger of 2 eye distances and 1.8
    eye-to-mouth distances, along the mean of the eye line and the upright of the eye-mouth line.
    """
    points = _five(landmarks5)
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    across, down = points[1] - points[0], mouth - eyes
    axis = across + np.array([down[1], -down[0]])  # the eye line and the eye-mouth line turned a quarter
    length = float(np.hypot(*axis))
    if length < 1e-6:
        raise FaceSRError(
            f"the landmarks {points.tolist()} fix no upright: the mouth lies as far above the eyes as the eyes are apart"
        )
    half = max(2.0 * float(np.hypot(*across)), 1.8 * float(np.hypot(*down)))
    x = axis / length * half
    y = np.array([-x[1], x[0]])
    centre = eyes + 0.1 * down
    return Frame(np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y]), 2.0 * half)


def align_ffhq(image: U8, landmarks5: ArrayLike, size: int, *, oversample: int = 4, reduce: str = "lanczos") -> Aligned:
    """Cut the FFHQ frame out of a photo (H, W, 3) uint8 RGB and bring it to ``size``.

    As the published scripts: reduce by a whole factor where the photo is much larger, reflect and blur what lies outside, sample
    bilinearly at ``oversample`` times the size (FFHQ renders 4096 for 1024), then reduce: ``lanczos`` (theirs), or a kernel of
    ``facesr.bench.imaging.KERNELS``.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or min(image.shape[:2]) < 4:
        raise FaceSRError(f"a photo must be uint8 RGB (H, W, 3) of at least 4 pixels a side, not {image.dtype} {image.shape}")
    if size < 1 or oversample < 1 or reduce not in ("lanczos", *KERNELS):
        raise FaceSRError(
            f"size {size}, oversample {oversample}, reduce {reduce!r}: sides from 1 up, and lanczos or a known kernel, are needed"
        )
    from PIL import Image

    frame = ffhq_frame(landmarks5)
    height, width = image.shape[:2]
    outside = _outside(frame.corners, width, height)
    if outside > 0.9:
        raise FaceSRError(
            f"the face's frame lies outside the photo ({outside:.0%} of it): check the landmarks {np.asarray(landmarks5).tolist()}"
        )
    render = size * oversample
    picture, quad, side = _reduced(Image.fromarray(image), frame.corners, frame.side, render)
    picture, quad = _cropped(picture, quad, side)
    pixels, quad = _padded(np.asarray(picture), quad, side)
    # Pillow's QUAD counts from pixel corners.
    corners = tuple((quad + 0.5).ravel())
    sampled = Image.fromarray(pixels).transform((render, render), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
    if oversample > 1 and reduce == "lanczos":
        sampled = sampled.resize((size, size), Image.Resampling.LANCZOS)
    made = np.array(sampled)
    scale = size / frame.side
    return Aligned(
        made if len(made) == size else resize8(made, size, reduce),
        frame,
        scale,
        outside,
        _reasons(scale, outside, size, frame.side),
    )


def _reasons(scale: float, outside: float, size: int, side: float) -> tuple[str, ...]:
    reasons = []
    if scale > 1.0:
        reasons.append(f"the face's frame is {side:.0f} pixels in the photo and was enlarged {scale:.2f} times to {size}")
    if outside > 0.02:
        reasons.append(f"{outside:.0%} of the frame lies outside the photo and was filled by reflection and blur")
    return tuple(reasons)


def _outside(corners: F64, width: int, height: int) -> float:
    """Share of the quad outside the image, from a 64 x 64 grid of points."""
    t = (np.arange(64) + 0.5) / 64
    right, down = corners[3] - corners[0], corners[1] - corners[0]
    points = corners[0] + t[:, None, None] * right + t[None, :, None] * down
    x, y = points[..., 0], points[..., 1]
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    return float(1.0 - inside.mean())


def _reduced(picture: Any, corners: F64, side: float, render: int) -> tuple[Any, F64, float]:
    """Reduce a photo whose frame is more than twice as wide as needed by the whole factor that keeps it at least so wide."""
    shrink = int(np.floor(side / render * 0.5))
    if shrink <= 1:
        return picture, corners, side
    from PIL import Image

    new = (max(1, int(np.rint(picture.width / shrink))), max(1, int(np.rint(picture.height / shrink))))
    return picture.resize(new, Image.Resampling.LANCZOS), corners / shrink, side / shrink


def _cropped(picture: Any, quad: F64, side: float) -> tuple[Any, F64]:
    """Cut away what lies further from the frame than a tenth of its side: only speed, the result is the same."""
    border = max(int(np.rint(side * 0.1)), 3)
    low, high = np.floor(quad.min(axis=0)).astype(int), np.ceil(quad.max(axis=0)).astype(int)
    left, top = (max(int(v) - border, 0) for v in low)
    right, bottom = min(int(high[0]) + border, picture.width), min(int(high[1]) + border, picture.height)
    return picture.crop((left, top, right, bottom)), quad - [left, top]


def _padded(pixels: U8, quad: F64, side: float) -> tuple[U8, F64]:
    """Reflect the photo beyond its edges where the frame reaches there, and fade the reflection into blur and the median colour."""
    height, width = pixels.shape[:2]
    border = max(int(np.rint(side * 0.1)), 3)
    low, high = np.floor(quad.min(axis=0)).astype(int), np.ceil(quad.max(axis=0)).astype(int)
    need = np.maximum([-low[0] + border, -low[1] + border, high[0] - width + border, high[1] - height + border], 0)
    if need.max() <= border - 4:
        return pixels, quad
    left, top, right, bottom = (int(v) for v in np.maximum(need, int(np.rint(side * 0.3))))
    from scipy.ndimage import gaussian_filter

    padded = np.pad(pixels.astype(np.float32), ((top, bottom), (left, right), (0, 0)), "reflect")
    h, w = padded.shape[:2]
    y, x = np.ogrid[:h, :w]
    along_x = np.minimum(x / left, (w - 1 - x) / right)
    along_y = np.minimum(y / top, (h - 1 - y) / bottom)
    mask = np.maximum(1.0 - along_x, 1.0 - along_y).astype(np.float32)[..., None]  # 1 at the far edge, 0 and less in the photo
    blur = side * 0.02
    padded += (gaussian_filter(padded, (blur, blur, 0)) - padded) * np.clip(mask * 3.0 + 1.0, 0.0, 1.0)
    padded += (np.median(padded, axis=(0, 1)) - padded) * np.clip(mask, 0.0, 1.0)
    return np.clip(np.rint(padded), 0, 255).astype(np.uint8), quad + np.array([left, top])


def map_points(points: ArrayLike, frame: Frame, size: int) -> tuple[tuple[float, float], ...]:
    """Where points of the photo (K, 2) lie in the aligned image of side ``size``, pixel centres at integers."""
    corners = frame.corners
    right, down = (corners[3] - corners[0]) / frame.side, (corners[1] - corners[0]) / frame.side
    off = np.asarray(points, np.float64) - corners[0]
    scale = size / frame.side
    # The corners are where pixel edges come to lie: Pillow samples the first pixel's centre half a step inside.
    return tuple((float(off_x @ right) * scale - 0.5, float(off_x @ down) * scale - 0.5) for off_x in off)
