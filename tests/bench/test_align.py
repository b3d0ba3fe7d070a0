"""Alignment: insightface's and InsightFace_Pytorch's matrices and crops, and the FFHQ frame against pixels that know where they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facesr.bench.align import ARCFACE_TEMPLATE, align_ffhq, ffhq_frame, map_points, similarity, warp
from facesr.bench.errors import FaceSRError

FACE = np.array([[100.0, 110.0], [160.0, 112.0], [131.0, 150.0], [108.0, 182.0], [152.0, 183.0]])


def turned(points: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    a = np.radians(degrees)
    turn = scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    return points @ turn.T + shift


def coordinates(width: int, height: int) -> np.ndarray:
    """An image whose red and green are the pixel's own x and y, as parts of 255."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 / (width - 1), y * 255 / (height - 1), np.full_like(x, 99.0)], axis=2).round().astype(np.uint8)


def test_insightface_matrices_and_crops(oracle: Callable[[str], dict[str, Any]]) -> None:
    """Its estimate_norm and norm_crop; the template there is float32, so 1e-4 of a pixel and one grey level."""
    known = oracle("align_5point")
    image = known["inputs"]["image_u8"].numpy()
    for case in known["outputs"]["cases"]:
        points = case["landmarks"].numpy()
        for size in (112, 128, 224):
            assert np.abs(similarity(points, size) - case[f"M{size}"].numpy()).max() < 1e-4
        crop = warp(image, similarity(points))
        assert np.nanmax(np.abs(crop.astype(int) - case["norm_crop_112"].numpy())) <= 1


def test_treb1en_matrices_and_crops(oracle: Callable[[str], dict[str, Any]]) -> None:
    """InsightFace_Pytorch's cp2tform estimate differs from insightface's, and is met as closely."""
    known = oracle("align_5point")
    image = known["inputs"]["image_u8"].numpy()
    for case in known["outputs"]["cases"]:
        matrix = similarity(case["landmarks"].numpy(), fit="treb1en")
        assert np.abs(matrix - case["treb1en_tfm"].numpy()).max() < 1e-4
        assert np.abs(matrix - case["M112"].numpy()).max() > 0.05
        assert np.nanmax(np.abs(warp(image, matrix).astype(int) - case["treb1en_crop"].numpy())) <= 1


@settings(max_examples=30, deadline=None)
@given(st.floats(-170, 170), st.floats(0.2, 5), st.floats(-500, 500), st.floats(-500, 500))
def test_a_turned_template_is_turned_back(degrees: float, scale: float, x: float, y: float) -> None:
    points = turned(ARCFACE_TEMPLATE, degrees, scale, (x, y))
    for fit in ("insightface", "treb1en"):
        matrix = similarity(points, fit=fit)  # type: ignore[arg-type]
        back = points @ matrix[:, :2].T + matrix[:, 2]
        assert np.abs(back - ARCFACE_TEMPLATE).max() < 1e-6


def test_bad_landmarks_are_told() -> None:
    with pytest.raises(FaceSRError, match="one place"):
        similarity(np.zeros((5, 2)))
    with pytest.raises(FaceSRError, match=r"\(4, 2\)"):
        similarity(FACE[:4])
    with pytest.raises(FaceSRError, match="finite"):
        similarity(FACE * np.nan)
    with pytest.raises(FaceSRError, match="100"):
        similarity(FACE, 100)
    with pytest.raises(FaceSRError, match="no fit 'umeyama'"):
        similarity(FACE, fit="umeyama")  # type: ignore[arg-type]


def test_the_frame_is_ffhqs() -> None:
    """By hand, for an upright face: eyes 64 apart, mouth 70 below: half side max(2 * 64, 1.8 * 70), centre a tenth below the eyes."""
    upright = np.array([[100, 100], [164, 100], [132, 140], [110, 170], [154, 170]], float)
    frame = ffhq_frame(upright)
    assert frame.side == pytest.approx(256)
    centre = np.array([132.0, 107.0])
    assert frame.corners == pytest.approx(np.array([centre + d for d in ([-128, -128], [-128, 128], [128, 128], [128, -128])]))
    tall = ffhq_frame(upright + np.array([[0, 0], [0, 0], [0, 0], [0, 10], [0, 10]]))
    assert tall.side == pytest.approx(2 * 1.8 * 80)


@pytest.mark.parametrize("degrees", [0.0, 17.0, -60.0])
@pytest.mark.parametrize("reduce", ["box", "lanczos"])
def test_pixels_come_from_where_the_frame_says(degrees: float, reduce: str) -> None:
    width, height = 900, 800
    points = turned(FACE - FACE.mean(axis=0), degrees, 1.4, (450, 400))
    found = align_ffhq(coordinates(width, height), points, 64, reduce=reduce)
    assert found.image.shape == (64, 64, 3)
    assert found.out_of_frame == 0
    assert found.reasons == ()
    assert found.scale == pytest.approx(64 / found.frame.side)
    x = found.image[..., 0] / 255 * (width - 1)
    y = found.image[..., 1] / 255 * (height - 1)
    column, row = np.meshgrid(np.arange(64), np.arange(64))
    where = np.array(map_points(np.stack([x.ravel(), y.ravel()], axis=1), found.frame, 64)).reshape(64, 64, 2)
    # one grey level is 3.5 pixels of the photo, 0.6 of the result
    assert np.abs(where[..., 0] - column).max() < 0.8
    assert np.abs(where[..., 1] - row).max() < 0.8


def test_what_lies_outside_is_reflected_and_told() -> None:
    image = np.full((200, 200, 3), 60, np.uint8)
    image[:, 100:] = 180
    found = align_ffhq(image, FACE, 64)
    # FACE's frame is 262 pixels wide in a photo of 200
    assert 0.2 < found.out_of_frame < 0.6
    assert "outside the photo" in " ".join(found.reasons)
    assert found.image.min() > 20  # no black corners
    small = align_ffhq(image, (FACE - 130) * 0.1 + 100, 64)
    assert "enlarged" in " ".join(small.reasons)


def test_align_refuses_in_one_sentence() -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    with pytest.raises(FaceSRError, match="outside the photo"):
        align_ffhq(image, FACE + 2000, 64)
    with pytest.raises(FaceSRError, match="uint8"):
        align_ffhq(image.astype(np.float32), FACE, 64)  # type: ignore[arg-type]
    with pytest.raises(FaceSRError, match="bicubic"):
        align_ffhq(image, FACE, 64, reduce="bicubic")
    with pytest.raises(FaceSRError, match="upright"):
        align_ffhq(image, [[100, 100], [110, 100], [0, 0], [105, 90], [105, 90]], 64)
