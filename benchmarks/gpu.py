"""What the GPU of this machine does: seconds per face of pSp and PULSE, the metrics' panel, and whether CPU and GPU tables agree.

python -m benchmarks.gpu                    on a GPU, at most 8 minutes; prints the tables for docs/performance.md with the card's name
python -m benchmarks.gpu --device cpu       the same script on the processor, tiny: whether it runs at all
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from facesr.bench import protocol, registry
from facesr.bench.data.dataset import find_dataset
from facesr.bench.errors import FaceSRError
from facesr.bench.faces import Batch
from facesr.bench.imaging import read_rgb, resize8, to_tensor
from facesr.bench.method import Restored
from facesr.bench.metrics.base import Metric
from facesr.bench.metrics.network import on_device
from facesr.bench.run import make_plan, start
from facesr.bench.run.workers import Processes

METHODS = (
    ("psp", "psp", (), 8),
    ("psp, bf16", "psp", ("psp.precision=bf16",), 8),
    ("psp, fp16", "psp", ("psp.precision=fp16",), 8),
    ("psp, compiled", "psp", ("psp.compile=true",), 8),
    ("PULSE, small prior", "pulse", (), 4),
    ("PULSE, 1024 px", "pulse", ("pulse.prior=mobilestylegan",), 4),
    ("PULSE, 1024 px, bf16", "pulse", ("pulse.prior=mobilestylegan", "pulse.precision=bf16"), 4),
)
"""Printed name, method, settings, faces per batch."""
TINY = (
    ("psp", "psp", (), 1),
    ("psp, bf16", "psp", ("psp.precision=bf16",), 1),
    ("PULSE, small prior", "pulse", ("pulse.steps=2",), 1),
)
"""For the smoke test on a processor."""
PANEL = ("psnr", "ssim", "st-lpips-alex", "identity-sface")
BOUNDS = {"psnr": 0.02, "ssim": 5e-4, "st-lpips-alex": 2e-3, "identity-sface": 5e-3, "consistency": 2e-5}
"""How far the mean of a metric may lie apart on processor and GPU (single-pass methods)."""


def timed(call: Callable[[], object], device: str, least: float = 3.0) -> float:
    """Seconds per call with the GPU waited for, after one call to warm up: the mean over at least ``least`` seconds (one call on a processor)."""
    import torch

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    call()
    wait()
    began, calls = time.perf_counter(), 0
    while not calls or (device == "cuda" and time.perf_counter() - began < least):
        call()
        wait()
        calls += 1
    return (time.perf_counter() - began) / calls


def methods(left: Callable[[], float], device: str) -> None:
    """Seconds per face, and how far bf16 lies from fp32."""
    import torch

    faces = find_dataset("demo", "all", 128).faces
    hr = np.stack([read_rgb(f.path) for f in faces])
    lr = to_tensor(np.stack([resize8(image, 16, "bicubic-matlab") for image in hr])).to(device)
    before: dict[str, torch.Tensor] = {}
    for title, name, settings, count in METHODS if device == "cuda" else TINY:
        if left() < 40:
            print(f"| {title} | not run: time is up | |")
            continue
        try:
            made = registry.method_specs([name], settings)[0].build(size=128, scale=8, seed=0, device=device)
            made.load()
        except FaceSRError as error:
            print(f"| {title} | not run: {error} | |")
            continue
        part, names = lr[:count], [f.name for f in faces[:count]]
        answer = made.restore(part, names)
        images = (answer.images if isinstance(answer, Restored) else answer).float().clamp(0, 1)
        seconds = timed(lambda made=made, part=part, names=names: made.restore(part, names), device) / count  # type: ignore[misc]
        plain = title.rpartition(", ")[0] if title.endswith(("bf16", "fp16", "compiled")) else title
        reference = before.setdefault(plain, images)
        apart = float((images - reference).abs().mean() * 255)
        print(f"| {title} | {seconds:.4f} | {apart:.2f} |")
        del made
        torch.cuda.empty_cache()


def panel(device: str) -> None:
    """Pairs of images per second of each metric, HR's features included, in batches of 64 on a GPU."""
    times = 8 if device == "cuda" else 1
    faces = find_dataset("demo", "all", 128).faces
    hr = np.stack([read_rgb(f.path) for f in faces] * times)
    sr = np.stack([resize8(resize8(image, 16, "bicubic-matlab"), 128, "bicubic-matlab") for image in hr])
    batch = Batch(tuple(faces) * times, hr)
    for name in PANEL:
        try:
            metric = registry.build_metric(name)
            network = getattr(getattr(metric, "recogniser", None), "network", None)

            def scored(metric: Metric = metric, network: Any = network) -> None:
                if network is not None:  # it keeps embeddings of pictures it has seen
                    network.forget()
                metric.score(sr, batch, metric.reference(batch))

            with on_device(device):
                seconds = timed(scored, device)
            print(f"| {name} | {len(hr) / seconds:,.0f} |")
        except FaceSRError as error:
            print(f"| {name} | not run: {error} |")


