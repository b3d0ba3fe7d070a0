"""NIQE, FID, KID and the pyiqa plug-in: published implementations' numbers, refusals, properties."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from facesr.bench import weights
from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.faces import Batch, Face
from facesr.bench.metrics import naturalness, pyiqa_plugin
from facesr.bench.metrics.base import NoScore, SetScore
from facesr.bench.metrics.naturalness import FID, KID, frechet, kernel_distance
from facesr.bench.metrics.niqe import niqe
from facesr.bench.metrics.pyiqa_plugin import PyIQA
from facesr.bench.registry import build_metric
from helpers import demo_faces


def blobs(height: int, width: int, seed: int, grain: int = 12) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    large = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return np.clip(large + rng.integers(-grain, grain + 1, large.shape), 0, 255).astype(np.uint8)


def batch(hr: np.ndarray) -> Batch:
    return Batch(tuple(Face(f"f{i}", Path("f.png"), "") for i in range(len(hr))), hr)


# -- NIQE --------------------------------------------------------------------------------------------------------------------

KNOWN_NIQE = {(256, 256, 5): 12.651936, (200, 300, 6): 12.318266, (384, 192, 7): 12.284002}
"""BasicSR 1.4.2, calculate_niqe(image, crop_border=0), of blobs(height, width, seed)."""


@pytest.mark.parametrize("made", KNOWN_NIQE)
def test_niqe_equals_basicsr(made: tuple[int, int, int]) -> None:
    assert niqe(blobs(*made)) == pytest.approx(KNOWN_NIQE[made], abs=1e-4)


def test_niqe_of_worse_images_is_worse() -> None:
    """A photograph's statistics, then ever coarser grain on it."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:288, :288] / 288
    scene = (120 + 60 * np.sin(7 * x) * np.cos(5 * y))[..., None] + np.zeros(3)
    fine = scene + 10 * rng.normal(size=scene.shape).cumsum(axis=0).cumsum(axis=1)[..., :1] / 60
    images = [np.clip(fine + grain * rng.normal(size=scene.shape), 0, 255).astype(np.uint8) for grain in (4, 20, 60)]
    values = [niqe(image) for image in images]
    assert values[0] < values[1] < values[2]


def test_niqe_refuses_what_it_cannot_measure() -> None:
    metric = build_metric("niqe")
    reason = metric.skip(128)
    assert reason is not None
    assert "at least 192 pixels a side, these have 128" in reason
    assert metric.skip(192) is None
    assert not metric.higher_is_better
    images = np.stack([np.full((192, 192, 3), 128, np.uint8), blobs(192, 192, 1)])
    grey, good = metric.score(images, batch(images), None)
    assert isinstance(grey, NoScore)
    assert grey.status == "failed"
    assert isinstance(good, float)
    (alone,) = metric.score(images[1:], batch(images[1:]), None)
    assert alone == good


def test_niqe_of_smaller_blocks_serves_smaller_images_under_its_own_label() -> None:
    metric = build_metric("niqe", {"block": 64})
    assert metric.label == "NIQE (blocks of 64)"
    assert "not comparable" in metric.conventions
    assert metric.skip(128) is None
    image = blobs(128, 128, 1)
    (value,) = metric.score(image[None], batch(image[None]), None)
    assert value == niqe(image, 64)
    assert "niqe?block=50 " in str(metric.skip(100))
    assert "would serve" not in str(metric.skip(30))
    with pytest.raises(FaceSRError, match="block 31 is not an even number"):
        build_metric("niqe", {"block": 31})
    with pytest.raises(FaceSRError, match="metric niqe: 'block' is 'many': must be a whole number"):
        build_metric("niqe", {"block": "many"})


# -- Frechet and kernel distances -----------------------------------------------------------------------------------------------


def normal(n: int, d: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return shift + scale * np.random.default_rng(seed).normal(size=(n, d))


def test_frechet_of_known_gaussians() -> None:
    """N(0, 1) against N(1, 2²) in 4 dimensions: 4 · (1 + (1 - 2)²) = 8; from 40,000 samples within 2 %."""
    assert frechet(normal(40_000, 4, 0), normal(40_000, 4, 1, 1.0, 2.0)) == pytest.approx(8.0, rel=0.02)
    same = normal(50, 4, 0)
    assert frechet(same, same) == pytest.approx(0.0, abs=1e-6)


def test_frechet_equals_scipys_square_root() -> None:
    """The formula with scipy's matrix square root, as pytorch-fid computes it."""
    from scipy.linalg import sqrtm

    a, b = normal(60, 8, 0), normal(70, 8, 1, 0.3, 1.5)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    known = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a + cov_b - 2 * np.real(sqrtm(cov_a @ cov_b)))
    assert frechet(a, b) == pytest.approx(known, rel=1e-8)


