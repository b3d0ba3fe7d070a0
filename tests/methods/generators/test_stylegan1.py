"""StyleGAN against PULSE's own numbers, and the two published layouts."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from conformance import agrees, recorded
from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.methods.generators import StyleGAN1
from facesr.methods.generators.ops import leaky_instance_style
from facesr.methods.generators.stylegan1 import Conv, ConvUp
from facesr.methods.generators.stylegan1_keys import LAYOUTS

TOLERANCE = 1e-4
"""Of the oracles (their README)."""


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = TOLERANCE) -> None:
    agrees(a, b, atol=tolerance, rtol=0)


@pytest.mark.parametrize("size", [64, 256])
def test_synthesis_equals_pulse(detweights: ModuleType, size: int) -> None:
    held = recorded(f"pulse_synthesis_{size}")
    net = StyleGAN1(size, mapped=False).eval().requires_grad_(False)
    published = {key: tuple(shape) for key, shape in held["meta"]["all_keys"]}
    assert {key: tuple(value.shape) for key, value in net.synthesis.state_dict().items()} == published
    net.synthesis.load_state_dict(detweights.make_state_dict(held["spec"], held["seed"]), strict=False)
    w = held["inputs"]["wplus"]
    noise = [detweights.draw(f"n{i}", (len(w), 1, side, side)) for i, side in enumerate(net.noise_sizes)]
    close(net.synthesize(w, noise), held["outputs"]["image"])
    close(net.synthesize(w, [n * 0 for n in noise]), held["outputs"]["zero_noise"])
    first = net.synthesis.blocks
    inner = first["8x8"](first["4x4"](w[:, :2], noise[:2]), w[:, 2:4], noise[2:4])
    close(inner, held["outputs"]["block_8x8"])


def test_mapping_equals_pulse(detweights: ModuleType) -> None:
    held = recorded("pulse_mapping")
    net = StyleGAN1(8).eval()
    assert net.mapping is not None
    net.mapping.load_state_dict(detweights.make_state_dict(held["spec"], held["seed"]))
    with torch.no_grad():
        w = net.map(held["inputs"]["z"])
    close(w, held["outputs"]["w"], 4e-5)
    close(F.leaky_relu(w, 5), held["outputs"]["unactivated"])


def small(size: int = 16, mapped: bool = True) -> StyleGAN1:
    torch.manual_seed(4)
    net = StyleGAN1(size, mapped=mapped)
    with torch.no_grad():
        for key, value in net.named_parameters():
            if "noise" in key or key.endswith("bias"):
                value.add_(torch.randn_like(value) * 0.3)
    return net.eval().requires_grad_(False)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_round_trip_keeps_every_tensor(tmp_path: Path, layout: str) -> None:
    net = small()
    official = net.to_layout(layout)
    for name, tensors in official.items():
        torch.save(tensors, tmp_path / name)
    back = StyleGAN1.from_checkpoint(tmp_path / next(iter(official)))
    again = back.to_layout(layout)
    assert {name: list(part) for name, part in again.items()} == {name: list(part) for name, part in official.items()}
    assert all(torch.equal(again[name][key], value) for name, part in official.items() for key, value in part.items())
    some = {"pulse": "blocks.8x8.epi1.noise.weight", "lernapparat": "g_synthesis.blocks.8x8.epi1.top_epi.noise.weight"}
    assert some[layout] in next(iter(official.values()))
    w = torch.randn(1, back.n_styles, 512)
    close(back.synthesize(w), net.synthesize(w), 1e-6)


def test_published_count_of_tensors_and_parameters() -> None:
    """100 keys and 24.11 M parameters (PULSE's synthesis.pt of 1024 pixels)."""
    with torch.device("meta"):
        net = StyleGAN1(1024, mapped=False)
    assert len(net.synthesis.state_dict()) == 100
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(24.11e6, abs=5e3)


def test_doubling_equals_nearest_then_convolution_and_fused_form() -> None:
    torch.manual_seed(0)
    plain, fused = ConvUp(3, 5, 64).double(), ConvUp(3, 5, 128).double()
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    k = plain.intermediate.kernel.expand(5, 1, 3, 3)
    wanted = F.conv2d(F.interpolate(x, scale_factor=2), plain.weight * plain.scale, padding=1)
    close(plain(x), F.conv2d(wanted, k, plain.bias, padding=1, groups=5), 1e-12)
    w = F.pad(fused.weight.permute(1, 0, 2, 3) * fused.scale, (1, 1, 1, 1))
    w = w[:, :, 1:, 1:] + w[:, :, :-1, 1:] + w[:, :, 1:, :-1] + w[:, :, :-1, :-1]
    wanted = F.conv_transpose2d(x, w, stride=2, padding=1)
    close(fused(x), F.conv2d(wanted, k, fused.bias, padding=1, groups=5), 1e-12)


@pytest.mark.parametrize("alone_from", [8, 128])
def test_a_batch_equals_its_faces_and_gradients_agree(alone_from: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facesr.methods.generators.stylegan1.ALONE_FROM", alone_from)
    net = small(16, mapped=False).double()
    w = torch.randn(2, net.n_styles, 512, dtype=torch.float64)
    noise = [n.double() for n in net.random_noise(2, torch.Generator().manual_seed(1))]
    with torch.no_grad():
        alone = torch.cat([net.synthesize(w[i : i + 1], [n[i : i + 1] for n in noise]) for i in range(2)])
        close(net.synthesize(w, noise), alone, 1e-9)
    direction, step = torch.randn_like(noise[2]), 1e-8  # so small that hardly an activation crosses zero
    w.requires_grad_()
    noise[2].requires_grad_()
    gradient = torch.autograd.grad(net.synthesize(w, noise).square().sum(), [w, noise[2]])
    toward = torch.randn_like(w)
    with torch.no_grad():
        moved = [
            net.synthesize(w + s * toward, [n + s * direction if i == 2 else n for i, n in enumerate(noise)]).square().sum()
            for s in (step, -step)
        ]
    slope = float((gradient[0] * toward).sum() + (gradient[1] * direction).sum())
    assert slope == pytest.approx(float(moved[0] - moved[1]) / (2 * step), rel=1e-5)


def test_frozen_and_trained_gradients_agree() -> None:
    """The frozen net's own way back against autograd's, and a trained net has gradients for its kernels."""
    net = small(16, mapped=False).double()
    w = torch.randn(1, net.n_styles, 512, dtype=torch.float64, requires_grad=True)
    (frozen,) = torch.autograd.grad(net.synthesize(w).square().sum(), w)
    net.requires_grad_(True)
    net.synthesize(w).square().sum().backward()
    close(frozen, w.grad, 1e-9)  # type: ignore[arg-type]
    assert all(p.grad is not None for key, p in net.named_parameters())


def test_a_changed_weight_is_noticed() -> None:
    conv = Conv(2, 2).requires_grad_(False)
    x = torch.randn(1, 2, 4, 4)
    before = conv(x)
    with torch.no_grad():
        conv.weight.mul_(2.0)
    assert not torch.allclose(conv(x), before)


def test_bad_input_is_told_in_one_sentence(tmp_path: Path) -> None:
    net = small(8, mapped=False)
    with pytest.raises(WeightsMissing, match="mapping"):
        net.map(torch.randn(1, 512))
    with pytest.raises(FaceSRError, match="styles of shape"):
        net.synthesize(torch.randn(1, 5, 512))
    whole = small(8)
    torch.save(whole.to_layout("pulse")["mapping.pt"], tmp_path / "m.pt")
    with pytest.raises(FaceSRError, match="it is the mapping network"):
        StyleGAN1.from_checkpoint(tmp_path / "m.pt")
    state = whole.to_layout("pulse")["synthesis.pt"]
    torch.save({**state, "more": torch.zeros(1)}, tmp_path / "s.pt")
    with pytest.raises(FaceSRError, match=r"1 key unexpected \(first: 'more'\)"):
        StyleGAN1.from_checkpoint(tmp_path / "s.pt")


def adain(x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Leaky ReLU, instance normalisation and style, op by op."""
    return F.instance_norm(F.leaky_relu(x, 0.2)) * scale[..., None, None] + shift[..., None, None]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_of_a_styled_map_equal_autograd(layout: torch.memory_format) -> None:
    drawn = torch.Generator().manual_seed(2)
    x, scale, shift = (torch.randn(shape, generator=drawn).double() for shape in ((2, 5, 300, 200), (2, 5), (2, 5)))
    given = [t.requires_grad_() for t in (x.contiguous(memory_format=layout), scale, shift)]
    outer = torch.randn(x.shape, generator=drawn).double()
    expected = torch.autograd.grad((adain(*given) * outer).sum(), given)
    got = torch.autograd.grad((leaky_instance_style(given[0] * 1, *given[1:]) * outer).sum(), given)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)


def test_gradient_of_a_style_keeps_float32_over_a_million_pixels() -> None:
    """The average to 16² sends the same number back to 64² pixels: summed in one go, each addition rounds the same way."""
    drawn = torch.Generator().manual_seed(3)
    x = torch.randn(1, 16, 1024, 1024, generator=drawn).contiguous(memory_format=torch.channels_last)
    scale, shift = torch.rand(2, 1, 16, generator=drawn).unbind()
    outer = (1 + 0.1 * torch.randn(1, 16, 16, 16, generator=drawn)).repeat_interleave(64, 2).repeat_interleave(64, 3)
    outer = outer.contiguous(memory_format=torch.channels_last)

    def gradient(whose: Any, dtype: torch.dtype) -> torch.Tensor:
        styles = [t.to(dtype, copy=True).requires_grad_() for t in (scale, shift)]
        image = whose((x.to(dtype, copy=True).requires_grad_() * 1), *styles)
        return torch.cat(torch.autograd.grad((image * outer.to(dtype)).sum(), styles)).double()

    exact = gradient(adain, torch.float64)
    assert (gradient(leaky_instance_style, torch.float32) - exact).abs().max() < 1e-5 * exact.abs().max()
