"""The identity loss's network and crops, against the ONNX export and the aligner."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facesr.bench.imaging import to_tensor
from helpers import demo_faces


def test_identity_crops_equal_the_aligners() -> None:
    from facesr.bench.align import similarity, warp
    from facesr.methods.training.identity import FRAME, IdentityLoss, MobileFaceNet, five_point_crop

    image = demo_faces()[0]
    ours = five_point_crop(to_tensor(image[None]), torch.tensor([FRAME]))[0].permute(1, 2, 0).numpy() * 255
    theirs = warp(image, similarity(np.array(FRAME))).astype(float)
    assert float(np.abs(ours - theirs)[2:-2, 2:-2].max()) <= 1  # OpenCV rounds, and works with 1/32 pixel
    assert torch.allclose(
        five_point_crop(to_tensor(image[None])), five_point_crop(to_tensor(image[None]), torch.tensor([FRAME])), atol=1e-4
    )
    torch.manual_seed(0)
    loss = IdentityLoss(MobileFaceNet().state_dict())
    x = to_tensor(image[None]).requires_grad_()
    assert float(loss(x.detach(), x.detach())) == pytest.approx(0, abs=1e-5)
    loss(x, to_tensor(image[None]).flip(3)).sum().backward()
    assert x.grad is not None
    assert float(x.grad.abs().sum()) > 0