def test_tiny_sets_are_refused() -> None:
    with pytest.raises(FaceSRError, match="of 8 features needs more than 8 images, these are 8: use the kernel distance"):
        frechet(normal(8, 8, 0), normal(9, 8, 1))
    with pytest.raises(FaceSRError, match="at least 3 images"):
        kernel_distance(normal(2, 8, 0), normal(2, 8, 1))


def test_kernel_distance_equals_torch_fidelity() -> None:
    """Its kid_features_to_metric with one subset of all images."""
    from torch_fidelity.metric_kid import kid_features_to_metric

    a, b = normal(40, 16, 0), normal(40, 16, 1, 0.2)
    theirs = kid_features_to_metric(
        torch.from_numpy(a), torch.from_numpy(b), kid_subsets=1, kid_subset_size=40, verbose=False, rng_seed=0
    )
    value, low, high = kernel_distance(a, b)
    assert value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-8)
    assert low < value < high


def test_the_jackknife_is_the_jackknife() -> None:
    """Against leaving pairs out one by one."""
    a, b = normal(12, 5, 0), normal(12, 5, 1, 0.5)
    left = [kernel_distance(np.delete(a, i, 0), np.delete(b, i, 0))[0] for i in range(12)]
    error = np.sqrt(11 / 12 * np.square(left - np.mean(left)).sum())
    value, low, high = kernel_distance(a, b)
    assert high - value == pytest.approx(1.959964 * error, rel=1e-8)
    assert value - low == pytest.approx(high - value)


def test_kernel_intervals_cover_zero_for_equal_distributions() -> None:
    found = [kernel_distance(normal(40, 8, 2 * s), normal(40, 8, 2 * s + 1)) for s in range(60)]
    assert np.mean([low <= 0 <= high for _, low, high in found]) >= 0.85
    shifted = [kernel_distance(normal(40, 8, 2 * s), normal(40, 8, 2 * s + 1, shift))[0] for s, shift in enumerate((0.3, 0.6, 1.0))]
    assert shifted[0] < shifted[1] < shifted[2]


def run(metric: Any, sr: np.ndarray, hr: np.ndarray) -> SetScore | NoScore:
    faces = batch(hr)
    hr = metric.reference(faces)
    return metric.compare(metric.features(sr, faces, hr), metric.hr_features(faces, hr), faces.faces)  # type: ignore[no-any-return]


def test_inception_is_torch_fidelitys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """FID and KID on its extractor with pseudo-random weights: features as it gives them, few images refused, KID with interval."""
    from torch_fidelity import feature_extractor_inceptionv3 as theirs

    torch.manual_seed(0)
    real = torch.load
    monkeypatch.setattr(torch, "load", lambda *_a, **_k: {})
    monkeypatch.setattr(theirs.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
    blank = theirs.FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path="x")
    monkeypatch.undo()
    assert torch.load is real
    torch.save(blank.state_dict(), tmp_path / "weights-inception.pth")
    monkeypatch.setattr("facesr.bench.metrics.naturalness.find_weight", lambda name: tmp_path / "weights-inception.pth")
    hr = np.stack([blobs(40, 40, s) for s in range(4)])
    features = KID().features(hr, batch(hr), None)
    with torch.inference_mode():
        known = blank(torch.from_numpy(hr).permute(0, 3, 1, 2))[0].numpy()
    assert np.abs(np.stack(features) - known).max() < 1e-4 * max(1.0, np.abs(known).max())
    tiny = run(FID(), hr, hr)
    assert isinstance(tiny, NoScore)
    assert "needs more than 2,048 images, these are 4" in tiny.reason
    same = run(KID(), hr, hr)
    assert isinstance(same, SetScore)
    assert same.n == 4
    assert same.low is not None
    assert same.high is not None
    assert same.low <= same.value <= same.high
    naturalness._inception.cache_clear()


