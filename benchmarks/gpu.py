"""What the GPU of this machine does: seconds per face of pSp and PULSE, the metrics' panel, and whether CPU and GPU tables agree.

python -m benchmarks.gpu [--minutes 8]

Prints a table for docs/performance.md with the card's name. Without a CUDA device it says so.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from facesr.bench import protocol, registry
from facesr.bench.data.dataset import find
from facesr.bench.errors import FaceSRError
from facesr.bench.faces import Batch
from facesr.bench.imaging import read_rgb, resize8, to_tensor
from facesr.bench.method import Restored
from facesr.bench.run import make_plan, start

METHODS = (
    ("psp", "psp", (), 8),
    ("psp bf16", "psp", ("psp.precision=bf16",), 8),
    ("PULSE, small prior", "pulse", (), 4),
    ("PULSE, 1024 px", "pulse", ("pulse.prior=mobilestylegan",), 4),
    ("PULSE, 1024 px, bf16", "pulse", ("pulse.prior=mobilestylegan", "pulse.precision=bf16"), 4),
)
"""Printed name, method, settings, faces per batch."""
PANEL = ("psnr", "ssim", "st-lpips-alex", "identity-sface")
BOUNDS = {"psnr": 0.02, "ssim": 5e-4, "st-lpips-alex": 2e-3, "identity-sface": 5e-3, "consistency": 2e-5}
"""How far the mean of a metric may lie apart on processor and GPU (single-pass methods)."""


def timed(call: Callable[[], object], least: float = 3.0) -> float:
    """Seconds per call with the GPU waited for, after one call to warm up: the mean over at least ``least`` seconds."""
    import torch

    call()
    torch.cuda.synchronize()
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < least or not calls:
        call()
        torch.cuda.synchronize()
        calls += 1
    return (time.perf_counter() - began) / calls


def methods(left: Callable[[], float]) -> None:
    """Seconds per face, and how far bf16 lies from fp32."""
    import torch

    faces = find("demo", "all", 128).faces
    hr = np.stack([read_rgb(f.path) for f in faces])
    lr = to_tensor(np.stack([resize8(image, 16, "bicubic-matlab") for image in hr])).cuda()
    before: dict[str, torch.Tensor] = {}
    for title, name, settings, count in METHODS:
        if left() < 40:
            print(f"| {title} | not run: time is up | |")
            continue
        try:
            made = registry.method_specs([name], settings)[0].build(size=128, scale=8, seed=0, device="cuda")
            made.load()
        except FaceSRError as error:
            print(f"| {title} | not run: {error} | |")
            continue
        part, names = lr[:count], [f.name for f in faces[:count]]
        answer = made.restore(part, names)
        images = (answer.images if isinstance(answer, Restored) else answer).float().clamp(0, 1)
        seconds = timed(lambda made=made, part=part, names=names: made.restore(part, names)) / count  # type: ignore[misc]
        reference = before.setdefault(title.removesuffix(" bf16").removesuffix(","), images)
        apart = float((images - reference).abs().mean() * 255)
        print(f"| {title} | {seconds:.4f} | {apart:.2f} |")
        del made
        torch.cuda.empty_cache()


def panel() -> None:
    """Images per second of each metric in batches of 64."""
    faces = find("demo", "all", 128).faces
    hr = np.stack([read_rgb(f.path) for f in faces] * 8)
    sr = np.stack([resize8(resize8(image, 16, "bicubic-matlab"), 128, "bicubic-matlab") for image in hr])
    batch = Batch(tuple(faces) * 8, hr)
    for name in PANEL:
        try:
            metric = registry.build_metric(name)
            reference = metric.reference(batch)
            seconds = timed(lambda m=metric, r=reference: m.score(sr, batch, r))  # type: ignore[misc]
            print(f"| {name} | {len(hr) / seconds:,.0f} |")
        except FaceSRError as error:
            print(f"| {name} | not run: {error} |")


def agreement() -> bool:
    """Whether processor and GPU give the same table within ``BOUNDS``."""
    means = {}
    with tempfile.TemporaryDirectory() as folder:
        for device in ("cpu", "cuda"):
            known = protocol.load("demo-x8-128", registry.installed("facesr.metrics"))
            specs = registry.method_specs(["bicubic", "fsrnet", "pix2pixhd", "psp"])
            plan = make_plan(known, specs, Path(folder) / device, metrics=list(BOUNDS), device=device)
            frame = start(plan).scores()
            means[device] = frame[frame.status == "ok"].groupby(["method", "metric"]).value.mean()
    apart = (means["cpu"] - means["cuda"]).abs()
    good = True
    for (method, metric), value in apart.items():
        good &= bool(value <= BOUNDS[metric])
        print(f"| {method} | {metric} | {value:.2e} | {BOUNDS[metric]:.0e} |")
    return good


def main(argv: Sequence[str]) -> int:
    """Measure and print; 0 when CPU and GPU agree, or there is nothing to measure."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="stop starting new things after so long; default: %(default)s")
    args = parser.parse_args(argv)
    if not torch.cuda.is_available():
        print("no CUDA device: nothing was measured")
        return 0
    until = time.monotonic() + 60 * args.minutes
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n")
    print("| CPU against GPU | metric | difference of means | bound |\n|---|---|---|---|")
    good = agreement()
    print("\n| metric, 128 px, batches of 64 | images/s |\n|---|---|")
    panel()
    print("\n| method | s/face | mean difference from fp32 (8-bit steps) |\n|---|---|---|")
    methods(lambda: until - time.monotonic())
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
