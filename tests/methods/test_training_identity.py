"""The identity loss's network and crops, against the ONNX export and the aligner."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from facesr.bench.imaging import to_tensor
from helpers import demo_faces


def test_mobilefacenet_equals_its_onnx_export(fixtures: Path) -> None:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    from facesr.methods.training.identity import IdentityLoss

    loss = IdentityLoss(torch.load(fixtures / "weights" / "mobilefacenet.pt", map_location="cpu", weights_only=True))
    session = onnxruntime.InferenceSession(str(fixtures / "weights" / "MobileFaceNet.onnx"), providers=["CPUExecutionProvider"])
    x = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    expected = session.run(None, {"input0": x.numpy()})[0]
    assert float(np.abs(loss.net(x).numpy() - expected).max()) < 1e-4


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
