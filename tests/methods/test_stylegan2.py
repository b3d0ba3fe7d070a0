"""StyleGAN2 against the published implementations' own numbers, and its four key layouts."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from bench.errors import FaceSRError
from methods.generators import StyleGAN2
from methods.generators.ops import fused_leaky_relu, upfirdn2d
from methods.generators.stylegan2_keys import LAYOUTS, to_layout

TOLERANCE = 1e-4
"""Of the oracles (their README)."""


def oracle(fixtures: Path, name: str) -> dict[str, Any]:
    held: dict[str, Any] = torch.load(fixtures / "oracles" / f"{name}.pt", weights_only=True)
    return held


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = TOLERANCE) -> None:
    torch.testing.assert_close(a, b, atol=tolerance, rtol=0)


def small(size: int = 16, **options: Any) -> StyleGAN2:
    torch.manual_seed(3)
    net = StyleGAN2(size, **{"channels": {4: 24, 8: 16, 16: 12, 32: 8, 64: 8, 128: 4, 256: 4, 512: 4, 1024: 4}, **options})
    with torch.no_grad():
        for key, value in net.named_parameters():
            if "noise" in key or key.endswith("bias"):
                value.add_(torch.randn_like(value) * 0.3)
    return net.eval().requires_grad_(False)


@pytest.fixture(scope="module", params=[32, 128])
def published(request: pytest.FixtureRequest, fixtures: Path, detweights: ModuleType) -> tuple[StyleGAN2, dict[str, Any]]:
    held = oracle(fixtures, f"stylegan2_rosinality_{request.param}")
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


def test_operations_equal_rosinality(fixtures: Path) -> None:
    held = oracle(fixtures, "stylegan2_ops")
    given, wanted = held["inputs"], held["outputs"]
    x, k = given["x"], given["k"]
    close(fused_leaky_relu(x, given["bias"]), wanted["flrelu"])
    forms = {
        "up2": {"up": 2, "pad": (2, 1)},
        "down2": {"down": 2, "pad": (1, 1)},
        "blur": {"pad": (2, 1)},
        "blur_after_up": {"pad": (1, 1)},
    }
    for name, form in forms.items():
        got = upfirdn2d(x, k * (4 if name in ("up2", "blur_after_up") else 1), **form)
        assert got.shape == wanted[name].shape
        close(got, wanted[name])
