"""PSNR and SSIM against BasicSR 1.4.2 (``pip install basicsr``, or ``make reference``): the kernel, and whole folders of PNG files."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import interleaved, line
from facesr.bench.faces import Batch
from facesr.bench.imaging import read_rgb, write_png
from facesr.bench.metrics.fidelity import PSNR, SSIM


def basicsr() -> Any:
    """BasicSR's metrics; its import needs a module that torchvision dropped in 0.17."""
    import torchvision.transforms._functional_tensor as tensor

    sys.modules["torchvision.transforms.functional_tensor"] = tensor
    from basicsr.metrics import psnr_ssim

    return psnr_ssim


def pair(side: int, seed: int = 0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A textured image and a blurred one."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(
        rng.integers(0, 255, (side // 8, side // 8, 3), dtype=np.uint8), (side, side), interpolation=cv2.INTER_CUBIC
    )
    hr = np.clip(coarse + rng.normal(0, 12, coarse.shape), 0, 255).astype(np.uint8)
    return cv2.GaussianBlur(hr, (0, 0), 1.5), hr


def kernel(side: int, count: int, goal: float) -> bool:
    """SSIM of one pair, RGB."""
    reference, metric = basicsr(), SSIM()
    sr, hr = pair(side)
    batch = Batch((), hr[None])

    def ours() -> float:
        value = 0.0
        for _ in range(count):
            value = float(metric.score(sr[None], batch, metric.reference(batch))[0])  # type: ignore[arg-type]
        return value

    def peer() -> float:
        value = 0.0
        for _ in range(count):
            value = float(reference.calculate_ssim(sr, hr, 0))
        return value

    difference = abs(ours() - peer())
    if difference > 1e-9:
        raise SystemExit(f"SSIM differs from BasicSR's by {difference:g}")
    mine, theirs = interleaved([ours, peer], 5)
    return line(f"SSIM kernel, {side} x {side} RGB, differs by {difference:.0e}", mine / count, theirs / count, goal)


def folders(methods: int = 3, count: int = 64, side: int = 256, goal: float = 7) -> bool:
    """PSNR + SSIM over PNG folders: BasicSR's ``scripts/metrics/calculate_psnr_ssim.py`` once a method, against one pass."""
    reference = basicsr()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for i in range(count):
            sr, hr = pair(side, i)
            for m in range(methods):
                (root / f"sr{m}").mkdir(exist_ok=True)
                write_png(root / f"sr{m}/{i:03d}.png", cv2.GaussianBlur(sr, (0, 0), 0.5 + m))
            (root / "hr").mkdir(exist_ok=True)
            write_png(root / f"hr/{i:03d}.png", hr)

        def peer() -> list[float]:
            values = []
            for m in range(methods):
                for path in sorted((root / f"sr{m}").iterdir()):
                    a = cv2.imread(str(root / "hr" / path.name), cv2.IMREAD_UNCHANGED).astype(np.float32) / 255.0
                    b = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float32) / 255.0
                    values += [reference.calculate_psnr(a * 255, b * 255, 0), reference.calculate_ssim(a * 255, b * 255, 0)]
            return values

        def ours() -> list[float]:
            psnr, ssim, values = PSNR(), SSIM(), np.zeros((methods, count, 2))
            for start in range(0, count, 16):
                names = [f"{i:03d}.png" for i in range(start, min(count, start + 16))]
                batch = Batch((), np.stack([read_rgb(root / "hr" / n) for n in names]))
                kept = psnr.reference(batch), ssim.reference(batch)
                for m in range(methods):
                    sr = np.stack([read_rgb(root / f"sr{m}" / n) for n in names])
                    values[m, start : start + len(names), 0] = psnr.score(sr, batch, kept[0])
                    values[m, start : start + len(names), 1] = ssim.score(sr, batch, kept[1])
            return [float(v) for v in values.ravel()]

        difference = np.abs(np.array(ours()) - np.array(peer())).reshape(-1, 2).max(0)
        if difference[0] > 1e-4 or difference[1] > 2e-6:  # the script's float32 round trip costs it some digits of PSNR
            raise SystemExit(f"differs from BasicSR's script by {difference[0]:g} dB and {difference[1]:g}")
        mine, theirs = interleaved([ours, peer])
    each = methods * count
    return line(f"PSNR + SSIM, {methods} folders x {count} PNG, {side} px, each image", mine / each, theirs / each, goal)


def main(argv: Sequence[str]) -> int:
    """Run; 0 when every goal is reached."""
    cv2.setNumThreads(1)
    good = [kernel(256, 10, 10), kernel(1024, 2, 5), folders()]
    return 0 if all(good) else 1
