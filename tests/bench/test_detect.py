"""YuNet: faces found where they are, the numbers of OpenCV's own decoder, no face in what has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesr.bench import weights
from facesr.bench.detect import detect, detect_batch, main_face
from facesr.bench.errors import FaceSRError, WeightsMissing
from helpers import demo_faces

OPENCV = [
    [25.1205, 26.6145, 70.732, 88.2199, 49.2705, 60.3019, 79.3122, 59.5073, 68.1306, 78.7469, 51.8366, 92.4956, 77.503, 92.2217, 0.9394],
    [25.0401, 21.9114, 71.3418, 96.062, 47.8201, 61.833, 79.4694, 62.8787, 65.4516, 80.4057, 49.8104, 92.5832, 76.401, 94.1587, 0.9366],
]  # fmt: skip
"""Left, top, width, height, five (x, y), score of the first two demo faces: OpenCV 5.0.0's FaceDetectorYN on the file as shipped."""


@pytest.fixture(scope="module", autouse=True)
def yunet() -> Path:
    try:
        return weights.fetch("yunet")
    except WeightsMissing as error:
        pytest.skip(str(error))


def test_aligned_faces_have_their_points_where_the_frame_puts_them() -> None:
    """In CelebA-HQ's frame at 128, eyes lie near (47, 60) and (80, 60), mouth corners near (50, 93) and (78, 93)."""
    found = detect_batch(demo_faces())
    assert [len(faces) for faces in found] == [1] * 8
    for faces in found:
        expected = [[47, 60], [80, 60], [63, 79], [50, 93], [79, 93]]
        assert np.abs(faces[0].landmarks5 - expected).max() < 10
        assert faces[0].score > 0.9
        assert len(faces[0].points) == 5


def test_equal_to_opencvs_decoder() -> None:
    """Within 0.01 of a pixel; docs/conformance.md has all eight, live."""
    for image, known in zip(demo_faces(), OPENCV, strict=False):
        (face,) = detect(image)
        assert np.abs(np.array(face.box) - known[:4]).max() < 0.01
        assert np.abs(face.landmarks5.ravel() - known[4:14]).max() < 0.01
        assert face.score == pytest.approx(known[14], abs=1e-4)


def test_neither_batch_nor_order_matter() -> None:
    images = demo_faces()
    together = detect_batch(images)
    backwards = detect_batch(images[::-1])[::-1]
    for one, a, b in zip(images, together, backwards, strict=True):
        (alone,) = detect(one)
        assert np.abs(alone.landmarks5 - a[0].landmarks5).max() < 1e-3
        assert np.abs(b[0].landmarks5 - a[0].landmarks5).max() < 1e-3


@pytest.mark.parametrize("side", [1, 16, 30, 128, 200])
def test_no_face_where_there_is_none(side: int) -> None:
    rng = np.random.default_rng(side)
    assert detect(np.full((side, side, 3), 128, np.uint8)) == []
    assert detect(rng.integers(0, 256, (side, side, 3), np.uint8)) == []
    assert detect_batch(np.zeros((0, side, side, 3), np.uint8)) == []


def test_two_faces_and_the_main_one() -> None:
    images = demo_faces()
    small = np.asarray(Image.fromarray(images[1]).resize((64, 64)))
    both = np.zeros((128, 256, 3), np.uint8)
    both[:, 40:168], both[:64, 190:254] = images[0], small
    found = detect(both)
    assert len(found) == 2
    main = main_face(found, (128, 256))
    assert main is not None
    assert main.box[0] < 128
    assert main_face([], (128, 256)) is None


def test_a_wrong_image_is_told() -> None:
    with pytest.raises(FaceSRError, match="float32"):
        detect(np.zeros((32, 32, 3), np.float32))  # type: ignore[arg-type]
    with pytest.raises(FaceSRError, match="uint8 RGB"):
        detect(np.zeros((32, 32), np.uint8))
