"""Every kernel against someone else's numbers."""

from __future__ import annotations

import re
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conformance import agrees, recorded
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import KERNELS, resize, resize8
from facesr.bench.imaging.resample import matrix


def _noise(side: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(seed))


def _recipe(detweights: ModuleType, recipe: object) -> torch.Tensor:
    """An oracle's input: the tensor itself, or ``image('name',(1,)+(3, 8, 8),0,1)[0]`` to draw."""
    if isinstance(recipe, torch.Tensor):
        return recipe
    found = re.match(r"image\('(\w+)',(?:\(1,\)\+)?\(([\d, ]+)\),0,(\d+)\)", str(recipe))
    assert found, recipe
    shape = tuple(int(n) for n in found[2].split(","))
    image: torch.Tensor = detweights.image(found[1], shape if len(shape) == 4 else (1, *shape), 0, int(found[3]))
    return image


def test_matlab_bicubic_equals_basicsr(detweights: ModuleType) -> None:
    oracle = recorded("basicsr_imresize")
    compared = 0
    for name, (recipe, scale, antialias) in oracle["inputs"].items():
        want = oracle["outputs"][name]
        if not isinstance(want, torch.Tensor):
            assert name == "d4_noaa"  # BasicSR crashes there: methods.md 1.5
            continue
        image = _recipe(detweights, recipe).squeeze(0).double()
        got = resize(image, (want.shape[-2], want.shape[-1]), "bicubic-matlab", scale=float(scale))
        assert antialias
        agrees(got, want, atol=1e-6, rtol=0)
        compared += 1
    assert compared == 12


@pytest.mark.parametrize("factor", [2, 4, 8, 16, 32, 64])
def test_pulse_bicubic_equals_published(detweights: ModuleType, factor: int) -> None:
    oracle = recorded("pulse_bicubic_downsample")
    image, want = _recipe(detweights, oracle["inputs"][f"f{factor}"]), oracle["outputs"][f"f{factor}"]
    agrees(resize(image, want.shape[-1], "bicubic-pulse"), want, atol=1e-5, rtol=0)


def test_pulse_bicubic_of_a_rectangle(detweights: ModuleType) -> None:
    oracle = recorded("pulse_bicubic_downsample")
    image = detweights.image("rect", (1, 3, 48, 80), 0, 1)
    agrees(resize(image, (12, 20), "bicubic-pulse"), oracle["outputs"]["rect"], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("kernel", "filter_", "sizes"),
    [
        ("bicubic-pillow", "BICUBIC", (16, 50, 128, 300)),
        ("bilinear-pillow", "BILINEAR", (16, 50, 128, 300)),
        ("box", "BOX", (16, 64, 128)),  # at fractions Pillow takes whole pixels, ours splits them (area average)
        (
            "nearest",
            "NEAREST",
            (16, 64, 128, 256),
        ),  # where a centre falls between two pixels Pillow's running sum decides
    ],
)
def test_pillow_kernels_equal_pillow(kernel: str, filter_: str, sizes: tuple[int, ...]) -> None:
    image = _noise(128)[0].mul(255).round().byte().permute(1, 2, 0).numpy()
    for size in sizes:
        planes = [
            Image.fromarray(image[..., c].astype(np.float32)).resize((size, size), Image.Resampling[filter_]) for c in range(3)
        ]
        want = np.stack([np.asarray(plane) for plane in planes], -1)
        got = resize(torch.from_numpy(image).permute(2, 0, 1)[None].double(), size, kernel)[0].permute(1, 2, 0).numpy()
        assert np.abs(got - want).max() < 1e-3, size  # Pillow keeps float32 between its two passes


@pytest.mark.parametrize("size", [16, 50, 128, 200])
def test_torchs_antialiased_bicubic_is_pillows(size: int) -> None:
    image = _noise(128).double()
    want = torch.nn.functional.interpolate(image, size=size, mode="bicubic", antialias=True, align_corners=False)
    # growing, torch does not cut its window but repeats the edge: compare the interior there
    inner = slice(None) if size <= 128 else slice(4, -4)
    assert (resize(image, size, "bicubic-pillow") - want)[..., inner, inner].abs().max() < 1e-6


def test_box_grows_as_nearest() -> None:
    """4 to 6 pixels: each new pixel is one old pixel, none a mixture."""
    assert (matrix("box", 4, 6) == matrix("nearest", 4, 6)).all()
    assert sorted(np.unique(matrix("box", 4, 6)).tolist()) == [0, 1]


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
