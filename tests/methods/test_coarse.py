"""The coarse generators that pSp's training looks through: the trunk's first layers, a head of their own, the 16 styles of the 128² one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bench.errors import FaceSRError
from methods.generators.coarse import CoarseGenerator
from methods.generators.mobilestylegan128 import MobileStyleGAN128
from methods.generators.training import GeneratorObjective, Losses, Net


@pytest.fixture(scope="module")
def full() -> MobileStyleGAN128:
    return MobileStyleGAN128.from_checkpoint()


@pytest.mark.parametrize(("size", "rows"), [(32, 10), (64, 13)])
def test_it_takes_sixteen_styles_and_sees_the_first(full: MobileStyleGAN128, size: int, rows: int) -> None:
    torch.manual_seed(0)
    coarse = CoarseGenerator.of(full, size)
    w = coarse.broadcast(full.map(torch.randn(1, 512))).clone().requires_grad_()
    image = coarse.synthesize(w)
    assert image.shape == (1, 3, size, size)
    image.square().mean().backward()  # type: ignore[no-untyped-call]
    assert w.grad is not None
    assert (w.grad[0].norm(dim=1) > 0).tolist() == [row < rows for row in range(16)]


def test_its_trunk_is_the_generators_own(full: MobileStyleGAN128) -> None:
    coarse = CoarseGenerator.of(full, 32)
    w = full.broadcast(full.map(torch.randn(2, 512)))
    seen: list[torch.Tensor] = []
    hook = full.layers[2].register_forward_hook(lambda _module, _given, out: seen.append(out))
    full.synthesize(w)
    hook.remove()
    torch.testing.assert_close(coarse.features(w), seen[0])


def test_a_file_tells_its_side(full: MobileStyleGAN128, tmp_path: Path) -> None:
    coarse = CoarseGenerator.of(full, 32)
    save_file({k: v.contiguous() for k, v in coarse.state_dict().items()}, tmp_path / "coarse.safetensors")
    again = CoarseGenerator.from_checkpoint(tmp_path / "coarse.safetensors")
    w = full.map(torch.randn(1, 512))
    assert again.size == 32
    torch.testing.assert_close(again.synthesize(w), coarse.synthesize(w))


def test_another_side_or_file_gets_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FaceSRError, match="no coarse generator of side 48: there are 32, 64"):
        CoarseGenerator(48)
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(FaceSRError, match=r"x\.safetensors is no coarse generator"):
        CoarseGenerator.from_checkpoint(tmp_path / "x.safetensors")


def test_training_brings_its_picture_nearer(full: MobileStyleGAN128) -> None:
    torch.manual_seed(0)
    optimiser = {"name": "adamw", "lr": 0.01, "weight_decay": 0.0}
    objective = GeneratorObjective(full, Net(size=32, layer_rate=0.25), Losses(l2=1, l1=0.1, lpips=0), optimiser)
    codes = full.map(torch.randn(4, 512))
    batch = {"hr": (full.synthesize(full.broadcast(codes)) / 2 + 0.5).clamp(0, 1), "codes": codes}
    before = {name: tensor.clone() for name, tensor in objective.front.state_dict().items()}
    losses = []
    for _ in range(8):
        phase = next(objective.phases(batch))
        losses.append(float(phase.loss.detach()))
        objective.optimisers["tail"].zero_grad()
        phase.loss.backward()  # type: ignore[no-untyped-call]
        objective.optimisers["tail"].step()
    assert losses[-1] < 0.7 * losses[0]
    assert all(torch.equal(before[name], tensor) for name, tensor in objective.front.state_dict().items())
