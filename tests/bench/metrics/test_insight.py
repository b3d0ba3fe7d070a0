"""insightface's models: its own code where it is installed, ours else, and where the files are found."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from facesr.bench.errors import WeightsMissing
from facesr.bench.metrics import insight
from facesr.bench.metrics.base import NoScore
from facesr.bench.metrics.embedders import ArcFace, arcface_file
from facesr.bench.metrics.identity import Identity
from small_networks import detector, recogniser


@pytest.mark.parametrize("first", ["Conv", "Sub"])
def test_arcface_equals_insightface(tmp_path: Path, first: str) -> None:
    """insightface's ArcFaceONNX.get_feat on the same crops: it tells the input scaling from the file's first nodes, so do we."""
    insightface = pytest.importorskip("insightface", exc_type=ImportError)
    assert insightface
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from insightface.model_zoo.arcface_onnx import ArcFaceONNX
    file = recogniser(tmp_path / "w600k_r50.onnx", first=first)
    crops = np.random.default_rng(1).integers(0, 256, (3, 112, 112, 3), np.uint8)
    theirs = ArcFaceONNX(str(file))
    known = np.concatenate([theirs.get_feat(np.ascontiguousarray(crop[..., ::-1])) for crop in crops])
    assert theirs.input_mean == (0.0 if first == "Sub" else 127.5)
    found = ArcFace(str(file)).run(crops)
    assert found == pytest.approx(known, rel=1e-4, abs=1e-4)
    assert ArcFace(str(file)).embed(crops) == pytest.approx(known / np.linalg.norm(known, axis=1, keepdims=True), abs=1e-5)


@pytest.mark.parametrize("first", ["Conv", "Sub"])
def test_insightface_runs_its_own_files_and_without_it_the_numbers_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    pytest.importorskip("insightface", exc_type=ImportError)
    file = recogniser(tmp_path / "w600k_r50.onnx", first=first)
    crops = np.random.default_rng(1).integers(0, 256, (3, 112, 112, 3), np.uint8)
    asked: list[Path] = []
    monkeypatch.setattr(insight, "recogniser", lambda path, real=insight.recogniser: asked.append(path) or real(path))
    theirs = ArcFace(str(file)).run(crops)
    assert asked == [file]
    monkeypatch.setattr(insight, "insight_installed", lambda: False)
    assert ArcFace(str(file)).run(crops) == pytest.approx(theirs, rel=1e-6, abs=1e-5)
    assert asked == [file]


def test_insightface_detects_for_its_own_networks_where_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("insightface", exc_type=ImportError)
    monkeypatch.setenv("FACESR_WEIGHTS", str(tmp_path))
    recogniser(tmp_path / "w600k_r50.onnx")
    assert "YuNet" in Identity("arcface", align="detected").conventions
    detector(tmp_path / "det_10g.onnx")
    monkeypatch.setattr(insight, "detector_file", lambda: tmp_path / "det_10g.onnx")  # its bytes are not the catalogue's
    metric = Identity("arcface", align="detected")
    assert "SCRFD (insightface)" in metric.conventions
    assert set(metric.weights) == {"arcface", "scrfd"}
    assert "SCRFD" not in Identity("sface", align="detected").conventions
    images = np.full((2, 128, 128, 3), 255, np.uint8)
    images[1] = 0
    white, black = insight.insight_points(images, "SR")
    assert isinstance(black, NoScore)
    assert black.status == "no_face"
    # of equal faces at every place of stride 32 the one nearest to the middle, (64, 64), with points half a stride around it
    assert white == pytest.approx(np.array([[48, 48], [80, 48], [64, 64], [48, 80], [80, 80]], float))


def test_insightface_packs_are_found_where_users_keep_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("FACESR_WEIGHTS", raising=False)
    with pytest.raises(WeightsMissing, match=r"w600k_r50\.onnx .*FACESR_WEIGHTS.*insightface/models"):
        arcface_file()
    with pytest.raises(WeightsMissing, match="did you mean 'buffalo_l'"):
        arcface_file("bufalo_l")
    pack = tmp_path / ".insightface/models/antelopev2"
    pack.mkdir(parents=True)
    (pack / "glintr100.onnx").write_bytes(b"x")
    assert arcface_file() == arcface_file("antelopev2") == pack / "glintr100.onnx"
    with pytest.raises(WeightsMissing, match="buffalo_l"):
        arcface_file("buffalo_l")
    own = tmp_path / "mine"
    own.mkdir()
    (own / "w600k_r50.onnx").write_bytes(b"x")
    monkeypatch.setenv("FACESR_WEIGHTS", str(own))
    assert arcface_file() == own / "w600k_r50.onnx"
