"""The NTIRE 2025 score: its weighting worked out by hand, its gate at ten and eleven faces, and AdaFace's network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facesr.bench.errors import FaceSRError
from facesr.bench.faces import U8, Batch, Face
from facesr.bench.metrics.base import Metric, NoScore, SetScore
from facesr.bench.metrics.identity import HrFaces
from facesr.bench.metrics.ntire import COUNTS, QUALITY, THRESHOLDS, NtireScore, weighted
from facesr.bench.networks.irse import Backbone
from facesr.bench.protocol import load_protocol


def test_the_weighting_by_hand() -> None:
    """.7 + .5 + 70/100 + (10 - 4)/10 + 4/5 + (100 - 40)/100 = 3.9; NIQE beyond 10 and FID beyond 100 count nothing."""
    assert weighted(0.7, 0.5, 70.0, 4.0, 4.0, 40.0) == pytest.approx(3.9)
    assert weighted(0.7, 0.5, 70.0, 4.0, 12.0, 140.0) == pytest.approx(2.7)
    assert sum(COUNTS.values()) == 450 and set(COUNTS) == set(THRESHOLDS)


class Constant(Metric):
    def __init__(self, value: float) -> None:
        self.value = value

    def score(self, sr: U8, batch: Batch, reference: Any) -> Sequence[float]:
        return [self.value + float(image.mean()) / 255 for image in sr]


class Judge:
    """Similarity is the first pixel's red, by vectors on a circle."""

    def hr(self, batch: Batch) -> HrFaces:
        return HrFaces([np.zeros((5, 2))] * len(batch), np.tile(np.float32([1, 0]), (len(batch), 1)))

    def sr(self, sr: U8, batch: Batch, points: Any) -> list[Any]:
        red = sr[:, 0, 0, 0] / 255
        return list(np.stack([red, np.sqrt(1 - red**2)], 1).astype(np.float32))


def made(folder: Path, monkeypatch: pytest.MonkeyPatch, **conventions: Any) -> NtireScore:
    np.savez(folder / "known.npz", mu=np.zeros(2), sigma=np.eye(2))
    metric = NtireScore(reference=str(folder / "known.npz"), **conventions)
    values = {"clip-iqa": 0.1, "maniqa": 0.2, "musiq": 50.0, "q-align": 3.0, "niqe-pyiqa": 5.0}
    assert tuple(values) == QUALITY
    monkeypatch.setitem(metric.__dict__, "_panel", {name: Constant(value) for name, value in values.items()})
    monkeypatch.setitem(metric.__dict__, "_recogniser", Judge())
    monkeypatch.setattr(metric._fid, "features", lambda sr, batch, reference: [image[1, 1, :2] / 64 for image in sr])
    return metric


def score(metric: NtireScore, sr: U8, sets: Sequence[str], lq: U8 | None = None) -> SetScore | NoScore:
    faces = tuple(Face(str(i), Path(), "", {"dataset": s} if s else {}) for i, s in enumerate(sets))
    batch = Batch(faces, np.zeros((len(sr), 0, 0, 3), np.uint8), sr if lq is None else lq, "nothing")
    rows = metric.features(sr, batch, metric.reference(batch))
    good = [(row, face) for row, face in zip(rows, faces, strict=True) if not isinstance(row, NoScore)]
    if not good:
        assert isinstance(rows[0], NoScore)
        return rows[0]
    return metric.compare([row for row, _ in good], metric.hr_features(batch, None), [face for _, face in good])


