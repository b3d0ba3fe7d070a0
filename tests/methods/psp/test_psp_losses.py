"""pSp's losses and optimiser against its own code (oracles ``psp_losses_and_degradation``, ``psp_ranger``)."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from conformance import agrees
from facesr.bench.errors import FaceSRError
from facesr.methods.losses.psp import inner_face, w_norm
from facesr.methods.losses.ranger import Ranger

Oracle = Callable[[str], dict[str, Any]]


def test_w_norm_equals_the_published_one(oracle: Oracle) -> None:
    known = oracle("psp_losses_and_degradation")
    codes, mean = known["inputs"]["latent"], known["inputs"]["latent_avg"]
    agrees(w_norm(codes, mean), known["outputs"]["w_norm"])
    agrees(w_norm(codes), known["outputs"]["w_norm_no_avg"])


def test_the_inner_face_is_the_published_crop() -> None:
    y = torch.rand(2, 3, 256, 256)
    assert torch.equal(inner_face(y), y[:, :, 35:223, 32:220])
    assert inner_face(torch.rand(1, 3, 128, 128)).shape == (1, 3, 94, 94)  # half of it, in proportion


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
            agrees(p.detach(), trajectory[step], atol=1e-5, rtol=1e-5)


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