@pytest.mark.parametrize("name", ["fid", "kid"])
def test_missing_inception_is_told(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("FACESR_WEIGHTS", "FACESR_CACHE"):
        monkeypatch.setenv(variable, str(tmp_path))
    with pytest.raises(WeightsMissing, match="inception"):
        _ = build_metric(name).weights


def test_face_distributions() -> None:
    """On the 8 demo faces: the Frechet distance is refused, the kernel distance grows with the damage and carries its interval."""
    try:
        for name in ("sface", "yunet"):
            weights.fetch(name)
    except WeightsMissing as error:
        pytest.skip(str(error))
    hr = demo_faces()
    steps = [np.stack([np.asarray(Image.fromarray(x).resize((s, s), 3).resize((128, 128), 3)) for x in hr]) for s in (32, 16, 9)]
    metric = build_metric("kd-sface")
    assert "not KID" in metric.conventions
    scores = [run(metric, step, hr) for step in steps]
    values = [s.value for s in scores if isinstance(s, SetScore)]
    assert len(values) == 3
    assert values[0] < values[1] < values[2]
    refused = run(build_metric("fd-sface"), hr, hr)
    assert isinstance(refused, NoScore)
    assert "128 features needs more than 128 images, these are 8" in refused.reason


# -- pyiqa ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with pyiqa's interface (0.1.16): create_metric, DEFAULT_CONFIGS, metric_mode."""

    class Difference(torch.nn.Module):
        metric_mode = "FR"

        def forward(self, target: torch.Tensor, ref: torch.Tensor) -> torch.Tensor:
            assert 0 <= float(target.min()) <= float(target.max()) <= 1
            return (target - ref).abs().mean((1, 2, 3))

    class Brightness(torch.nn.Module):
        metric_mode = "NR"

        def forward(self, target: torch.Tensor) -> torch.Tensor:
            return target.mean((1, 2, 3))[:, None]

    def create_metric(name: str, device: object = None) -> torch.nn.Module:
        if name == "gone":
            raise OSError("cannot download\nmore")
        return {"mad": Difference, "bright": Brightness}[name]()

    package, configurations = types.ModuleType("pyiqa"), types.ModuleType("pyiqa.default_model_configs")
    package.create_metric = create_metric  # type: ignore[attr-defined]
    configurations.DEFAULT_CONFIGS = {  # type: ignore[attr-defined]
        "mad": {"metric_mode": "FR", "lower_better": True}, "bright": {"metric_mode": "NR"}, "gone": {"metric_mode": "NR"}, "fid": {},
    }  # fmt: skip
    monkeypatch.setitem(sys.modules, "pyiqa", package)
    monkeypatch.setitem(sys.modules, "pyiqa.default_model_configs", configurations)
    for cached in (pyiqa_plugin._configurations, pyiqa_plugin._tried):
        cached.cache_clear()


@pytest.mark.usefixtures("pretended")
def test_any_pyiqa_metric_is_a_metric() -> None:
    hr = np.stack([np.full((16, 16, 3), v, np.uint8) for v in (0, 51, 102)])
    sr = hr + np.uint8(51)
    metric = build_metric("pyiqa", {"metric": "mad"})
    assert (metric.name, metric.higher_is_better) == ("pyiqa-mad", False)
    assert metric.score(sr, batch(hr), None) == pytest.approx([0.2] * 3)
    bright = build_metric("pyiqa", {"metric": "bright"})
    assert bright.higher_is_better
    assert bright.score(sr, batch(hr), None) == pytest.approx([0.2, 0.4, 0.6])
    assert list(bright.weights) == ["pyiqa"]
    with pytest.raises(FaceSRError, match="did you mean 'bright'"):
        PyIQA(metric="brigth")
    with pytest.raises(FaceSRError, match="no metric 'fid' of single images"):
        PyIQA(metric="fid")
    with pytest.raises(WeightsMissing, match="cannot download"):
        PyIQA(metric="gone").score(sr, batch(hr), None)


def test_without_pyiqa_the_cells_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyiqa.default_model_configs", None)
    pyiqa_plugin._configurations.cache_clear()
    with pytest.raises(WeightsMissing, match="pip install pyiqa"):
        _ = build_metric("pyiqa", {"metric": "musiq"}).weights
    with pytest.raises(WeightsMissing, match="name of one of its metrics"):
        _ = build_metric("pyiqa").weights
    pyiqa_plugin._configurations.cache_clear()


def test_every_line_of_the_panel_is_a_metric_with_its_network_named() -> None:
    from facesr.bench.registry import build_metric

    known = pyiqa_plugin._configurations()
    for name, line in pyiqa_plugin.PANEL.items():
        metric = build_metric(name)
        assert (metric.name, metric.label) == (name, line.label)
        assert line.backbone in metric.conventions
        if known is not None:
            assert line.metric in known
            assert metric.higher_is_better != bool(known[line.metric].get("lower_better", False))