def test_the_score_of_a_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sr = np.random.default_rng(0).integers(160, 256, (40, 4, 4, 3), np.uint8)
    sets = ["CelebA"] * 10 + ["CelebChild-Test"] * 30
    found = score(made(tmp_path, monkeypatch), sr, sets)
    assert isinstance(found, SetScore) and found.n == 40
    light = sr.mean((1, 2, 3)) / 255
    extra = (100 * light[:10].mean() + 50 * light[10:].mean()) / 150  # by the challenge's counts, not by ours
    features = sr[:, 1, 1, :2] / 64
    cov = np.cov(features, rowvar=False)
    roots = np.sqrt(np.linalg.eigvalsh(cov)).sum()  # the other covariance is the identity
    fid = np.square(features.mean(0)).sum() + np.trace(cov) + 2 - 2 * roots
    quality = (0.1 + extra) + (0.2 + extra) + (50 + extra) / 100 + (10 - 5 - extra) / 10 + (3 + extra) / 5
    assert found.value == pytest.approx(quality + (100 - fid) / 100, rel=1e-6)


def test_the_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metric = made(tmp_path, monkeypatch)
    sr = np.full((30, 4, 4, 3), 230, np.uint8)
    sr[:, 1, 1, 0] = np.arange(30) * 8
    sets = ["LFW-Test"] * 30
    sr[:10, 0, 0, 0] = 150  # .588 < .6
    assert isinstance(score(metric, sr, sets), SetScore)
    assert isinstance(score(metric, sr, ["CelebA"] * 30), SetScore)
    sr[10, 0, 0, 0] = 150
    lost = score(metric, sr, sets)
    assert isinstance(lost, NoScore) and lost.reason == "11 of 30 faces have lost their identity: the challenge takes at most 10"
    assert isinstance(score(metric, sr, ["Wider-Test"] * 30), SetScore)  # .3 there
    unknown = score(metric, sr, [""] * 30)
    assert isinstance(unknown, NoScore) and "30 faces are of none: say which with --attributes (column 'dataset')" in unknown.reason
    free = made(tmp_path, monkeypatch, gate=False)
    assert isinstance(score(free, sr, [""] * 30), SetScore) and free.label.endswith("(no identity gate)")
    small = score(metric, sr, sets, sr[:, :2, :2])
    assert isinstance(small, NoScore) and "LQ of its own size: LQ has 2 pixels, SR 4" in small.reason
    one = score(metric, sr[:1], sets[:1])
    assert isinstance(one, NoScore) and "at least two images" in one.reason


def test_the_protocol_and_its_missing_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load_protocol("ntire-face")
    assert found.against == "nothing" and found.lr is not None and found.lr.folder == "NTIRE-FR"
    monkeypatch.setenv("FACESR_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("FACESR_CACHE", str(tmp_path))
    with pytest.raises(FaceSRError, match=r"pyiqa|inception_FFHQ_512\.pth"):
        _ = NtireScore().weights
    with pytest.raises(FaceSRError, match="no such file"):
        NtireScore(reference=str(tmp_path / "ffhq.npz"))


def test_adafaces_network_is_told_by_its_keys(tmp_path: Path) -> None:
    """Its checkpoint's wrapper and blocks (BN, conv, BN, PReLU, conv, BN) are read strictly; the block's answer is written out."""
    torch.manual_seed(0)
    net = Backbone(50, "ir_bn", affine=False).eval()
    state = {f"model.{key}": value for key, value in net.state_dict().items()}
    assert state["model.body.0.res_layer.2.running_mean"].shape == (64,) and "model.output_layer.4.weight" not in state
    again = Backbone.from_state_dict({"state_dict": state})
    x = torch.rand(1, 3, 112, 112)
    with torch.inference_mode():
        assert torch.equal(again(x), net(x))
        block, y = net.body[1], torch.rand(1, 64, 8, 8)
        layers = block.res_layer  # type: ignore[union-attr]
        z = layers[5](layers[4](layers[3](layers[2](layers[1](layers[0](y))))))
        torch.testing.assert_close(block(y), z + y)
    with pytest.raises(FaceSRError, match="1 key missing"):
        Backbone.from_state_dict({key: value for key, value in net.state_dict().items() if key != "body.3.res_layer.2.bias"})
