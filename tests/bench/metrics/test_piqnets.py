"""DISTS by piq's code on weights found here: the authors' own code's values, and weights that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models.vgg import cfgs, make_layers

from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.faces import Batch, Face
from facesr.bench.metrics import piqnets
from facesr.bench.registry import build_metric

KNOWN = (0.0286371, 0.0279608)


def made(folder: Path) -> tuple[Path, Path]:
    """Pseudo-random VGG16 features and alpha, beta."""
    drawn = torch.Generator().manual_seed(0)
    state = {
        f"features.{key}": torch.randn(value.shape, generator=drawn) * (2 / value[0].numel()) ** 0.5
        if value.ndim == 4
        else value * 0
        for key, value in make_layers(cfgs["D"]).state_dict().items()
    }
    torch.save(state, folder / "vgg16.pth")
    torch.save({key: torch.rand(1, 1475, 1, 1, generator=drawn) for key in ("alpha", "beta")}, folder / "weights.pt")
    return folder / "vgg16.pth", folder / "weights.pt"


def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    hr = rng.integers(0, 256, (2, 48, 48, 3), np.uint8)
    return hr, np.clip(hr.astype(int) + rng.integers(-60, 61, hr.shape), 0, 255).astype(np.uint8)


def test_dists_equals_its_authors_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded from DISTS_pytorch 0.1 (dingkeyan93/DISTS) on the same weights and images."""
    trunk, heads = made(tmp_path)
    monkeypatch.setattr(piqnets.Dists, "network", lambda self: piqnets._dists(trunk, heads))
    hr, sr = pair()
    batch = Batch(tuple(Face(str(i), Path(), "") for i in range(2)), hr)
    metric = build_metric("dists-piq")
    assert metric.score(sr, batch, None) == pytest.approx(KNOWN, abs=1e-5)
    assert metric.score(hr, batch, None) == pytest.approx([0.0, 0.0], abs=1e-6)


def test_weights_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trunk, heads = made(tmp_path)
    torch.save({"alpha": torch.ones(3), "beta": torch.ones(1475)}, tmp_path / "other.pt")
    with pytest.raises(FaceSRError, match="no weights of DISTS: alpha and beta of 1,475 numbers each"):
        piqnets._dists(trunk, tmp_path / "other.pt")
    with pytest.raises(FaceSRError, match=r"PieAPP network|holds no PieAPP"):
        piqnets._pieapp(heads)
    for variable in ("FACESR_WEIGHTS", "FACESR_CACHE", "TORCH_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "nothing"))
    with pytest.raises(WeightsMissing, match=r"PieAPPv0\.1\.pth"):
        _ = build_metric("pieapp-piq").weights
    assert build_metric("pieapp-piq").skip(32) == "PieAPP's patches have 64 pixels a side, these images 32"
