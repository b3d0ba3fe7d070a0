"""dlib's landmarks and recogniser as metrics: dlib's own numbers, and what they say of better and worse images."""

from __future__ import annotations

import numpy as np
import pytest

from facesr.bench.data.dataset import find_dataset
from facesr.bench.errors import WeightsMissing
from facesr.bench.faces import Batch
from facesr.bench.imaging import read_rgb
from facesr.bench.imaging.resample import resize8
from facesr.bench.metrics import dlibfaces
from facesr.bench.metrics.base import NoScore
from facesr.bench.metrics.dlibfaces import IdentityDlib, LandmarkDistance68, enlarged, file, points, shapes

try:
    file(dlibfaces.LANDMARKS)
except WeightsMissing as error:
    pytest.skip(str(error), allow_module_level=True)


@pytest.fixture(scope="module")
def batch() -> Batch:
    faces = find_dataset("demo", "all", 128).faces[:3]
    return Batch(tuple(faces), np.stack([read_rgb(face.path) for face in faces]), None)


def _poorer(images: np.ndarray, side: int) -> np.ndarray:
    return np.stack([resize8(resize8(image, side, "bicubic-matlab"), 128, "bicubic-matlab") for image in images])


def test_descriptors_are_dlibs_own(batch: Batch) -> None:
    """Against the call that takes image and landmarks together, without a chip of ours."""
    import dlib

    metric = IdentityDlib()
    recogniser = dlib.face_recognition_model_v1(str(file(dlibfaces.RECOGNISER)))
    large = [enlarged(image) for image in batch.hr]
    theirs = [np.array(recogniser.compute_face_descriptor(im, sh)) for im, sh in zip(large, shapes(batch.hr, "HR"), strict=True)]
    for (_, ours), expected in zip(metric.reference(batch), theirs, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_the_same_face_is_nearer_than_a_blurred_one_and_that_nearer_than_another_person(batch: Batch) -> None:
    metric = IdentityDlib()
    known = metric.reference(batch)
    same, half, less = (metric.score(sr, batch, known) for sr in (batch.hr, _poorer(batch.hr, 48), _poorer(batch.hr, 20)))
    assert np.allclose(np.array(same, float), 0)
    assert (np.array(half, float) < np.array(less, float)).all()
    assert max(np.array(half, float)) < 0.6
    strangers = [np.linalg.norm(known[a][1] - known[b][1]) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert min(strangers) > 0.6


def test_68_points_move_with_the_face_and_a_lost_face_is_counted(batch: Batch) -> None:
    metric = LandmarkDistance68()
    known = metric.reference(batch)
    assert metric.score(batch.hr, batch, known) == [0.0, 0.0, 0.0]
    eyes = [float(np.hypot(*(points(s)[45] - points(s)[36]))) for s in known]
    moved = metric.score(np.roll(batch.hr, 3, axis=2), batch, known)
    for value, apart in zip(moved, eyes, strict=True):
        assert float(value) == pytest.approx(100 * 6 / apart, abs=3.0)  # type: ignore[arg-type]  # 3 pixels are 6 of the enlarged image
    lost = metric.score(np.full_like(batch.hr, 128), batch, known)
    assert all(isinstance(cell, NoScore) and cell.status == "no_face" for cell in lost)
    assert all(isinstance(cell, NoScore) for cell in IdentityDlib().score(batch.hr, batch, [(lost[0], None)] * 3))
