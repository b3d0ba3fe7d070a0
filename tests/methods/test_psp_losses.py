"""pSp's losses and optimiser against its own code (oracles ``psp_id_loss``, ``psp_losses_and_degradation``, ``psp_ranger``)."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from facesr.bench.errors import FaceSRError
from facesr.bench.networks.irse import Backbone
from facesr.methods.losses.identity import IDLoss
from facesr.methods.losses.psp import PSPLoss, PSPWeights, crop, w_norm
from facesr.methods.losses.ranger import Ranger

Oracle = Callable[[str], dict[str, Any]]


def test_identity_loss_equals_the_published_one(oracle: Oracle) -> None:
    known = oracle("psp_id_loss")
    inputs, outputs = known["inputs"], known["outputs"]
    loss = IDLoss(Backbone.from_state_dict(known["state_dict"]))
    with torch.no_grad():
        torch.testing.assert_close(loss.pooled(inputs["y_hat"]), outputs["pooled"], atol=1e-5, rtol=0)
        torch.testing.assert_close(loss.embed(inputs["y_hat"]), outputs["feats"], atol=1e-4, rtol=0)
        got = loss.compare(inputs["y_hat"], inputs["y"], inputs["x"])
    torch.testing.assert_close(got.loss, outputs["loss"], atol=1e-4, rtol=0)
    torch.testing.assert_close(got.improvement, torch.as_tensor(outputs["sim_improvement"]), atol=1e-4, rtol=0)
    for name, values in (("diff_target", got.to_target), ("diff_input", got.to_input), ("diff_views", got.target_to_input)):
        want = torch.tensor([log[name] for log in outputs["logs"]])
        torch.testing.assert_close(values, want, atol=1e-4, rtol=0)


def test_identity_gradient_reaches_the_output_only_and_the_network_stays_in_eval() -> None:
    loss = IDLoss(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 4)), side=8).train()
    y_hat, y = torch.rand(2, 3, 128, 128, requires_grad=True), torch.rand(2, 3, 128, 128, requires_grad=True)
    loss(y_hat, y).backward()
    assert y_hat.grad is not None and y_hat.grad.abs().sum() > 0 and y.grad is None
    assert not loss.network.training and not any(p.requires_grad for p in loss.network.parameters())
    with pytest.raises(FaceSRError, match=r"\(2, 1, 128, 128\)"):
        loss(y_hat[:, :1], y)


def test_w_norm_equals_the_published_one(oracle: Oracle) -> None:
    known = oracle("psp_losses_and_degradation")
    codes, mean = known["inputs"]["latent"], known["inputs"]["latent_avg"]
    torch.testing.assert_close(w_norm(codes, mean), known["outputs"]["w_norm"])
    torch.testing.assert_close(w_norm(codes), known["outputs"]["w_norm_no_avg"])


def test_the_sum_uses_the_published_weights_and_crops() -> None:
    torch.manual_seed(0)
    y_hat, y, codes = torch.rand(2, 3, 256, 256), torch.rand(2, 3, 256, 256), torch.randn(2, 18, 512)

    def lpips(a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().flatten(1).mean(1)

    def identity(a: Tensor, b: Tensor) -> Tensor:
        return (a - b).mean()

    total, terms = PSPLoss(lpips, identity)(y_hat, y, codes)
    want = 0.1 * terms["identity"] + terms["l2"] + 0.8 * terms["lpips"] + 0.005 * terms["w_norm"]  # README of the release
    torch.testing.assert_close(total, want)
    assert set(terms) == {"identity", "l2", "lpips", "w_norm"}
    assert crop(y).shape == (2, 3, 188, 188) and torch.equal(crop(y), y[:, :, 35:223, 32:220])
    _, cropped = PSPLoss(lpips, None, PSPWeights(identity=0, lpips_crop=1, l2_crop=1))(y_hat, y, codes)
    torch.testing.assert_close(cropped["l2_crop"], ((y_hat - y)[:, :, 35:223, 32:220] ** 2).mean())
    torch.testing.assert_close(cropped["lpips_crop"], (y_hat - y)[:, :, 35:223, 32:220].abs().mean())
    with pytest.raises(FaceSRError, match="no LPIPS network"):
        PSPLoss(None, None)
    with pytest.raises(FaceSRError, match="no term"):
        PSPLoss(None, None, PSPWeights(0, 0, 0, 0))(y_hat, y, codes)


def test_ranger_follows_the_published_trajectory(oracle: Oracle, detweights: ModuleType) -> None:
    """20 steps of Ranger(lr=.1) on sum_i (1+i)·|p_i - t_i|²: rectification starts and Lookahead fires three times."""
    known = oracle("psp_ranger")["outputs"]["traj"]
    draw = detweights.draw
    params = [draw(name, shape).requires_grad_() for name, shape in (("rw", (4, 3, 3, 3)), ("rl", (5, 6)), ("rb", (7,)))]
    targets = [draw(f"t{i}", tuple(p.shape)) for i, p in enumerate(params)]
    optimiser = Ranger(params, lr=0.1)
    for step in range(len(known[0])):
        optimiser.zero_grad()
        sum(
            ((1 + i) * (p - t).square().sum() for i, (p, t) in enumerate(zip(params, targets, strict=True))), torch.zeros(())
        ).backward()
        optimiser.step()
        for p, trajectory in zip(params, known, strict=True):
            torch.testing.assert_close(p.detach(), trajectory[step], atol=1e-5, rtol=1e-5)


def test_ranger_resumes_from_its_state_and_refuses_nonsense() -> None:
    def run(interrupted: bool) -> Tensor:
        p = torch.ones(3, 2).requires_grad_()
        optimiser = Ranger([p], lr=0.01)
        for step in range(14):
            if interrupted and step == 7:
                state = optimiser.state_dict()
                optimiser = Ranger([p], lr=0.01)
                optimiser.load_state_dict(state)
            optimiser.zero_grad()
            (p * torch.arange(6.0).view(3, 2)).square().sum().backward()
            optimiser.step()
        return p.detach()

    assert torch.equal(run(False), run(True))
    with pytest.raises(FaceSRError, match=r"lr -1 .*k 0"):
        Ranger([torch.ones(1)], lr=-1, k=0)
