"""Every kernel against someone else's numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.errors import FaceSRError
from bench.imaging import KERNELS, resize, resize8
from bench.imaging.resample import matrix


def _noise(side: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(seed))


def test_matlab_bicubic_equals_basicsr(fixtures: Path) -> None:
    oracle = torch.load(fixtures / "oracles/basicsr_imresize.pt", weights_only=True)
    compared = 0
    for name, (image, scale, antialias) in oracle["inputs"].items():
        if not isinstance(image, torch.Tensor):
            continue  # a recipe of the oracle's maker
        want = oracle["outputs"][name]
        kernel = "bicubic-matlab" if antialias else "bicubic-matlab-noaa"
        got = resize(image.double(), (want.shape[-2], want.shape[-1]), kernel, scale=scale)
        assert (got - want).abs().max() < 1e-6, name
        compared += 1
    assert compared >= 5


def test_pulse_bicubic_equals_published(fixtures: Path) -> None:
    oracle = torch.load(fixtures / "oracles/pulse_bicubic_downsample.pt", weights_only=True)
    image = oracle["inputs"]["x"] if "x" in oracle["inputs"] else next(iter(oracle["inputs"].values()))
    assert isinstance(image, torch.Tensor)
    for want in oracle["outputs"].values():
        got = resize(image, (want.shape[-2], want.shape[-1]), "bicubic-pulse")
        assert (got - want).abs().max() < 1e-5


@pytest.mark.parametrize(("kernel", "filter_"), [("bicubic-pillow", "BICUBIC"), ("bilinear-pillow", "BILINEAR"), ("box", "BOX"), ("nearest", "NEAREST")])
@pytest.mark.parametrize("size", [16, 64, 128, 300])
def test_pillow_kernels_equal_pillow(kernel: str, filter_: str, size: int) -> None:
    image = _noise(128)[0].mul(255).round().byte().permute(1, 2, 0).numpy()
    if kernel == "box" and size > 128:
        pytest.skip("box grows by nearest; Pillow's blends at fractional factors")
    want = np.stack([np.asarray(Image.fromarray(image[..., c].astype(np.float32)).resize((size, size), getattr(Image.Resampling, filter_))) for c in range(3)], -1)
    got = resize(torch.from_numpy(image).permute(2, 0, 1)[None].double(), size, kernel)[0].permute(1, 2, 0).numpy()
    assert np.abs(got - want).max() < 1e-3  # Pillow keeps float32 between its two passes


@pytest.mark.parametrize("size", [16, 50, 128, 200])
def test_torch_kernel_equals_torch(size: int) -> None:
    image = _noise(128).double()
    want = torch.nn.functional.interpolate(image, size=size, mode="bicubic", antialias=True, align_corners=False)
    # growing, torch does not cut its window but repeats the edge: compare the interior there
    inner = slice(None) if size <= 128 else slice(4, -4)
    assert (resize(image, size, "bicubic-torch") - want)[..., inner, inner].abs().max() < 1e-6


def test_box_is_the_block_mean() -> None:
    image = _noise(64)
    assert torch.allclose(resize(image, 8, "box"), torch.nn.functional.avg_pool2d(image, 8), atol=1e-6)


@given(st.sampled_from(sorted(KERNELS)), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_weights_sum_to_one(kernel: str, n_in: int, n_out: int) -> None:
    if kernel == "bicubic-pulse" and n_in % n_out:
        with pytest.raises(FaceSRError, match="integer factors"):
            matrix(kernel, n_in, n_out)
        return
    weights = matrix(kernel, n_in, n_out)
    assert weights.shape == (n_out, n_in)
    assert np.allclose(weights.sum(1), 1)


@pytest.mark.parametrize("kernel", sorted(set(KERNELS) - {"bicubic-pulse"}))
def test_same_size_is_the_identity(kernel: str) -> None:
    image = _noise(16)
    assert torch.equal(resize(image, 16, kernel), image)


def test_pulse_at_factor_one_shifts_as_published() -> None:
    row = matrix("bicubic-pulse", 16, 16)[8]
    assert np.allclose(row[[7, 8, 9, 10]], [-0.0625, 0.5625, 0.5625, -0.0625])  # methods.md, fact 2


def test_eight_bit_path_is_the_rounded_float_path() -> None:
    image = _noise(128)[0].mul(255).round().byte()
    want = resize(image.double(), 16, "bicubic-matlab").add(0.5).floor().clamp(0, 255)
    got = resize8(image.permute(1, 2, 0).numpy(), 16, "bicubic-matlab")
    assert np.abs(got.astype(int) - want.permute(1, 2, 0).numpy()).max() <= 1
    assert (got == want.permute(1, 2, 0).numpy()).mean() > 0.999


@pytest.mark.parametrize("kernel", sorted(KERNELS))
def test_gradient_reaches_the_input(kernel: str) -> None:
    image = _noise(16).requires_grad_()
    resize(image, 4, kernel).sum().backward()
    assert image.grad is not None
    assert image.grad.sum() == pytest.approx(2 * 3 * 16, rel=1e-5)


def test_unknown_kernel_suggests_one() -> None:
    with pytest.raises(FaceSRError, match="did you mean 'bicubic-matlab'"):
        resize(_noise(8), 4, "bicubic-matlba")
