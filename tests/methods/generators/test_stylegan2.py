"""StyleGAN2 against the published implementations' own numbers, and its four key layouts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from conformance import VECTORS, agrees, recorded
from facesr.bench.errors import FaceSRError
from facesr.methods.generators import StyleGAN2
from facesr.methods.generators.ops import PixelNorm, double, fused_leaky_relu, make_kernel, upfirdn2d
from facesr.methods.generators.stylegan2_discriminator import Discriminator
from facesr.methods.generators.stylegan2_keys import LAYOUTS
from facesr.methods.generators.stylegan2_layers import StyledConv

TOLERANCE = 1e-4
"""Of the oracles (their README)."""


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = TOLERANCE) -> None:
    agrees(a, b, atol=tolerance, rtol=0)


def small(size: int = 16, **options: Any) -> StyleGAN2:
    torch.manual_seed(3)
    net = StyleGAN2(size, **{"channels": {4: 24, 8: 16, 16: 12, 32: 8, 64: 8, 128: 4, 256: 4, 512: 4, 1024: 4}, **options})
    with torch.no_grad():
        for key, value in net.named_parameters():
            if "noise" in key or key.endswith("bias"):
                value.add_(torch.randn_like(value) * 0.3)
    return net.eval().requires_grad_(False)


@pytest.fixture(scope="module", params=[32, 128])
def published(request: pytest.FixtureRequest, detweights: ModuleType) -> tuple[StyleGAN2, dict[str, Any]]:
    held = recorded(f"stylegan2_rosinality_{request.param}")
    net = StyleGAN2(request.param).eval().requires_grad_(False)
    assert {key: list(v.shape) for key, v in net.state_dict().items()} == {k: list(s) for k, s in held["meta"]["all_keys"]}
    net.load_state_dict(detweights.make_state_dict(held["spec"], held["seed"]), strict=False)
    return net, held


def test_equals_rosinality(published: tuple[StyleGAN2, dict[str, Any]], detweights: ModuleType) -> None:
    net, held = published
    given, wanted = held["inputs"], held["outputs"]
    w = net.map(given["z"])
    close(w, wanted["w"])
    close(net.synthesize(w), wanted["image_from_z"])
    close(net.synthesize(given["wplus"], "fixed"), wanted["image_from_wplus"])
    net.mean_style = given["wavg"]
    close(net.synthesize(net.truncate(w, 0.5)), wanted["truncated"])
    close(net(given["z"], psi=0.5), wanted["truncated"])
    mixed = net.mix(w, w.flip(0), 2)
    close(mixed, wanted["mixed_latent"])
    close(net.synthesize(mixed), wanted["mixed"])
    noise = [detweights.draw(f"extnoise{i}", (2, 1, side, side)) for i, side in enumerate(net.noise_sizes)]
    close(net.synthesize(given["wplus"], noise), wanted["external_noise"])


def test_operations_equal_rosinality() -> None:
    held = recorded("stylegan2_ops")
    given, wanted = held["inputs"], held["outputs"]
    x, k = given["x"], given["k"]
    close(fused_leaky_relu(x, given["bias"]), wanted["flrelu"], 2e-6)
    forms = {
        "up2": {"up": 2, "pad": (2, 1)},
        "down2": {"down": 2, "pad": (1, 1)},
        "blur": {"pad": (2, 1)},
        "blur_after_up": {"pad": (1, 1)},
    }
    for name, form in forms.items():
        got = upfirdn2d(x, k * (4 if name in ("up2", "blur_after_up") else 1), **form)
        assert got.shape == wanted[name].shape
        close(got, wanted[name], 2e-6)
    with_holes = upfirdn2d(x, given["kasym"], up=2, down=3, pad=(2, 1))
    close(with_holes, wanted["asym"], 2e-6)
    close(upfirdn2d(x, k, pad=(-1, 2)), wanted["neg"], 2e-6)
    close(double(x), upfirdn2d(x, make_kernel(gain=4.0), up=2, pad=(2, 1)))


def test_the_eps_of_norms_is_the_published_one() -> None:
    """1e-8, which no recorded figure shows, as its vectors are about 1: squares that are 1e-8 themselves are halved by it."""
    assert PixelNorm()(torch.full((1, 4), 1e-4)) == pytest.approx(np.full((1, 4), 0.5**0.5), rel=1e-5)
    layer = StyledConv(1, 1, 8).requires_grad_(False)  # its style is 1
    layer.conv.weight.fill_(1e-4 / 3 / layer.conv.scale)  # nine of them: the sum of squares is 1e-8
    for faces in (1, 2):
        out = layer(torch.ones(faces, 1, 5, 5), torch.zeros(faces, 8), torch.zeros(1, 1, 5, 5))
        assert out[:, 0, 2, 2] == pytest.approx(np.full(faces, 9 * (1e-4 / 3) / 2e-8**0.5 * 2**0.5), rel=1e-5)


def test_discriminator_equals_rosinality(detweights: ModuleType) -> None:
    held = recorded("stylegan2_disc_rosinality_64")
    net = Discriminator(64).eval()
    loaded = net.load_state_dict(detweights.make_state_dict(held["spec"], held["seed"]), strict=False)
    assert not loaded.unexpected_keys
    assert all(key.endswith("kernel") for key in loaded.missing_keys)
    with torch.no_grad():
        close(net(held["inputs"]["x"]), held["outputs"]["y"], 2e-6)


def test_decoder_has_the_official_psp_keys() -> None:
    official = json.loads((VECTORS / "psp_official_keys.json").read_text())["keys"]
    wanted = {key.removeprefix("decoder."): tuple(shape) for key, shape, _ in official if key.startswith("decoder.")}
    with torch.device("meta"):
        net = StyleGAN2(1024)
    assert {key: tuple(value.shape) for key, value in net.state_dict().items()} == wanted
    assert net.n_styles == 18


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [8, 32])
def test_round_trip_keeps_every_tensor(tmp_path: Path, layout: str, size: int) -> None:
    net = small(size)
    net.mean_style = torch.randn(512)
    official = net.to_layout(layout)
    wrapped = {
        "psp": {
            "state_dict": {**official, "encoder.x": torch.zeros(1)},
            "opts": {"a": 1},
            "latent_avg": net.mean_style.repeat(18, 1),
        }
    }
    wrapped |= {"rosinality": {"g_ema": official, "latent_avg": net.mean_style, "args": argparse.Namespace(size=size)}}
    wrapped |= {"basicsr": {"params_ema": official, "latent_avg": net.mean_style}, "stylegan2-ada": official}
    torch.save(wrapped[layout], tmp_path / "g.pt")
    back = StyleGAN2.from_checkpoint(tmp_path / "g.pt")
    assert not any(p.requires_grad for p in back.parameters())
    again = back.to_layout(layout)
    assert again.keys() == official.keys()
    assert all(torch.equal(again[key], official[key]) and again[key].shape == official[key].shape for key in official)
    close(back.mean_style, net.mean_style)
    w = torch.randn(2, net.n_styles, 512)
    close(back.synthesize(w), net.synthesize(w), 1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_have_the_published_names(layout: str) -> None:
    """Names as in each repository's own code (BasicSR stylegan2_arch.py, stylegan2-ada-pytorch legacy.py:113-141)."""
    names = set(small(16).to_layout(layout))
    some = {
        "rosinality": {
            "style.8.bias",
            "convs.3.conv.modulation.bias",
            "noises.noise_4",
            "convs.0.conv.blur.kernel",
            "to_rgbs.1.upsample.kernel",
        },
        "psp": {"decoder.input.input", "decoder.to_rgb1.conv.modulation.weight", "decoder.convs.2.activate.bias"},
        "basicsr": {
            "style_mlp.1.weight",
            "constant_input.weight",
            "style_conv1.modulated_conv.modulation.bias",
            "style_convs.3.weight",
            "noises.noise4",
            "to_rgbs.1.modulated_conv.weight",
        },
        "stylegan2-ada": {
            "mapping.fc7.weight",
            "mapping.w_avg",
            "synthesis.b4.const",
            "synthesis.b16.conv0.noise_strength",
            "synthesis.b16.conv1.affine.bias",
            "synthesis.b8.torgb.weight",
            "synthesis.b4.conv1.noise_const",
        },
    }
    assert some[layout] <= names


