"""A small run folder with the layout of bench.results, and studies made from it: no model, no weights, a second of work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from bench.imaging import encode_png, resize8
from bench.results import FORMAT, Run, load
from bench.study import Study
from bench.study.create import create


def fake_run(folder: Path, faces: int = 12, methods: tuple[str, ...] = ("bicubic", "psp"), size: int = 64) -> Run:
    """``faces`` smooth colour patterns, LR at x8, and for each method another distortion of the HR image."""
    rng = np.random.default_rng(7)
    names = [f"{k:06d}" for k in range(faces)]
    (folder / "hr").mkdir(parents=True)
    (folder / "lr").mkdir()
    for name in names:
        coarse = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        hr = resize8(coarse, (size, size), "bicubic-pillow")
        (folder / "hr" / f"{name}.png").write_bytes(encode_png(hr))
        lr = resize8(hr, (size // 8, size // 8), "bicubic-matlab")
        (folder / "lr" / f"{name}.png").write_bytes(encode_png(lr))
        for k, method in enumerate(methods):
            out = folder / "sr" / method
            out.mkdir(parents=True, exist_ok=True)
            noisy = np.clip(hr.astype(int) + rng.integers(-3 - k, 4 + k, hr.shape), 0, 255).astype(np.uint8)
            (out / f"{name}.png").write_bytes(encode_png(noisy))
    info: dict[str, Any] = {
        "format": FORMAT,
        "digest": "d" * 64,
        "protocol": {
            "name": "fake-x8",
            "version": 1,
            "degradation": {"kernel": "bicubic-matlab", "scale": [8], "quantize": True},
            "consistency": {"epsilon": 1e-3, "study": "refuse"},
            "study": {"raters": 40, "images": 40, "anchors": 20, "scale": [1, 5], "conditions": []},
        },
        "methods": [{"label": m} for m in methods],
        "metrics": {},
        "faces": [
            {"name": n, "path": str(folder / "hr" / f"{n}.png"), "sha256": "", "attributes": {}, "landmarks": None} for n in names
        ],
        "scales": [8],
    }
    (folder / "run.json").write_text(json.dumps(info))
    return load(folder)


def small_study(folder: Path, *, database: str | None = None, faces: int = 12, **options: Any) -> Study:
    """A study of 4 faces x (hr, bicubic, psp) = 12 rated trials and two anchors of each kind, for three raters, unless told otherwise."""
    run = fake_run(folder / "run", faces=faces)
    small = {"raters": 3, "images": 4, "anchors": 2, "gap": 2, "break_every": 0, "session_minutes": 0.0, "seed": 3}
    return create(run, folder / "study", options={**small, **options}, database=database)
