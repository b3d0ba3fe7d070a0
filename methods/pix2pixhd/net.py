"""pix2pixHD's networks (Wang et al., CVPR 2018), with the published layer names: generators, feature encoder, discriminators.

Instance normalisation has no parameters and no running statistics; convolutions carry biases. Sizes are parameters.
"""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from torch import Tensor, nn

from facesr.bench.errors import FaceSRError

Norm = Literal["instance", "batch"]


def _norm(kind: Norm, channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels) if kind == "instance" else nn.BatchNorm2d(channels)


def _conv(inputs: int, outputs: int, norm: Norm, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """Convolution, norm, ReLU; the 7 × 7 ones pad by reflection."""
    pad: list[nn.Module] = [nn.ReflectionPad2d(3)] if kernel == 7 else []
    return [*pad, nn.Conv2d(inputs, outputs, kernel, stride, 0 if pad else 1), _norm(norm, outputs), nn.ReLU()]


def _up(inputs: int, outputs: int, norm: Norm) -> list[nn.Module]:
    return [nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1), _norm(norm, outputs), nn.ReLU()]


def _image(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(3), nn.Conv2d(inputs, outputs, 7), nn.Tanh()]


def _check(x: Tensor, channels: int, step: int, name: str) -> None:
    if x.dim() != 4 or x.shape[1] != channels or x.shape[-1] % step or x.shape[-2] % step or not x.shape[0]:
        raise FaceSRError(
            f"pix2pixHD's {name} got a tensor of shape {tuple(x.shape)}: it needs (B, {channels}, H, W), B at least 1, sides multiples of {step}"
        )


class ResnetBlock(nn.Module):
    """Reflection pad, conv 3, norm, ReLU, pad, conv 3, norm, plus the input."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            _norm(norm, channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            _norm(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to the same shape."""
        result: Tensor = x + self.conv_block(x)
        return result


class GlobalGenerator(nn.Module):
    """Image to image, (B, inputs, H, W) to (B, outputs, H, W) in [-1, 1]; sides are multiples of 2 ** n_down.

    The published options are ngf 64, n_down 4 (the class's own default is 3), 9 blocks.
    """

    def __init__(
        self, inputs: int = 3, outputs: int = 3, ngf: int = 64, n_down: int = 4, n_blocks: int = 9, norm: Norm = "instance"
    ) -> None:
        super().__init__()
        self.inputs, self.step = inputs, 1 << n_down
        layers = _conv(inputs, ngf, norm, kernel=7)
        for i in range(n_down):
            layers += _conv(ngf << i, ngf << (i + 1), norm, stride=2)
        layers += [ResnetBlock(ngf << n_down, norm) for _ in range(n_blocks)]
        for i in range(n_down, 0, -1):
            layers += _up(ngf << i, ngf << (i - 1), norm)
        self.model = nn.Sequential(*layers, *_image(ngf, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        _check(x, self.inputs, self.step, "generator")
        result: Tensor = self.model(x)
        return result


def halve(x: Tensor) -> Tensor:
    """The published pyramid step: 3 × 3 average with stride 2, borders averaged over what is there."""
    return nn.functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False)


class LocalEnhancer(nn.Module):
    """A ``GlobalGenerator`` at 1/2 ** n_enhancers of the size, and enhancers that add the detail of each doubling.

    The official Cityscapes file is (36 → 3, ngf 32, n_down 4, 9 blocks, 1 enhancer of 3 blocks).
    """

    def __init__(
        self,
        inputs: int = 3,
        outputs: int = 3,
        ngf: int = 32,
        n_down: int = 4,
        n_blocks: int = 9,
        n_enhancers: int = 1,
        n_blocks_local: int = 3,
        norm: Norm = "instance",
    ) -> None:
        super().__init__()
        self.inputs, self.step, self.n_enhancers = inputs, 1 << (n_down + n_enhancers), n_enhancers
        whole = GlobalGenerator(inputs, outputs, ngf << n_enhancers, n_down, n_blocks, norm).model
        self.model = nn.Sequential(*list(whole)[:-3])
        for n in range(1, n_enhancers + 1):
            width = ngf << (n_enhancers - n)
            first = [*_conv(inputs, width, norm, kernel=7), *_conv(width, 2 * width, norm, stride=2)]
            blocks: list[nn.Module] = [ResnetBlock(2 * width, norm) for _ in range(n_blocks_local)]
            last = _image(ngf, outputs) if n == n_enhancers else []
            self.add_module(f"model{n}_1", nn.Sequential(*first))
            self.add_module(f"model{n}_2", nn.Sequential(*blocks, *_up(2 * width, width, norm), *last))

    def enhancer(self, n: int) -> list[nn.Module]:
        """The two parts of enhancer ``n`` (1 … n_enhancers): ``niter_fix_global`` trains the last one's alone at first."""
        return [self.get_submodule(f"model{n}_1"), self.get_submodule(f"model{n}_2")]

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W) in [-1, 1]."""
        _check(x, self.inputs, self.step, "local enhancer")
        pyramid = list(itertools.accumulate(range(self.n_enhancers), lambda image, _: halve(image), initial=x))
        result: Tensor = self.model(pyramid[-1])
        for n in range(1, self.n_enhancers + 1):
            first, second = self.enhancer(n)
            result = second(first(pyramid[self.n_enhancers - n]) + result)
        return result


class FeatureEncoder(nn.Module):
    """Feature encoder: an image and its instance map to features that are constant on each instance of each image.

    Instances are those of one image: the published pooling indexes a batch's second image wrongly, so it held for batch 1 only.
    """

    def __init__(self, inputs: int = 3, outputs: int = 3, ngf: int = 16, n_down: int = 4, norm: Norm = "instance") -> None:
        super().__init__()
        self.inputs, self.step = inputs, 1 << n_down
        layers = _conv(inputs, ngf, norm, kernel=7)
        for i in range(n_down):
            layers += _conv(ngf << i, ngf << (i + 1), norm, stride=2)
        for i in range(n_down, 0, -1):
            layers += _up(ngf << i, ngf << (i - 1), norm)
        self.model = nn.Sequential(*layers, *_image(ngf, outputs))

    def forward(self, x: Tensor, instances: Tensor) -> Tensor:
        """``x`` (B, inputs, H, W), ``instances`` (B, 1, H, W) with an integer an instance, to (B, outputs, H, W)."""
        _check(x, self.inputs, self.step, "encoder")
        if instances.shape != (x.shape[0], 1, *x.shape[2:]):
            raise FaceSRError(
                f"the instance map has shape {tuple(instances.shape)}: images of shape {tuple(x.shape)} need one channel each"
            )
        return instance_means(self.model(x), instances)


def instance_means(features: Tensor, instances: Tensor) -> Tensor:
    """Each pixel's features (B, C, H, W) replaced by the mean over its instance within its own image."""
    b, c, h, w = features.shape
    image = torch.arange(b, device=features.device).view(b, 1, 1, 1).expand(b, 1, h, w)
    pairs = torch.stack([image.flatten(), instances.long().flatten()])
    _, label = torch.unique(pairs, dim=1, return_inverse=True)
    flat = features.permute(0, 2, 3, 1).reshape(-1, c)
    count = torch.bincount(label).to(flat.dtype).unsqueeze(1)
    sums = flat.new_zeros(len(count), c).index_add_(0, label, flat)
    return (sums / count)[label].view(b, h, w, c).permute(0, 3, 1, 2)


