"""Begin a generator with a trained one's weights, also with wider layers: Net2WiderNet (Chen, Goodfellow, Shlens 2016).

A wider layer's further channels are copies of its first ones; whatever reads them divides its weights by the number of copies, so the
wider net computes what the narrow one did. A little noise lets the copies part ways.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from facesr.bench.errors import FaceSRError
from facesr.methods.pix2pixhd.net import GlobalGenerator, ResnetBlock
from facesr.methods.pix2pixhd.stages import TwoStage

NOISE = 0.05
"""Standard deviation of the noise on the copies, relative to each weight."""


def _copies(old: int, new: int, generator: torch.Generator) -> Tensor:
    """Which old channel each new one repeats: all of them once, then random ones."""
    if new < old:
        raise FaceSRError(f"a generator of {new} channels cannot begin with one of {old}: choose ngf at least as large as its")
    return torch.cat([torch.arange(old), torch.randint(old, (new - old,), generator=generator)])


def _widened(weight: Tensor, inputs: Tensor, outputs: Tensor, transposed: bool, generator: torch.Generator) -> Tensor:
    """A convolution's weight whose input and output channels are the copies named by ``inputs`` and ``outputs``."""
    weight = weight.transpose(0, 1) if transposed else weight
    share = 1 / torch.bincount(inputs)[inputs].float()
    wide = weight[outputs][:, inputs] * share.view(1, -1, 1, 1)
    copied = torch.zeros(len(outputs), len(inputs), 1, 1, dtype=torch.bool)
    copied[weight.shape[0] :] = True
    copied[:, weight.shape[1] :] = True
    wide = torch.where(copied, wide * (1 + NOISE * torch.randn(wide.shape, generator=generator)), wide)
    return (wide.transpose(0, 1) if transposed else wide).contiguous()


def widen(narrow: GlobalGenerator | TwoStage, wide: GlobalGenerator, seed: int = 0) -> None:
    """Give ``wide`` the function of ``narrow`` (as many halvings, at most as many blocks; further blocks begin as the identity nearly)."""
    generator = torch.Generator().manual_seed(seed)
    held, target = list(narrow.model), list(wide.model)
    blocks = [sum(isinstance(m, ResnetBlock) for m in layers) for layers in (held, target)]
    if blocks[0] > blocks[1] or len(held) - blocks[0] != len(target) - blocks[1]:
        raise FaceSRError("a generator can begin with one of as many halvings (n_down) and at most as many blocks (n_blocks)")
    last_block = max((i for i, m in enumerate(held) if isinstance(m, ResnetBlock)), default=-1)
    held[last_block + 1 : last_block + 1] = [nn.Identity()] * (blocks[1] - blocks[0])
    channels = torch.arange(narrow.inputs)
    with torch.no_grad():
        for old, new in zip(held, target, strict=True):
            if isinstance(new, ResnetBlock):
                if isinstance(old, ResnetBlock):
                    _widen_block(old, new, channels, generator)
                elif isinstance(new.conv_block[6], nn.BatchNorm2d):
                    nn.init.zeros_(new.conv_block[6].weight)  # the block begins as the identity
            elif isinstance(new, (nn.Conv2d, nn.ConvTranspose2d)):
                assert isinstance(old, (nn.Conv2d, nn.ConvTranspose2d))
                outputs = _copies(old.out_channels, new.out_channels, generator)
                _fill(new, old, channels, outputs, generator)
                channels = outputs
            elif isinstance(new, nn.BatchNorm2d):
                _copy_norm(old, new, channels)


def _fill(new: nn.Module, old: nn.Module, inputs: Tensor, outputs: Tensor, generator: torch.Generator) -> None:
    assert isinstance(new, (nn.Conv2d, nn.ConvTranspose2d)) and isinstance(old, (nn.Conv2d, nn.ConvTranspose2d))
    new.weight.copy_(_widened(old.weight, inputs, outputs, isinstance(new, nn.ConvTranspose2d), generator))
    assert new.bias is not None and old.bias is not None
    new.bias.copy_(old.bias[outputs])


def _copy_norm(old: nn.Module, new: nn.BatchNorm2d, channels: Tensor) -> None:
    held: Mapping[str, Tensor] = old.state_dict()
    new.load_state_dict({k: v[channels] if v.dim() else v for k, v in held.items()})


def _widen_block(old: ResnetBlock, new: ResnetBlock, channels: Tensor, generator: torch.Generator) -> None:
    held, target = list(old.conv_block), list(new.conv_block)
    assert isinstance(held[1], nn.Conv2d) and isinstance(target[1], nn.Conv2d)
    inner = _copies(held[1].out_channels, target[1].out_channels, generator)
    _fill(target[1], held[1], channels, inner, generator)
    _fill(target[5], held[5], inner, channels, generator)
    for index, which in ((2, inner), (6, channels)):
        norm = target[index]
        if isinstance(norm, nn.BatchNorm2d):
            _copy_norm(held[index], norm, which)


__all__ = ["widen"]
