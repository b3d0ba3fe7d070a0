"""Identity: published embeddings and figures, alignment as named, and what happens where there is no face."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from conformance import agrees
from facesr.bench import weights
from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.faces import Batch, Face
from facesr.bench.metrics.base import NoScore
from facesr.bench.metrics.embedders import ArcFace, Embedder, OnnxEmbedder, SFace, embedder
from facesr.bench.metrics.faces import aligned, five_points, psp_crop
from facesr.bench.metrics.identity import Identity, LandmarkDistance
from facesr.bench.onnxnet import OnnxNet
from facesr.bench.registry import build_metric
from helpers import demo_faces
from small_networks import recogniser


@pytest.fixture(scope="module")
def sface() -> Identity:
    try:
        for name in ("sface", "yunet"):
            weights.fetch(name)
    except WeightsMissing as error:
        pytest.skip(str(error))
    metric = build_metric("identity-sface")
    assert isinstance(metric, Identity)
    return metric


def batch(hr: np.ndarray, **known: Any) -> Batch:
    return Batch(tuple(Face(f"f{i}", Path(f"f{i}.png"), "", **known) for i in range(len(hr))), hr)


def scores(metric: Any, sr: np.ndarray, hr: np.ndarray) -> list[float | NoScore]:
    faces = batch(hr)
    return list(metric.score(sr, faces, metric.reference(faces)))


def numbers(metric: Any, sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    found = scores(metric, sr, hr)
    assert not [s for s in found if isinstance(s, NoScore)]
    return np.array(found, float)


def ladder(hr: np.ndarray) -> list[np.ndarray]:
    """HR, then ever smaller and back: what super-resolution has to undo."""
    reduced = [
        np.stack([np.asarray(Image.fromarray(x).resize((side, side), 3).resize(hr.shape[2:0:-1], 3)) for x in hr])
        for side in (40, 20, 10)
    ]
    return [hr, *reduced]


# -- the networks --------------------------------------------------------------------------------------------------------------


def test_sface_equals_opencv(sface: Identity) -> None:
    """OpenCV 4.13's FaceRecognizerSF.feature, normalised, on a made ramp: the first eight numbers, 1e-5."""
    ramp = (np.indices((112, 112)).sum(0)[..., None] * np.array([1, 0.5, 0.25])).astype(np.uint8)
    known = [0.062431, 0.134829, 0.05117, -0.084432, 0.148932, 0.055269, -0.106966, -0.203087]
    found = SFace().embed(ramp[None])
    assert found.shape == (1, 128)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-6)
    assert found[0, :8] == pytest.approx(known, abs=1e-5)


