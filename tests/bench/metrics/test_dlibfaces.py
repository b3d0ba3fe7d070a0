"""Metrics of dlib without dlib, and faces found; what needs the extra is in test_dlib_itself.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facesr.bench.data.dataset import find_dataset
from facesr.bench.errors import WeightsMissing
from facesr.bench.faces import Batch
from facesr.bench.imaging import read_rgb
from facesr.bench.metrics import dlibfaces
from facesr.bench.metrics.dlibfaces import IdentityDlib, LandmarkDistance68
from facesr.bench.metrics.identity import FaceFound


@pytest.fixture(scope="module")
def batch() -> Batch:
    faces = find_dataset("demo", "all", 128).faces[:3]
    return Batch(tuple(faces), np.stack([read_rgb(face.path) for face in faces]), None)


def test_without_the_extra_cells_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(dlibfaces.importlib.util, "find_spec", lambda name: None)
    for metric in (IdentityDlib(), LandmarkDistance68()):
        with pytest.raises(WeightsMissing, match=r"pip install 'facesr-bench\[dlib\]'"):
            _ = metric.weights


def test_face_found_is_the_share_that_still_has_a_face(batch: Batch) -> None:
    metric = FaceFound()
    try:
        known = metric.reference(batch)
    except WeightsMissing as error:
        pytest.skip(str(error))
    broken = batch.hr.copy()
    broken[1] = 128
    assert metric.score(batch.hr, batch, known) == [1.0, 1.0, 1.0]
    assert metric.score(broken, batch, known) == [1.0, 0.0, 1.0]
    assert metric.share