@pytest.mark.parametrize("size", [8, 16, 64])
def test_a_batch_equals_its_faces_and_gradients_agree(size: int) -> None:
    net = small(size).double()
    w = torch.randn(3, net.n_styles, 512, dtype=torch.float64)
    with torch.no_grad():
        alone = torch.cat([net.synthesize(face[None]) for face in w])
        close(net.synthesize(w), alone, 1e-9)
    assert alone.shape == (3, 3, size, size)
    direction, step = torch.randn_like(w), 1e-8  # so small that hardly an activation crosses zero
    w.requires_grad_()
    (gradient,) = torch.autograd.grad(net.synthesize(w).square().sum(), w)
    with torch.no_grad():
        ahead, behind = (net.synthesize(w + sign * step * direction).square().sum() for sign in (1, -1))
    slope = float((gradient * direction).sum())
    assert slope == pytest.approx(float(ahead - behind) / (2 * step), rel=1e-5)


def test_noise_fixed_random_or_given() -> None:
    net = small(16)
    w = torch.randn(1, 512)
    assert torch.equal(net.synthesize(w), net.synthesize(w, "fixed"))
    assert not torch.equal(net.synthesize(w, "random"), net.synthesize(w, "random"))
    drawn = [net.random_noise(1, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(net.synthesize(w, drawn[0]), net.synthesize(w, drawn[1]))


def test_channel_multiplier_and_truncation() -> None:
    with torch.device("meta"):
        narrow = StyleGAN2(256, channel_multiplier=1)
    assert narrow.convs[-1].activate.bias.numel() == 64
    net = small(8)
    w = net.map(torch.randn(2, 512))
    close(net.truncate(w, 0.0), net.mean_style.expand(2, -1), 1e-6)
    codes = net.broadcast(w)
    close(net.truncate(codes, 0.5, below=2)[:, 2:], codes[:, 2:], 0)


def test_bad_input_is_told_in_one_sentence(tmp_path: Path) -> None:
    net = small(8)
    with pytest.raises(FaceSRError, match="power of two"):
        StyleGAN2(100)
    for bad in (torch.randn(1, 5, 512), torch.randn(0, 512), torch.full((1, 512), float("nan"))):
        with pytest.raises(FaceSRError, match="styles"):
            net.synthesize(bad)
    with pytest.raises(FaceSRError, match="2 noise maps given"):
        net.synthesize(torch.randn(1, 512), [torch.zeros(1, 1, 4, 4)] * 2)
    with pytest.raises(FaceSRError, match="noise map 1 has shape"):
        net.synthesize(torch.randn(1, 512), [torch.zeros(1, 1, 4, 4)] * 3)
    state = net.to_layout("rosinality")
    del state["conv1.noise.weight"]
    torch.save(state, tmp_path / "cut.pt")
    with pytest.raises(FaceSRError, match=r"1 missing \(conv1.noise.weight\)"):
        StyleGAN2.from_checkpoint(tmp_path / "cut.pt")
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(FaceSRError, match="no StyleGAN2 generator"):
        StyleGAN2.from_checkpoint(tmp_path / "other.pt")
    with pytest.raises(FaceSRError, match="choose from"):
        net.to_layout("tensorflow")


def test_half_precision_stays_half_and_near() -> None:
    """bfloat16: every map of the way up is of that type (float32 noise added to it cost more time than it saves), images within 2 %."""
    torch.manual_seed(0)
    net = StyleGAN2(32, n_mlp=2).eval().requires_grad_(False)
    types: set[torch.dtype] = set()
    for conv in (net.conv1, *net.convs):
        conv.register_forward_hook(lambda module, given, out: types.add(out.dtype))
    w = torch.randn(2, net.n_styles, 512)
    with torch.no_grad():
        exact = net.synthesize(w)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = torch.cat([net.synthesize(face) for face in torch.split(w, 1)])
    assert types == {torch.float32, torch.bfloat16}
    assert half.dtype == torch.bfloat16
    assert 0 < float((half.float() - exact).abs().max()) < 0.05 * float(exact.abs().max())