def test_irse50_and_psps_crop_equal_its_loss(oracle: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    """psp_id_loss: pooled crops, embeddings and the loss 1 - cos; its 256-pixel images here as numbers 0..255."""
    known = oracle("psp_id_loss")
    torch.save(known["state_dict"], tmp_path / "model_ir_se50.pth")
    made, goal = (((known["inputs"][key] + 1) * 127.5).permute(0, 2, 3, 1).numpy() for key in ("y_hat", "y"))
    crops = psp_crop(made)
    agrees((crops.pixels / 127.5 - 1).transpose(0, 3, 1, 2), known["outputs"]["pooled"], atol=2e-6, rtol=0)
    metric = build_metric("identity-irse50-psp-crop", {"weights": str(tmp_path / "model_ir_se50.pth")})
    assert isinstance(metric, Identity)
    agrees(metric.recogniser.network.embed(crops.pixels), known["outputs"]["feats"], atol=3e-6, rtol=0)
    faces = batch(goal)
    cosines = np.array(metric.score(made, faces, metric.reference(faces)), float)
    assert 1 - cosines.mean() == pytest.approx(float(known["outputs"]["loss"]), abs=1e-5)
    targets = [row["diff_target"] for row in known["outputs"]["logs"]]
    assert cosines == pytest.approx(targets, abs=1e-5)
    assert metric.name == "identity-irse50-psp-crop"
    assert len(metric.weights["irse50"]) == 64


def test_iresnet_files_serve_as_arcface(oracle: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    known = oracle("insightface_iresnet18")
    torch.save(known["state_dict"], tmp_path / "backbone.pth")
    crops = ((known["inputs"]["x"] + 1) * 127.5).permute(0, 2, 3, 1).numpy()
    theirs = torch.nn.functional.normalize(known["outputs"]["y"]).numpy()
    assert np.abs(ArcFace(str(tmp_path / "backbone.pth")).embed(crops) - theirs).max() < 2e-6


def test_a_file_that_is_no_recogniser_is_told(tmp_path: Path) -> None:
    crops = np.zeros((1, 112, 112, 3), np.uint8)
    (tmp_path / "broken.onnx").write_bytes(b"not onnx")
    with pytest.raises(FaceSRError, match=r"broken\.onnx is not an ONNX file"):
        OnnxEmbedder("mine", tmp_path / "broken.onnx").run(crops)
    with pytest.raises(FaceSRError, match="rbg"):
        OnnxEmbedder("mine", "x.onnx", order="rbg")  # type: ignore[arg-type]
    with pytest.raises(FaceSRError, match="no face embedder 'sfaze': did you mean 'sface'"):
        embedder("sfaze")


def test_onnxruntime_may_not_call_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    OnnxNet(recogniser(tmp_path / "net.onnx"))
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def test_free_batch_axis_gives_what_one_by_one_gives(tmp_path: Path) -> None:
    net = OnnxNet(recogniser(tmp_path / "net.onnx"))
    assert net.input_shape[0] is None
    x = np.random.default_rng(0).normal(size=(5, 3, 112, 112)).astype(np.float32)
    together = net(x)[0]
    assert together.shape == (5, 8)
    assert together == pytest.approx(np.concatenate([net(one[None])[0] for one in x]), abs=1e-5)


def test_an_embedder_computes_a_face_once() -> None:
    class Counting(Embedder):
        name = "counting"
        seen = 0

        def run(self, crops: Any) -> Any:
            self.seen += len(crops)
            return crops.reshape(len(crops), -1)[:, :4].astype(np.float32) + 1

    network = Counting()
    crops = np.random.default_rng(0).integers(0, 256, (5, 112, 112, 3), np.uint8)
    first = network.embed(crops[[0, 1, 2, 0]])
    assert network.seen == 3
    assert (first[0] == first[3]).all()
    assert (network.embed(crops)[:3] == first[:3]).all()
    assert network.seen == 5
    network.forget()
    network.embed(crops[:1])
    assert network.seen == 6


# -- the published figures -------------------------------------------------------------------------------------------------


# -- properties --------------------------------------------------------------------------------------------------------------


def test_worse_is_worse_and_batches_do_not_matter(sface: Identity) -> None:
    hr = demo_faces()[:6].copy()
    table = np.array([numbers(sface, step, hr) for step in ladder(hr)])
    assert table[0] == pytest.approx(np.ones(6), abs=1e-5)
    assert (np.diff(table.mean(axis=1)) < 0).all()
    worst = ladder(hr)[-1]
    alone = np.concatenate([numbers(sface, worst[i : i + 1], hr[i : i + 1]) for i in range(6)])
    assert alone == pytest.approx(table[-1], abs=1e-5)
    assert numbers(sface, worst[::-1], hr[::-1])[::-1] == pytest.approx(table[-1], abs=1e-5)


def test_hr_landmarks_let_no_method_escape(sface: Identity) -> None:
    """A grey SR image is scored low by the default alignment, and counted as no_face by the other."""
    hr = demo_faces()[:3].copy()
    sr = hr.copy()
    sr[1] = 128
    assert numbers(sface, sr, hr)[1] < 0.4
    detected = scores(build_metric("identity-sface-detected"), sr, hr)
    assert detected[0] == pytest.approx(1, abs=1e-5)
    assert detected[1] == NoScore("no_face", "YuNet finds no face in SR")
    assert detected[2] == pytest.approx(1, abs=1e-5)


def test_masked_faceless_and_tiny_hr_end_as_statuses(sface: Identity) -> None:
    hr = demo_faces()[:3].copy()
    hr[0] = 90
    hr[1, 20:110, 20:108] = 0  # the face is masked
    found = scores(sface, hr, hr)
    assert found[0] == found[1] == NoScore("no_face", "YuNet finds no face in HR")
    assert found[2] == pytest.approx(1, abs=1e-5)
    tiny = np.zeros((2, 8, 8, 3), np.uint8)
    assert [s.status for s in scores(sface, tiny, tiny) if isinstance(s, NoScore)] == ["no_face", "no_face"]
    assert [s.status for s in scores(LandmarkDistance(), tiny, tiny) if isinstance(s, NoScore)] == ["no_face", "no_face"]


def test_known_landmarks_are_used(sface: Identity) -> None:
    hr = demo_faces()[:2].copy()
    points = [p for p in five_points(hr, "HR") if not isinstance(p, NoScore)]
    faces = tuple(Face(f"f{i}", Path("f.png"), "", landmarks=tuple(map(tuple, p))) for i, p in enumerate(points))
    known = sface.reference(Batch(faces, hr))
    found = sface.reference(batch(hr))
    assert known.vectors == pytest.approx(found.vectors, abs=1e-6)
    moved = sface.reference(batch(hr, landmarks=((30, 30), (90, 30), (60, 60), (40, 100), (80, 100))))
    assert np.abs(moved.vectors - found.vectors).max() > 0.01


def test_known_landmarks_need_no_detector(sface: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facesr.bench.detect import _net

    (tmp_path / "weights").mkdir()
    file = weights.find_weight("sface")
    (tmp_path / "weights" / file.name).write_bytes(file.read_bytes())
    monkeypatch.setenv("FACESR_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("FACESR_CACHE", str(tmp_path / "cache"))
    _net.cache_clear()
    hr = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), np.uint8)
    faces = batch(hr, landmarks=((47, 60), (80, 60), (63, 79), (50, 93), (79, 93)))
    assert list(sface.weights) == ["sface"]
    assert sface.score(hr, faces, sface.reference(faces))[0] == pytest.approx(1, abs=1e-5)
    with pytest.raises(WeightsMissing, match=r"f0 has no known landmarks, and .*yunet"):
        sface.reference(batch(hr))
    with pytest.raises(WeightsMissing, match="yunet"):
        _ = build_metric("identity-sface-detected").weights
    _net.cache_clear()


def test_landmark_distance_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every point moved by (3, 4), eyes 50 apart: 5 / 50, 10 %."""
    points = np.array([[40, 60], [90, 60], [65, 80], [50, 100], [80, 100]], float)
    found = {"HR": [points, points, NoScore("no_face", "HR")], "SR": [points + np.array([3, 4]), points, points]}
    monkeypatch.setattr("facesr.bench.metrics.identity.five_points", lambda images, what: found[what])
    known = scores(LandmarkDistance(), np.zeros((3, 8, 8, 3), np.uint8), np.zeros((3, 8, 8, 3), np.uint8))
    assert known == [pytest.approx(10.0), 0.0, NoScore("no_face", "HR")]


def test_landmark_distance_of_faces(sface: Identity) -> None:
    """0 on the same image, and worse is worse."""
    assert sface
    metric = build_metric("landmark-distance")
    hr = demo_faces()[:4].copy()
    assert numbers(metric, hr, hr) == pytest.approx(np.zeros(4), abs=1e-9)
    steps = np.array([numbers(metric, step, hr).mean() for step in ladder(hr)])
    assert (np.diff(steps) > 0).all()
    assert not metric.higher_is_better


@pytest.mark.parametrize("name", ["identity-arcface", "identity-irse50", "identity-curricularface", "identity-onnx"])
def test_missing_networks_are_told(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("FACESR_WEIGHTS", "FACESR_CACHE", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    with pytest.raises(WeightsMissing):
        _ = build_metric(name).weights


@pytest.mark.parametrize("network", ["sface", "arcface", "irse50", "curricularface"])
def test_alignment_is_in_the_name(network: str) -> None:
    default, detected = build_metric(f"identity-{network}"), build_metric(f"identity-{network}-detected")
    assert (default.name, detected.name) == (f"identity-{network}", f"identity-{network}-detected")
    assert "applied to HR and SR" in default.conventions
    assert "no_face" in detected.conventions
    with pytest.raises(FaceSRError, match="did you mean 'detected'"):
        build_metric(f"identity-{network}", {"align": "detect"})


def test_pairs_without_a_face_give_empty_crops() -> None:
    crops = aligned(np.zeros((2, 64, 64, 3), np.uint8), [NoScore("no_face", "a"), NoScore("no_face", "b")], "insightface")
    assert crops.index == ()
    assert crops.pixels.shape == (0, 112, 112, 3)
    assert set(crops.missing) == {0, 1}
