"""A run folder made up as facesr.bench.results documents it: random pictures, scores with failures of every kind."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facesr.bench.imaging import write_png
from facesr.bench.results import FORMAT
from facesr.bench.study.design import with_digest

CITE = {"psp": "richardson2021encoding", "pulse": "menon2020pulse", "fsrnet": "chen2018fsrnet", "mine": "me2026"}
METHODS = ("bicubic", "nearest", "fsrnet", "pix2pixhd", "pulse", "psp")
METRICS: dict[str, dict[str, Any]] = {
    "psnr": {"label": "PSNR", "higher_is_better": True, "unit": "dB", "digits": 2, "conventions": "RGB, no border"},
    "ssim": {"label": "SSIM", "higher_is_better": True, "unit": "", "digits": 3, "conventions": "RGB, Gaussian 11x11"},
    "lpips-squeeze": {"label": "LPIPS", "higher_is_better": False, "unit": "", "digits": 3, "conventions": "SqueezeNet 1.1, v0.1"},
    "identity-sface": {"label": "ID", "higher_is_better": True, "unit": "", "digits": 3, "conventions": "SFace, HR landmarks"},
    "consistency": {"label": "ε", "higher_is_better": False, "unit": "", "digits": 5, "conventions": "MSE of D(SR) against LR"},
    "consistency-pass": {"label": "within ε", "higher_is_better": True, "unit": "", "digits": 3, "conventions": "share ≤ 1e-3"},
}
LEVEL = {"psnr": 23.0, "ssim": 0.65, "lpips-squeeze": 0.3, "identity-sface": 0.5, "consistency": 5e-4, "consistency-pass": 0.9}


def picture(seed: int, size: int = 128) -> np.ndarray:
    """A blob of a face, different for every seed: smooth, so that a blur of it looks like one."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / (size - 1) - 0.5
    out = np.empty((size, size, 3))
    skin = rng.uniform(0.45, 0.85)
    for c in range(3):
        out[..., c] = rng.uniform(0.1, 0.5) + 0.15 * x * rng.normal()
        out[..., c][(x / 0.3) ** 2 + (y / 0.42) ** 2 < 1] = skin * (1, 0.8, 0.7)[c]
    for side in (-0.12, 0.12):
        out[((x - side) / 0.05) ** 2 + ((y + 0.08) / 0.03) ** 2 < 1] = rng.uniform(0, 0.3, 3)
    out[(x / 0.1) ** 2 + ((y - 0.2) / 0.025) ** 2 < 1] = (0.6, 0.2, 0.25)
    out += rng.normal(0, 0.01, out.shape)
    return (out.clip(0, 1) * 255).astype(np.uint8)


def _scores(
    faces: list[str], methods: tuple[str, ...], scales: tuple[int, ...], metrics: dict[str, Any], seed: int
) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    parts = []
    for scale in scales:
        for m, method in enumerate(methods):
            for name, fact in metrics.items():
                level = LEVEL.get(name, 1.0)
                better = 1 if fact["higher_is_better"] else -1
                spread = 0.08 * level * rng.normal(size=len(faces))
                value = level * (1 + better * (0.05 * m - 0.06 * np.log2(scale))) + spread
                parts.append(
                    pd.DataFrame(
                        {
                            "image": faces,
                            "method": method,
                            "scale": scale,
                            "metric": name,
                            "value": np.abs(value),
                            "status": "ok",
                            "reason": "",
                            "low": np.nan,
                            "high": np.nan,
                            "n": 1,
                            "seconds": 0.01 * (m + 1),
                        }
                    )
                )
    return pd.concat(parts, ignore_index=True)


