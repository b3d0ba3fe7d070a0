"""The machine and the versions behind a run, without importing any of them."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "facesr-bench",
    "numpy",
    "scipy",
    "torch",
    "torchvision",
    "opencv-python-headless",
    "pillow",
    "piq",
    "lpips",
    "onnxruntime",
    "insightface",
)


def environment(device: str) -> dict[str, str]:
    """Python, system, processor, device and package versions."""
    facts = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "device": device,
    }
    facts["cores"] = str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    for name in PACKAGES:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            continue
    return facts


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