def _patch_layers(inputs: int, ndf: int, n_layers: int, norm: Norm, sigmoid: bool) -> list[list[nn.Module]]:
    """A PatchGAN of 4 × 4 convolutions, pad 2, by its layers; channels double up to 512, normalised on all but the first and last."""
    layers: list[list[nn.Module]] = [[nn.Conv2d(inputs, ndf, 4, 2, 2), nn.LeakyReLU(0.2)]]
    width = ndf
    for n in range(1, n_layers + 1):
        wider = min(2 * width, 512)
        layers.append([nn.Conv2d(width, wider, 4, 2 if n < n_layers else 1, 2), _norm(norm, wider), nn.LeakyReLU(0.2)])
        width = wider
    layers.append([nn.Conv2d(width, 1, 4, 1, 2)])
    return [*layers, [nn.Sigmoid()]] if sigmoid else layers


class MultiscaleDiscriminator(nn.Module):
    """PatchGANs on a pyramid. Gives, for each scale from the full one down, the list of its layers' outputs (the last: the verdict).

    ``features = False``: only the verdicts, with the key names of that option. The full scale uses the sub-net with the highest number.
    """

    def __init__(
        self,
        inputs: int = 6,
        ndf: int = 64,
        n_layers: int = 3,
        num_d: int = 2,
        features: bool = True,
        norm: Norm = "instance",
        sigmoid: bool = False,
    ) -> None:
        super().__init__()
        self.inputs, self.num_d, self.features = inputs, num_d, features
        self.n_parts = n_layers + 2 + sigmoid
        for d in range(num_d):
            layers = _patch_layers(inputs, ndf, n_layers, norm, sigmoid)
            if features:
                for j, layer in enumerate(layers):
                    self.add_module(f"scale{d}_layer{j}", nn.Sequential(*layer))
            else:
                self.add_module(f"layer{d}", nn.Sequential(*itertools.chain(*layers)))

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """(B, inputs, H, W), image and condition one after the other."""
        _check(x, self.inputs, 1, "discriminator")
        result = []
        for d in range(self.num_d - 1, -1, -1):
            if self.features:
                outputs = [x]
                for j in range(self.n_parts):
                    outputs.append(self.get_submodule(f"scale{d}_layer{j}")(outputs[-1]))
                result.append(outputs[1:])
            else:
                result.append([self.get_submodule(f"layer{d}")(x)])
            if d:
                x = halve(x)
        return result


def initialise(module: nn.Module) -> None:
    """The published initial weights: convolutions N(0, 0.02), batch norm N(1, 0.02) with zero bias."""
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(part.weight, 0.0, 0.02)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.02)
            nn.init.zeros_(part.bias)
