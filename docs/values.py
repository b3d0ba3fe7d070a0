"""Write docs/values.toml: every metric of single images on one demo face, enlarged by bicubic. Run it by hand when a metric changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facesr.bench.data.dataset import find_dataset
from facesr.bench.errors import FaceSRError
from facesr.bench.faces import Batch
from facesr.bench.imaging import read_rgb, resize, to_tensor, to_uint8
from facesr.bench.metrics import SetMetric
from facesr.bench.registry import build_metric, installed

FACE = "demo-09"


def pair() -> tuple[Batch, np.ndarray]:
    """The batch of the demo face (HR, LR) and its bicubic enlargement, 8-bit."""
    face = next(f for f in find_dataset("demo", "all", 128).faces if f.name == FACE)
    hr = read_rgb(face.path)[None]
    lr = to_uint8(resize(to_tensor(hr), 16, "bicubic-matlab"))
    sr = to_uint8(resize(to_tensor(lr), 128, "bicubic-matlab"))
    return Batch((face,), hr, lr), sr


def value(name: str) -> float | None:
    """What a metric gives; None where it scores a whole set, or something it needs is not here."""
    batch, sr = pair()
    try:
        metric = build_metric(name, protocol={"degradation.kernel": "bicubic-matlab", "consistency.epsilon": 1e-3})
        if isinstance(metric, SetMetric):
            return None
        (found,) = metric.score(sr, batch, metric.reference(batch))
    except (FaceSRError, ImportError, RuntimeError):
        return None
    return float(found) if isinstance(found, (int, float)) else None


if __name__ == "__main__":
    lines = [
        "# Written by docs/values.py; tests/test_docs.py compares those that need no network.",
        f'of = "of the face {FACE} that comes along, reduced ×8 to 16² and enlarged to 128² by MATLAB\'s bicubic, 8-bit"',
        "[values]",
    ]
    for metric_name in installed("facesr.metrics"):
        if (made := value(metric_name)) is not None:
            lines.append(f'{metric_name} = "{made:.6g}"')
    Path(__file__).with_name("values.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
