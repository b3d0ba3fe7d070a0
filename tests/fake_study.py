"""A small run folder with the layout of facesr.bench.results, and studies made from it: no model, no weights, a second of work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from facesr.bench.imaging import encode_png
from facesr.bench.results import COLUMNS, FORMAT, Run, load_run
from facesr.bench.study import Study
from facesr.bench.study.create import create


def fake_run(
    folder: Path, faces: int = 12, methods: tuple[str, ...] = ("bicubic", "psp"), size: int = 64, scores: bool = True
) -> Run:
    """``faces`` smooth colour patterns, LR at x8 by box averages, and for each method another distortion of the HR image.

    ``scores=False`` leaves the run's consistency scores out, so that they must be measured.
    """
    rng = np.random.default_rng(7)
    names = [f"{k:06d}" for k in range(faces)]
    for part in ("hr", "lr", *(f"sr/{m}" for m in methods)):
        (folder / part).mkdir(parents=True)
    rows = []
    ramp = np.linspace(0, 1, size)
    for name in names:
        corners = rng.uniform(0, 255, (2, 2, 3))
        across = corners[:, 0, None] * (1 - ramp[:, None]) + corners[:, 1, None] * ramp[:, None]
        smooth = across[0][None] * (1 - ramp[:, None, None]) + across[1][None] * ramp[:, None, None]
        hr = (smooth + 0.5).astype(np.uint8)
        lr = (_box(hr) + 0.5).astype(np.uint8)
        (folder / "hr" / f"{name}.png").write_bytes(encode_png(hr))
        (folder / "lr" / f"{name}.png").write_bytes(encode_png(lr))
        for k, method in enumerate(methods):
            sr = np.clip(hr.astype(int) + rng.integers(-3 - k, 4 + k, hr.shape), 0, 255).astype(np.uint8)
            (folder / "sr" / method / f"{name}.png").write_bytes(encode_png(sr))
            rows.append((name, method, 8, "consistency", float((((_box(sr) - lr) / 255) ** 2).mean()), "ok", "", np.nan, np.nan, 1))
        rows.append((name, "hr", 8, "consistency", float((((_box(hr) - lr) / 255) ** 2).mean()), "ok", "", np.nan, np.nan, 1))
    info: dict[str, Any] = {
        "format": FORMAT,
        "digest": "d" * 64,
        "protocol": {
            "name": "fake-x8",
            "version": 1,
            "degradation": {"kernel": "box", "scale": [8], "quantize": True},
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
    if scores:
        import pandas as pd

        pd.DataFrame(rows, columns=list(COLUMNS)).to_parquet(folder / "scores.parquet", index=False)
    return load_run(folder)


def _box(image: Any) -> Any:
    """Average over 8 x 8 blocks."""
    size = image.shape[0] // 8
    return image.reshape(size, 8, size, 8, 3).astype(float).mean((1, 3))


def small_study(folder: Path, *, database: str | None = None, faces: int = 12, **options: Any) -> Study:
    """A study of 4 faces x (hr, bicubic, psp) = 12 rated trials and two anchors of each kind, for three raters, by default."""
    run = fake_run(folder / "run", faces=faces)
    small: dict[str, Any] = {"raters": 3, "images": 4, "anchors": 2, "gap": 2, "break_every": 0, "session_minutes": 0.0, "seed": 3}
    if options.get("method") == "pair":  # pairs have no examples
        del small["anchors"]
    return create(run, folder / "study", options={**small, **options}, database=database)
