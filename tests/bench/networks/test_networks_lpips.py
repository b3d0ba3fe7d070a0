"""LPIPS against richzhang's and pSp's values (oracle ``lpips_alex``) and torchmetrics' documented SqueezeNet example."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

from conformance import agrees
from facesr.bench.errors import FaceSRError
from facesr.bench.networks.lpips import LPIPS

Oracle = Callable[[str], dict[str, Any]]


def test_alex_equals_richzhang_layer_by_layer_and_psp_on_average(oracle: Oracle) -> None:
    known = oracle("lpips_alex")
    net, x, y = LPIPS("alex", known["state_dict"]), known["inputs"]["x"], known["inputs"]["y"]
    got = net(x, y)
    agrees(got, known["outputs"]["richzhang"].flatten(), atol=1e-6, rtol=1e-5)
    agrees(got.mean(), known["outputs"]["psp"], atol=1e-6, rtol=1e-5)
    for mine, theirs in zip(net.layers(x, y), known["outputs"]["per_layer"], strict=True):
        agrees(mine, theirs.flatten(), atol=1e-6, rtol=1e-4)
    in_01 = net((x + 1) / 2, (y + 1) / 2)  # the well-known mistake gives another number, which the module must not hide
    agrees(in_01, known["outputs"]["wrong_range_01"].flatten(), atol=1e-6, rtol=1e-4)


def test_squeeze_equals_the_lpips_package() -> None:
    """``lpips.LPIPS(net='squeeze', pnet_rand=True)`` given the same trunk, tolerance 1e-6."""
    import lpips
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    trunk = squeezenet1_1(weights=None).features.state_dict()
    plain = {key.removeprefix("features."): value for key, value in trunk.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package still names torchvision's old 'pretrained' argument
        theirs = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False)
    theirs.net.load_state_dict({key: plain[key.split(".", 1)[1]] for key in theirs.net.state_dict()})
    torch.manual_seed(0)
    x, y = torch.rand(2, 3, 72, 64) * 2 - 1, torch.rand(2, 3, 72, 64) * 2 - 1
    with torch.no_grad():
        want = theirs(x, y).flatten()
        agrees(LPIPS("squeeze", trunk)(x, y), want, atol=1e-6, rtol=1e-5)


def test_gradients_are_finite_where_all_channels_are_dead(oracle: Oracle) -> None:
    weights = {k: torch.zeros_like(v) for k, v in oracle("lpips_alex")["state_dict"].items()}
    x = torch.zeros(1, 3, 64, 64, requires_grad=True)
    LPIPS("alex", weights)(x, torch.ones_like(x)).sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()


def test_stays_in_eval_mode_and_names_what_is_wrong() -> None:
    import torchvision

    net = LPIPS("alex", torchvision.models.alexnet(weights=None).state_dict())
    assert not net.train().training
    with pytest.raises(FaceSRError, match=r"\(1, 3, 64, 64\) and \(1, 3, 32, 32\)"):
        net(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 32, 32))
    with pytest.raises(FaceSRError, match="did you mean 'alex'"):
        LPIPS("alexnet", {})  # type: ignore[arg-type]
    with pytest.raises(FaceSRError, match="holds no vgg16 of torchvision"):
        LPIPS("vgg", {})
