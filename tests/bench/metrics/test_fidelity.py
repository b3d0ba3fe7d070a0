"""PSNR and SSIM against BasicSR's recorded figures and in float64, and the properties every metric has; live peers: ``benchmarks/conformance``."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from conformance import recorded
from facesr.bench.errors import FaceSRError
from facesr.bench.faces import Batch
from facesr.bench.imaging.color import luma
from facesr.bench.metrics.base import Metric, NoScore
from facesr.bench.metrics.consistency import Consistency, ConsistencyPass
from facesr.bench.metrics.fidelity import PSNR, PSNRY, SSIM, SSIMY
from facesr.bench.registry import build_metric, installed
from helpers import picture

NAMES = [
    n
    for n, t in installed("facesr.metrics").items()
    if t.startswith(("facesr.bench.metrics.fidelity", "facesr.bench.metrics.consistency"))
]


def _batch(side: int = 168, count: int = 2) -> Batch:
    hr = np.stack([picture(i, side) for i in range(count)])
    lr = np.stack([cv2.resize(h, (side // 8, side // 8), interpolation=cv2.INTER_AREA) for h in hr])
    return Batch((), hr, lr)


def _blurred(batch: Batch, sigma: float) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.stack([cv2.GaussianBlur(h, (0, 0), sigma) for h in batch.hr])


def _score(metric: Metric, sr: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], batch: Batch) -> list[float]:
    return [float(v) for v in metric.score(sr, batch, metric.reference(batch)) if not isinstance(v, NoScore)]


@pytest.mark.parametrize(
    ("metric", "key", "tolerance"),
    [
        (PSNR, "psnr_crop{}_rgb", 1e-9),
        (PSNRY, "psnr_crop{}_y", 1e-9),
        (SSIM, "ssim_crop{}_rgb", 1e-9),
        (SSIMY, "ssim_crop{}_y", 1e-9),
    ],
)
@pytest.mark.parametrize("border", [0, 4])
def test_equals_basicsr(metric: type[PSNR] | type[SSIM], key: str, tolerance: float, border: int) -> None:
    oracle = recorded("basicsr_metrics")
    a, b = (oracle["inputs"][k].numpy()[None, ..., ::-1].copy() for k in ("a_bgr", "b_bgr"))
    assert _score(metric(border=border), a, Batch((), b)) == pytest.approx([oracle["outputs"][key.format(border)]], abs=tolerance)


def test_identical_images_are_capped() -> None:
    batch = _batch()
    assert _score(PSNR(), batch.hr, batch) == [100.0, 100.0]  # as BasicSR's are infinite, and a mean must not be
    assert _score(SSIM(), batch.hr, batch) == pytest.approx([1, 1], abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_worse_images_score_worse_and_batches_do_not_matter(name: str) -> None:
    metric, batch = build_metric(name), _batch()
    little, much = _score(metric, _blurred(batch, 1.0), batch), _score(metric, _blurred(batch, 6.0), batch)
    for a, b in zip(little, much, strict=True):
        if name == "consistency-pass":
            assert a >= b
        else:
            assert (a > b) == metric.higher_is_better
    single = Batch((), batch.hr[1:], None if batch.lr is None else batch.lr[1:])
    assert _score(metric, _blurred(batch, 1.0)[1:], single) == pytest.approx(little[1:], rel=1e-5, abs=1e-7)
    swapped = Batch((), batch.hr[::-1].copy(), None if batch.lr is None else batch.lr[::-1].copy())
    assert _score(metric, _blurred(swapped, 1.0), swapped) == pytest.approx(little[::-1], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_declares_its_conventions(name: str) -> None:
    metric = build_metric(name)
    assert metric.name == name
    assert metric.label
    assert metric.conventions
    assert metric.source
    assert metric.range[0] < metric.range[1]


@pytest.mark.parametrize("name", ["ms-ssim", "iw-ssim"])
def test_multi_scale_metrics_refuse_small_images(name: str) -> None:
    assert "161 px" in (build_metric(name).skip(128) or "")
    assert build_metric(name).skip(192) is None


def test_consistency_is_the_error_of_the_degraded_answer() -> None:
    from facesr.bench.imaging import resize8

    hr = np.stack([picture(i, 128) for i in range(3)])
    lr = resize8(hr, 16, "bicubic-matlab")
    batch = Batch((), hr, lr)
    exact = _score(Consistency(), hr, batch)
    assert max(exact) < 4e-6  # rounding LR to 8 bits leaves about 1/12/255² = 1.3e-6
    assert _score(ConsistencyPass(), hr, batch) == [1, 1, 1]
    brighter = np.clip(hr.astype(int) + 20, 0, 255).astype(np.uint8)
    assert min(_score(Consistency(), brighter, batch)) > 1e-3
    assert _score(ConsistencyPass(), brighter, batch) == [0, 0, 0]
    assert _score(ConsistencyPass(epsilon=0.5), brighter, batch) == [1, 1, 1]


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("psnr", {"color": "bgr"}, "'color' is 'bgr'"),
        ("ssim", {"border": -1}, "border -1"),
        ("ssim", {"border": 2.5}, "'border' is 2.5"),
        ("psnr", {"border": "4"}, "'border' is '4'"),
        ("psnr", {"border": True}, "'border' is true"),
        ("consistency", {"epsilon": 2}, "epsilon 2"),
        ("consistency", {"epsilon": "1e-3"}, "'epsilon' is '1e-3'"),
        ("consistency", {"kernel": "bicubic"}, "kernel 'bicubic' of consistency"),
    ],
)
def test_bad_conventions_are_told(name: str, given: dict[str, object], says: str) -> None:
    with pytest.raises(FaceSRError, match=says):
        build_metric(name, given)


def test_unknown_metric_and_convention_suggest() -> None:
    with pytest.raises(FaceSRError, match="did you mean 'psnr'"):
        build_metric("psrn")
    with pytest.raises(FaceSRError, match="did you mean 'border'"):
        build_metric("psnr", {"boarder": 4})


# -- SSIM in float64, on what cancels in float32 -----------------------------------------------------------------------------------


def _ssim64(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> float:
    """Wang 2004 as published, in float64: 11 x 11 Gaussian of sigma 1.5, valid region, mean of the channels; (H, W, C) in [0, 255]."""
    tap = np.exp(-((np.arange(11) - 5.0) ** 2) / 4.5)
    window = np.outer(tap, tap) / tap.sum() ** 2

    def f(z: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        views = np.lib.stride_tricks.sliding_window_view(z, (11, 11), (0, 1))
        found: np.ndarray[Any, Any] = np.einsum("hwcij,ij->hwc", views, window)
        return found

    a, b = x.astype(np.longdouble), y.astype(np.longdouble)
    ma, mb = f(a), f(b)
    c1, c2 = 6.5025, 58.5225
    top = (2 * ma * mb + c1) * (2 * (f(a * b) - ma * mb) + c2)
    return float((top / ((ma**2 + mb**2 + c1) * (f(a * a) - ma**2 + f(b * b) - mb**2 + c2))).mean())


def _cases() -> dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    rng = np.random.default_rng(7)
    white = np.full((40, 53, 3), 255, np.uint8)
    near = white.copy()
    near[..., 0] = 254
    portrait = white.copy()
    portrait[10:30, 12:35] = rng.integers(0, 256, (20, 23, 3))
    off = portrait.copy()
    off[portrait == 255] = 254
    noise = rng.integers(0, 256, (40, 53, 3), dtype=np.uint8)
    steps = np.zeros((40, 53, 3), np.uint8)
    steps[:, ::2] = 255
    return {
        "near-white": (near, white), "portrait on white": (off, portrait), "noise": (noise, noise[::-1].copy()), "inverse": (255 - noise, noise),
        "stripes": (steps, 255 - steps), "black": (np.zeros_like(white), np.ones_like(white)), "flat 100, flat 200": (white // 2, white),
        "one window": (noise[:11, :11], portrait[:11, :11]), "wide": (noise[:12], portrait[:12]), "dim": (noise // 64, noise // 63),
    }  # fmt: skip


@pytest.mark.parametrize("name", _cases())
@pytest.mark.parametrize("metric", [SSIM, SSIMY])
def test_ssim_is_right_on_any_input(name: str, metric: type[SSIM]) -> None:
    sr, hr = _cases()[name]
    found = _score(metric(), sr[None], Batch((), hr[None]))[0]
    planes = (luma(sr[None])[0], luma(hr[None])[0]) if metric is SSIMY else (sr, hr)
    assert found == pytest.approx(_ssim64(*planes), abs=1e-11)
    assert found <= 1
    assert _score(metric(), hr[None], Batch((), hr[None])) == [1.0]


@pytest.mark.parametrize("side", [11, 12, 18, 19, 64, 130, 400])
def test_ssim_of_every_size_and_its_strips(side: int) -> None:
    """Wang's own program and piq halve images from 384 pixels on; SSIM of this field is at full size."""
    sr, hr = picture(1, side), picture(2, side)
    assert _score(SSIM(), sr[None], Batch((), hr[None]))[0] == pytest.approx(_ssim64(sr, hr), abs=1e-11)


def test_ssim_buffers_of_one_image_do_not_reach_the_next() -> None:
    pairs = [(picture(i, 40), picture(i + 9, 40)) for i in range(3)]
    alone = [_score(SSIM(), sr[None], Batch((), hr[None]))[0] for sr, hr in pairs]
    together = _score(SSIM(), np.stack([sr for sr, _ in pairs]), Batch((), np.stack([hr for _, hr in pairs])))
    assert together == alone


@pytest.mark.parametrize("name", ["psnr", "psnr-y", "ssim", "gmsd"])
def test_a_border_that_leaves_nothing_is_no_perfect_score(name: str) -> None:
    metric = build_metric(name, {"border": 32})
    assert "after 32 are cropped at each edge" in str(metric.skip(64))
    hr = np.stack([picture(1, 64)])
    with pytest.raises(FaceSRError, match="the images have 64"):
        metric.score(hr, Batch((), hr), metric.reference(Batch((), hr)))
