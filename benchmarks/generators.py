"""A PULSE step and a pSp forward at 1024 pixels against the published arithmetic in plain PyTorch: same weights, same run, one thread each.

The peer is written out here as the published CPU paths compute it: a kernel for every face in one grouped convolution, blurs as padded
depthwise convolutions, nearest doubling before a 3x3, instance normalisation and styles op by op, autograd for the rest. Each
measurement has a process of its own, whose peak memory is printed too. pSp also in bfloat16 (``--set psp.precision=bf16``), with its difference
from float32. Takes some minutes; --small works at 128 pixels.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import interleaved, line, within
from facesr.bench.run.peak import peak_memory, restart_peak

MIB = 2.0**20


def plain_stylegan2(net: Any, w: Any) -> Any:
    """rosinality's forward on a CPU, with ``net``'s tensors."""
    import torch
    import torch.nn.functional as F

    def upfirdn(x: Any, kernel: Any, up: int, pad: tuple[int, int]) -> Any:
        b, c, h, side = x.shape
        x = F.pad(x.reshape(-1, h, 1, side, 1, 1), (0, 0, 0, up - 1, 0, 0, 0, up - 1)).view(-1, h * up, side * up, 1)
        x = F.pad(x, (0, 0, *pad, *pad)).permute(0, 3, 1, 2)
        out = F.conv2d(x, torch.flip(kernel, [0, 1])[None, None])
        return out.reshape(b, c, *out.shape[2:])

    def modulated(m: Any, x: Any, style: Any, demodulate: bool = True) -> Any:
        b, c, h, side = x.shape
        weight = m.scale * m.weight * m.modulation(style).view(b, 1, c, 1, 1)
        if demodulate:
            weight = weight * torch.rsqrt(weight.pow(2).sum([2, 3, 4]) + 1e-8).view(b, -1, 1, 1, 1)
        out, k = weight.shape[1], weight.shape[-1]
        if m.up:
            weight = weight.transpose(1, 2).reshape(b * c, out, k, k)
            y = F.conv_transpose2d(x.view(1, b * c, h, side), weight, stride=2, groups=b)
            return upfirdn(y.view(b, out, *y.shape[2:]), m.blur.kernel, 1, (1, 1))
        y = F.conv2d(x.reshape(1, b * c, h, side), weight.view(b * out, c, k, k), padding=m.padding, groups=b)
        return y.view(b, out, *y.shape[2:])

    def styled(m: Any, x: Any, style: Any, noise: Any) -> Any:
        x = modulated(m.conv, x, style) + m.noise.weight * noise
        return F.leaky_relu(x + m.activate.bias.view(1, -1, 1, 1), 0.2) * math.sqrt(2)

    def rgb(m: Any, x: Any, style: Any, skip: Any = None) -> Any:
        x = modulated(m.conv, x, style, demodulate=False) + m.bias
        return x if skip is None else x + upfirdn(skip, m.upsample.kernel, 2, (2, 1))

    noise = [net.noises.get_buffer(f"noise_{i}") for i in range(len(net.noise_sizes))]
    x = styled(net.conv1, net.input.input.repeat(len(w), 1, 1, 1), w[:, 0], noise[0])
    image = rgb(net.to_rgb1, x, w[:, 1])
    for i, last in enumerate(net.to_rgbs):
        x = styled(net.convs[2 * i], x, w[:, 2 * i + 1], noise[2 * i + 1])
        x = styled(net.convs[2 * i + 1], x, w[:, 2 * i + 2], noise[2 * i + 2])
        image = rgb(last, x, w[:, 2 * i + 3], image)
    return image


def plain_stylegan1(net: Any, w: Any, noise: Sequence[Any]) -> Any:
    """PULSE's synthesis as published, with ``net``'s tensors."""
    import torch.nn.functional as F

    def epilogue(m: Any, x: Any, style: Any, n: Any) -> Any:
        x = F.leaky_relu(x + m.noise.weight.view(1, -1, 1, 1) * n, 0.2)
        s = F.linear(style, m.style_mod.lin.weight * m.style_mod.lin.scale, m.style_mod.lin.bias).view(-1, 2, x.shape[1], 1, 1)
        return F.instance_norm(x) * (s[:, 0] + 1.0) + s[:, 1]

    def same(m: Any, x: Any) -> Any:
        return F.conv2d(x, m.weight * m.scale, m.bias, padding=m.weight.shape[-1] // 2)

    def up(m: Any, x: Any) -> Any:
        if m.fused:
            k = F.pad((m.weight * m.scale).permute(1, 0, 2, 3), (1, 1, 1, 1))
            k = k[:, :, 1:, 1:] + k[:, :, :-1, 1:] + k[:, :, 1:, :-1] + k[:, :, :-1, :-1]
            x = F.conv_transpose2d(x, k, stride=2, padding=1)
        else:
            x = (
                x.view(*x.shape[:3], 1, x.shape[3], 1)
                .expand(-1, -1, -1, 2, -1, 2)
                .reshape(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
            )
            x = F.conv2d(x, m.weight * m.scale, padding=1)
        c = x.shape[1]
        x = F.conv2d(x, m.intermediate.kernel.expand(c, -1, -1, -1), padding=1, groups=c)
        return x + m.bias.view(1, -1, 1, 1)

    x = w
    for i, block in enumerate(net.synthesis.blocks.values()):
        x = up(block.conv0_up, x) if i else block.const.expand(len(w), -1, -1, -1) + block.bias.view(1, -1, 1, 1)
        x = epilogue(block.epi1, x, w[:, 2 * i], noise[2 * i])
        x = same(block.conv1 if i else block.conv, x)
        x = epilogue(block.epi2, x, w[:, 2 * i + 1], noise[2 * i + 1])
    return same(net.synthesis.torgb, x)


def pulse_step(whose: str, batch: int, size: int) -> Callable[[], Any]:
    """One forward and backward of PULSE's search: to 16 pixels, squared error, gradients of W+ and the first five noise maps."""
    import torch
    import torch.nn.functional as F

    from facesr.methods.generators import StyleGAN1

    net = StyleGAN1(size, mapped=False).eval().requires_grad_(False)  # as PULSE.py freezes it
    for (
        key,
        value,
    ) in net.named_parameters():  # an untrained net's constant has no variance, which instance normalisation divides by
        if "noise" in key or "bias" in key or "const" in key:
            value.add_(torch.randn(value.shape) * 0.2)
    drawn = torch.Generator().manual_seed(1)
    w = torch.randn(batch, net.n_styles, 512, generator=drawn, requires_grad=True)
    noise = net.random_noise(batch, drawn)
    for n in noise[:5]:
        n.requires_grad_()

    def step() -> Any:
        w.grad = None
        image = net.synthesize(w, noise) if whose == "ours" else plain_stylegan1(net, w, noise)
        small = F.avg_pool2d((image + 1) / 2, size // 16)
        (100 * small.square().mean((1, 2, 3))).sum().backward()
        assert w.grad is not None
        return torch.cat([small.detach().flatten(), w.grad.flatten() / w.grad.abs().max()])

    return step


def psp_forward(whose: str, batch: int, size: int) -> Callable[[], Any]:
    """pSp, 256 pixels to ``size``: the same encoder weights, layout in memory and decoder ours ("bf16": in half precision) or the published ones."""
    import torch

    from facesr.methods.generators import StyleGAN2
    from facesr.methods.psp.encoders import EncoderConfig, build_encoder

    net = StyleGAN2(size).eval().requires_grad_(False)
    encoder = build_encoder(EncoderConfig(n_styles=net.n_styles)).eval().requires_grad_(False)
    if whose != "peer":  # as facesr.methods.psp has it
        encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    face = torch.rand(batch, 3, 256, 256, generator=torch.Generator().manual_seed(1)) * 2 - 1

    @torch.no_grad()
    def forward() -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=whose == "bf16"):
            codes = encoder(face).float()
            image = plain_stylegan2(net, codes) if whose == "peer" else net.synthesize(codes)
        return image.flatten().float()

    return forward


