"""LPIPS and ST-LPIPS on 8-bit images: the packages' values, and what must hold of any distance."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from facesr.bench import weights
from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.faces import Batch, Face
from facesr.bench.metrics import perceptual
from facesr.bench.metrics.perceptual import LpipsAlex, LpipsSqueeze, LpipsVgg, StLpipsAlex, StLpipsVgg
from facesr.bench.networks.lpips import LPIPS
from facesr.bench.registry import build_metric
from facesr.bench.weights import heads_file


def blobs(n: int, height: int = 64, width: int = 64, seed: int = 0) -> np.ndarray:
    """Smooth coloured images with some grain."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (n, height // 8, width // 8, 3), np.uint8)
    large = np.stack([np.asarray(Image.fromarray(x).resize((width, height), Image.Resampling.BICUBIC)) for x in small])
    return np.clip(large.astype(int) + rng.integers(-12, 13, large.shape), 0, 255).astype(np.uint8)


def batch(hr: np.ndarray) -> Batch:
    return Batch(tuple(Face(f"f{i}", Path(f"f{i}.png"), "") for i in range(len(hr))), hr)


def scores(metric: perceptual._Perceptual, sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    faces = batch(hr)
    return np.array(metric.score(sr, faces, metric.reference(faces)))


@pytest.fixture
def trunk(tmp_path: Path) -> dict[str, torch.Tensor]:
    """SqueezeNet with random weights, in a file as torchvision's release has it."""
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    state: dict[str, torch.Tensor] = squeezenet1_1(weights=None).features.state_dict()
    torch.save({f"features.{key}": value for key, value in state.items()}, tmp_path / "squeezenet.pth")
    return state


@pytest.fixture
def squeeze(trunk: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LpipsSqueeze:
    assert trunk
    monkeypatch.setattr(LpipsSqueeze, "files", lambda self: {"trunk": tmp_path / "squeezenet.pth", "heads": heads_file("squeeze")})
    monkeypatch.setattr(LpipsSqueeze, "network", lambda self: perceptual._lpips("squeeze", tmp_path / "squeezenet.pth"))
    return LpipsSqueeze()


@pytest.fixture
def alex(oracle: Callable[[str], dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> LpipsAlex:
    """LPIPS-Alex on the oracle's pseudo-random trunk, with the real heads."""
    net = LPIPS("alex", oracle("lpips_alex")["state_dict"])
    monkeypatch.setattr(LpipsAlex, "network", lambda self: net)
    return LpipsAlex()


@pytest.fixture(params=[StLpipsAlex, StLpipsVgg])
def shift_tolerant(request: pytest.FixtureRequest) -> perceptual._Perceptual:
    metric: perceptual._Perceptual = request.param()
    try:
        weights.fetch(metric.name.replace("st-lpips", "stlpips"))
    except WeightsMissing as error:
        pytest.skip(str(error))
    return metric


def package(net: str, trunk: dict[str, torch.Tensor]) -> Any:
    """The ``lpips`` package with a given trunk."""
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it names an argument of torchvision that has gone
        theirs = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    plain = {key.removeprefix("features."): value for key, value in trunk.items()}
    theirs.net.load_state_dict({key: plain[key.split(".", 1)[1]] for key in theirs.net.state_dict()})
    return theirs


def theirs_on(net: Any, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The package on the same 8-bit images, one pair a call, by its own ``im2tensor``."""
    import lpips

    with torch.no_grad():
        return np.array([float(net(lpips.im2tensor(x), lpips.im2tensor(y))) for x, y in zip(a, b, strict=True)])


def test_squeeze_equals_the_package_from_a_file(squeeze: LpipsSqueeze, trunk: dict[str, torch.Tensor]) -> None:
    sr, hr = blobs(3, seed=1), blobs(3, seed=2)
    assert scores(squeeze, sr, hr) == pytest.approx(theirs_on(package("squeeze", trunk), sr, hr), abs=1e-5)
    assert set(squeeze.weights) == {"trunk", "heads"}
    assert all(len(digest) == 64 for digest in squeeze.weights.values())


def test_alex_equals_the_package(alex: LpipsAlex, oracle: Callable[[str], dict[str, Any]]) -> None:
    sr, hr = blobs(10, seed=1), blobs(10, seed=2)
    theirs = theirs_on(package("alex", oracle("lpips_alex")["state_dict"]), sr, hr)
    assert scores(alex, sr, hr) == pytest.approx(theirs, abs=1e-5)
    assert alex.distance(sr, hr) == pytest.approx(theirs, abs=1e-5)


def test_vgg_equals_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    import torchvision

    trunk = torchvision.models.vgg16(weights=None).features.state_dict()
    net = LPIPS("vgg", trunk)
    monkeypatch.setattr(LpipsVgg, "network", lambda self: net)
    sr, hr = blobs(1, 32, 32, seed=1), blobs(1, 32, 32, seed=2)
    assert scores(LpipsVgg(), sr, hr) == pytest.approx(theirs_on(package("vgg", trunk), sr, hr), abs=1e-5)


KNOWN = {"st-lpips-alex": [0.4093254, 0.3788296], "st-lpips-vgg": [0.5272377, 0.5105738]}
"""stlpips-pytorch 0.0.2, LPIPS(net=..., variant="shift_tolerant"), on blobs(2, 96, 80, seed=1) and blobs(2, 96, 80, seed=2)."""


def test_shift_tolerant_equals_the_package(shift_tolerant: perceptual._Perceptual) -> None:
    found = shift_tolerant.distance(blobs(2, 96, 80, seed=1), blobs(2, 96, 80, seed=2))
    assert found == pytest.approx(KNOWN[shift_tolerant.name], abs=1e-5)


def ladder(hr: np.ndarray, seed: int = 0) -> list[np.ndarray]:
    """HR, and four times worse each time: more noise on a stronger blur."""
    rng = np.random.default_rng(seed)
    steps = [hr]
    for side, grain in ((2, 6), (4, 20), (8, 45)):
        size = hr.shape[1] // side
        blurred = [np.asarray(Image.fromarray(x).resize((size, size)).resize(hr.shape[2:0:-1])) for x in hr]
        steps.append(np.clip(np.stack(blurred) + rng.normal(0, grain, hr.shape), 0, 255).astype(np.uint8))
    return steps


def check_distance(metric: perceptual._Perceptual) -> None:
    """0 on the same image, growing with the damage, whatever batch and order, symmetric."""
    hr = blobs(9, seed=3)
    steps = ladder(hr)
    table = np.array([scores(metric, step, hr) for step in steps])
    assert table[0] == pytest.approx(np.zeros(9), abs=1e-7)
    assert (np.diff(table.mean(axis=1)) > 0).all()
    worst = steps[-1]
    alone = np.concatenate([scores(metric, worst[i : i + 1], hr[i : i + 1]) for i in range(9)])
    order = np.random.default_rng(0).permutation(9)
    assert alone == pytest.approx(table[-1], abs=1e-6)
    assert scores(metric, worst[order], hr[order]) == pytest.approx(table[-1][order], abs=1e-6)
    assert scores(metric, hr, worst) == pytest.approx(table[-1], abs=1e-6)


def test_properties_of_alex(alex: LpipsAlex) -> None:
    check_distance(alex)


def test_properties_of_squeeze(squeeze: LpipsSqueeze) -> None:
    check_distance(squeeze)


def test_properties_of_shift_tolerant_alex(shift_tolerant: perceptual._Perceptual) -> None:
    if isinstance(shift_tolerant, StLpipsAlex):
        check_distance(shift_tolerant)


def test_hr_features_are_computed_once(alex: LpipsAlex, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    maps = LpipsAlex._maps
    monkeypatch.setattr(LpipsAlex, "_maps", lambda self, images: (seen.append(len(images)), maps(self, images))[1])
    faces = batch(blobs(3))
    reference = alex.reference(faces)
    for _ in range(4):
        alex.score(faces.hr, faces, reference)
    assert seen == [3] * 5


def test_large_batches_keep_no_features_but_the_same_values(alex: LpipsAlex, monkeypatch: pytest.MonkeyPatch) -> None:
    sr, hr = blobs(2, seed=1), blobs(2, seed=2)
    kept = scores(alex, sr, hr)
    monkeypatch.setattr(perceptual, "MEMORY", 0)
    assert alex.reference(batch(hr)) is None
    assert scores(alex, sr, hr) == pytest.approx(kept, abs=1e-7)


@pytest.mark.parametrize("kind", [LpipsAlex, LpipsVgg, LpipsSqueeze, StLpipsAlex, StLpipsVgg])
def test_missing_weights_are_told(kind: type[perceptual._Perceptual], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("FACESR_WEIGHTS", "FACESR_CACHE", "TORCH_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    with pytest.raises(WeightsMissing, match=r"facesr weights fetch .*FACESR_WEIGHTS"):
        _ = kind().weights


@pytest.mark.parametrize("name", ["lpips-alex", "lpips-vgg", "lpips-squeeze", "st-lpips-alex", "st-lpips-vgg"])
def test_each_is_found_by_name_and_refuses_tiny_images(name: str) -> None:
    metric = build_metric(name)
    assert metric.name == name
    assert not metric.higher_is_better
    assert metric.conventions
    assert metric.skip(128) is None
    reason = metric.skip(8)
    assert reason is not None
    assert "have 8" in reason


def test_the_smallest_image_it_accepts_gives_a_value(shift_tolerant: perceptual._Perceptual, squeeze: LpipsSqueeze) -> None:
    for metric in (shift_tolerant, squeeze):
        side = metric.smallest
        grey, dark = np.full((1, side, side, 3), 128, np.uint8), np.full((1, side, side, 3), 10, np.uint8)
        assert np.isfinite(metric.distance(grey, dark)).all()


def test_floats_are_refused(alex: LpipsAlex) -> None:
    with pytest.raises(FaceSRError, match="uint8 images"):
        alex.distance(blobs(1) / 255.0, blobs(1))  # type: ignore[arg-type]


def test_diversity_is_the_mean_over_pairs(alex: LpipsAlex, tmp_path: Path) -> None:
    samples = np.stack([blobs(2, seed=s) for s in range(3)])
    found = alex.diversity(samples)
    pairs = [alex.distance(samples[i], samples[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert found == pytest.approx(np.mean(pairs, axis=0), abs=1e-6)
    assert alex.diversity(np.repeat(samples[:1], 3, axis=0)) == pytest.approx([0, 0], abs=1e-7)
    with pytest.raises(FaceSRError, match="two samples"):
        alex.diversity(samples[:1])