def agreement(device: str) -> bool:
    """Whether processor and GPU give the same table within ``BOUNDS``, and how busy a run keeps the GPU."""
    means, few = {}, device == "cpu"
    with tempfile.TemporaryDirectory() as folder:
        for where in ("cpu", device):
            known = protocol.load_protocol("demo-x8-128", registry.installed("facesr.metrics"))
            specs = registry.method_specs(["bicubic", "fsrnet"] if few else ["bicubic", "fsrnet", "pix2pixhd", "psp"])
            metrics = ["psnr", "consistency"] if few else list(BOUNDS)
            plan = make_plan(known, specs, Path(folder) / where, metrics=metrics, device=where, limit=2 if few else None)
            frame = start(plan, workers=Processes(1, (0,) if where == "cuda" else ())).scores()
            means[where] = frame[frame.status == "ok"].groupby(["method", "metric"]).value.mean()
    apart = (means["cpu"] - means[device]).abs()
    good = True
    for (method, metric), value in apart.items():
        good &= bool(value <= BOUNDS[metric])
        print(f"| {method} | {metric} | {value:.2e} | {BOUNDS[metric]:.0e} |")
    return good


def busy() -> None:
    """Share of time in which the GPU works during a run of pSp on many faces, by processes per GPU (torch's own counter, every .2 s)."""
    import torch

    with tempfile.TemporaryDirectory() as folder:
        faces = find_dataset("demo", "all", 128).faces
        (Path(folder) / "hr").mkdir()
        for i in range(512):
            os.link(faces[i % len(faces)].path, Path(folder) / "hr" / f"{i:04d}.png")
        for count in (1, 2, 3):
            known = protocol.load_protocol("demo-x8-128", registry.installed("facesr.metrics"))
            specs = registry.method_specs(["psp"])
            plan = make_plan(
                known, specs, Path(folder) / str(count), data=f"{folder}/hr", metrics=["psnr", "st-lpips-alex"], device="cuda"
            )
            seen: list[int] = []
            began = time.perf_counter()
            with _sampled(seen, torch.cuda.utilization):
                start(plan, workers=Processes(count, (0,)))
            seconds = time.perf_counter() - began
            print(f"| {count} | {512 / seconds:.1f} | {float(np.mean(seen or [0])):.0f} % |")


@contextmanager
def _sampled(seen: list[int], look: Callable[[], int], every: float = 0.2) -> Iterator[None]:
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(every):
            seen.append(look())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def main(argv: Sequence[str]) -> int:
    """Measure and print; 0 when CPU and GPU agree, or there is nothing to measure."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="stop starting new things after so long; default: %(default)s")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: the smoke test; default: %(default)s")
    args = parser.parse_args(argv)
    device = args.device
    if device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device: nothing was measured")
        return 0
    until = time.monotonic() + 60 * args.minutes
    print(
        f"{torch.cuda.get_device_name() if device == 'cuda' else 'processor: a smoke test, no figures'}, torch {torch.__version__}\n"
    )
    print("| CPU against GPU | metric | difference of means | bound |\n|---|---|---|---|")
    good = agreement(device)
    print("\n| metric, 128 px | images/s |\n|---|---|")
    panel(device)
    print("\n| method | s/face | mean difference from fp32 (8-bit steps) |\n|---|---|---|")
    methods(lambda: until - time.monotonic(), device)
    if device == "cuda" and until - time.monotonic() > 60:
        print("\n| processes on the GPU | faces/s of pSp with two metrics | GPU busy |\n|---|---|---|")
        try:
            busy()
        except (ImportError, RuntimeError) as error:  # the counter needs nvidia-ml-py
            print(f"| not run: {error} | | |")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