def measure(what: str, whose: str, batch: int, size: int, repeats: int, out: Path) -> dict[str, float]:
    """Run in a process of its own: CPU seconds (the least), peak memory above the loaded net."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    work = {"pulse": pulse_step, "psp": psp_forward}[what](whose, batch, size)
    restart_peak("cpu")
    before = peak_memory("cpu") or 0
    kept: dict[str, Any] = {}
    (cpu,) = interleaved([lambda: kept.update(result=work())], repeats)
    peak = ((peak_memory("cpu") or 0) - before) / MIB
    torch.save(kept["result"], out)
    return {"cpu": cpu, "peak": peak}


def apart(what: str, whose: str, batch: int, size: int, repeats: int, out: Path) -> dict[str, float]:
    """``measure`` in a fresh process."""
    call = f"measure({what!r}, {whose!r}, {batch}, {size}, {repeats}, Path({str(out)!r}))"
    code = f"import json; from pathlib import Path; from benchmarks.generators import measure; print(json.dumps({call}))"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def compare(what: str, title: str, goal: float, size: int, repeats: int) -> bool:
    """Ours against the peer; False where a goal is missed. pSp also four faces against one, and in half precision."""
    import torch

    with tempfile.TemporaryDirectory() as folder:

        def run(whose: str, batch: int = 1) -> dict[str, float]:
            return apart(what, whose, batch, size, repeats, Path(folder) / whose)

        def image(whose: str) -> Any:
            return torch.load(Path(folder) / whose, weights_only=True)

        ours, peer = run("ours"), run("peer")
        difference = float((image("ours") - image("peer")).abs().max())
        good = within(f"{title}, largest difference from the peer", difference, 1e-3, "")
        good &= line(title, ours["cpu"], peer["cpu"], goal, "s", 1)
        good &= line(f"{title}, peak memory above the net", ours["peak"], peer["peak"], 1.0, "MiB", 1)
        if what == "psp":
            exact, half = image("ours"), run("bf16")
            # an untrained net's image: 255 steps are the range of all but its extreme thousandths
            low, high = torch.quantile(exact[:: max(1, len(exact) // 100_000)], torch.tensor([0.001, 0.999])).tolist()
            steps = float((image("bf16") - exact).abs().mean()) * 255 / (high - low)
            good &= line(f"{title}, bf16 (mean {steps:.2f} 8-bit steps from fp32)", half["cpu"], peer["cpu"], goal, "s", 1)
            four = run("ours", 4)
            good &= line(f"{title}, a face of 4 against a face of 1", four["cpu"] / 4, ours["cpu"], 1.0, "s", 1)
    return good


def main(argv: Sequence[str] | None = None) -> int:
    """0 when all goals are reached."""
    parser = argparse.ArgumentParser(prog="benchmarks.generators", description=__doc__)
    parser.add_argument("--small", action="store_true", help="128 pixels instead of 1024: a check that it runs, no goals")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args(argv)
    size = 128 if args.small else 1024
    good = compare("pulse", f"PULSE step, {size} pixels", 2.0, size, args.repeats)
    good &= compare("psp", f"pSp forward, 256 to {size} pixels", 2.0, size, args.repeats)
    return 0 if good or args.small else 1


if __name__ == "__main__":
    sys.exit(main())