def make_run(
    folder: Path,
    *,
    faces: int = 8,
    methods: tuple[str, ...] = METHODS,
    scales: tuple[int, ...] = (8,),
    metrics: dict[str, Any] | None = None,
    images: bool = True,
    seed: int = 0,
    digest: str = "d" * 64,
) -> Path:
    """Write run.json, scores.parquet and (where ``images``) lr/, sr/ and hr pictures; some cells fail, each in its own way."""
    metrics = METRICS if metrics is None else metrics
    names = [f"{i:06d}" for i in range(faces)]
    folder.mkdir(parents=True, exist_ok=True)
    frame = _scores(names, methods, scales, metrics, seed)
    if "pulse" in methods and faces >= 4:  # its search missed ε on two faces, and one face was not found in SR
        at = frame.image.isin(names[:2]) & (frame.method == "pulse") & ~frame.metric.str.startswith("consistency")
        frame.loc[at, ["status", "reason"]] = ["not_converged", "ε = 2.1e-3 after 100 steps"]
        lost = (frame.image == names[3]) & (frame.method == "pulse") & (frame.metric == "identity-sface")
        frame.loc[lost, ["value", "status", "reason"]] = [np.nan, "no_face", "no face was found in the SR image"]
    frame.to_parquet(folder / "scores.parquet")
    rng = np.random.default_rng(seed)
    info: dict[str, Any] = {
        "format": FORMAT,
        "protocol": {
            "name": "celebahq-x8-128",
            "version": 1,
            "data": {"dataset": "celeba-hq", "split": "test", "size": 128, "reduce": "box"},
            "degradation": {"kernel": "bicubic-matlab", "scale": list(scales), "quantize": True},
            "consistency": {"epsilon": 1e-3},
            "metrics": [{"name": n, "conventions": {}} for n in metrics],
        },
        "digest": digest,
        "title": "celebahq-x8-128@1",
        "state": "finished",
        "data": {"name": "celeba-hq", "faces": faces, "total": 2824, "note": ""},
        "methods": [
            {
                "label": m,
                "target": f"facesr.methods.{m}:M",
                "params": {},
                "code": "c0de",
                "weights": _weights(m),
                "terms": "",
                "cite": CITE.get(m, ""),
            }
            for m in methods
        ],
        "metrics": {n: {"range": [0, 1], "source": "", "weights": {}, "of_set": False, **f} for n, f in metrics.items()},
        "faces": [
            {
                "name": n,
                "path": str(folder / "hr" / f"{n}.png"),
                "sha256": f"{i:064x}",
                "attributes": {"gender": "female" if i % 2 else "male", "age": str(int(rng.integers(18, 60)))},
                "landmarks": None,
            }
            for i, n in enumerate(names)
        ],
        "scales": list(scales),
        "environment": {"processor": "a test", "python": "3.11"},
        "calls": [{"started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:01:00+00:00"}],
        "seed": seed,
    }
    if images:
        _pictures(folder, names, methods, scales)
        for face in info["faces"]:  # HR is shown as it was measured: the file has the sha256 that was noted
            face["sha256"] = hashlib.sha256((folder / "hr" / f"{face['name']}.png").read_bytes()).hexdigest()
    (folder / "run.json").write_text(json.dumps(info), encoding="utf-8")
    return folder


def _weights(method: str) -> dict[str, str]:
    plain = method in ("bicubic", "nearest")
    return {} if plain else {f"{method}.safetensors": hashlib.sha256(method.encode()).hexdigest()}


def _pictures(folder: Path, names: list[str], methods: tuple[str, ...], scales: tuple[int, ...]) -> None:
    for i, name in enumerate(names):
        hr = picture(i)
        (folder / "hr").mkdir(exist_ok=True)
        write_png(folder / "hr" / f"{name}.png", hr)
        for scale in scales:
            sub = f"x{scale}" if len(scales) > 1 else ""
            lr = hr.reshape(128 // scale, scale, 128 // scale, scale, 3).mean(axis=(1, 3)).astype(np.uint8)
            (folder / "lr" / sub).mkdir(parents=True, exist_ok=True)
            write_png(folder / "lr" / sub / f"{name}.png", lr)
            up = lr.repeat(scale, axis=0).repeat(scale, axis=1)
            for m, method in enumerate(methods):
                (folder / "sr" / method / sub).mkdir(parents=True, exist_ok=True)
                share = (m + 1) / (len(methods) + 1)
                sr = (share * hr + (1 - share) * up).astype(np.uint8)
                write_png(folder / "sr" / method / sub / f"{name}.png", sr)


MEANS = {"hr": 3.9, "nearest": 1.1, "bicubic": 1.5, "fsrnet": 2.8, "pix2pixhd": 3.3, "pulse": 3.55, "psp": 3.7}


def make_study(
    folder: Path, *, raters: int = 12, faces: int = 8, means: dict[str, float] | None = None, seed: int = 0, repeats: int = 0
) -> Path:
    """An imported study: ratings of every face in every condition, with rater, face and interaction effects."""
    means = MEANS if means is None else means
    rng = np.random.default_rng(seed)
    names = [f"{i:06d}" for i in range(faces)]
    rater, face = rng.normal(0, 0.4, raters), rng.normal(0, 0.3, faces)
    rows = []
    for c, (condition, mean) in enumerate(means.items()):
        own, looks = rng.normal(0, 0.3, raters), rng.normal(0, 0.3, faces)
        for r in range(raters):
            for f, name in enumerate(names):
                kinds = ["main"] + (["repeat"] if c == 0 and f < repeats else [])
                for kind in kinds:
                    score = mean + rater[r] + face[f] + own[r] + looks[f] + rng.normal(0, 0.8)
                    rows.append((f"r{r:03d}", name, condition, kind, float(np.clip(round(score), 1, 5))))
    table = pd.DataFrame(rows, columns=["rater", "face", "condition", "kind", "score"])
    table["position"] = table.groupby("rater").cumcount() + 1
    table = table.assign(
        other="", rt_ms=1500.0, at="2026-01-01T00:00:00+00:00", simulated=False, first_score=table["score"], revisions=0
    )
    folder.mkdir(parents=True, exist_ok=True)
    table.to_parquet(folder / "ratings.parquet")
    info = with_digest({"format": 1, "kind": "import", "name": folder.name, "scale": [1, 5]})
    (folder / "study.json").write_text(json.dumps(info), encoding="utf-8")
    return folder
