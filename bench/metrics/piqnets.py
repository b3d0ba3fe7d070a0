"""DISTS and PieAPP as the package ``piq`` computes them, on weights found and checked here: nothing is downloaded by piq, nothing unpickled."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from facesr.bench.errors import FaceSRError
from facesr.bench.faces import U8, Batch
from facesr.bench.metrics.base import Metric, NoScore
from facesr.bench.metrics.network import batch_slices, device, exactly
from facesr.bench.weights import find_weight, load_tensors, weight_sha256

LAYERS = ("3", "8", "15", "22", "29")
"""ReLU 1_2, 2_2, 3_3, 4_3 and 5_3 in torchvision's VGG16."""
CHANNELS = (3, 64, 128, 256, 512, 512)
PATCH = 64
"""Side of PieAPP's patches in pixels."""


class _PiqNetwork(Metric):
    higher_is_better, digits, range = False, 4, (0.0, float("inf"))
    needed: ClassVar[tuple[str, ...]] = ()

    @property
    def weights(self) -> dict[str, str]:
        return {name: weight_sha256(find_weight(name)) for name in self.needed}

    def network(self) -> Any:
        """piq's module, filled."""
        raise NotImplementedError

    def score(self, sr: U8, batch: Batch, reference: Any) -> Sequence[float | NoScore]:
        import torch

        net = self.network()
        values: list[float] = []
        with exactly():
            for part in batch_slices(len(sr)):
                pair = [
                    torch.from_numpy(np.ascontiguousarray(x[part])).to(device()).permute(0, 3, 1, 2).float() / 255
                    for x in (sr, batch.hr)
                ]
                values += [float(v) for v in net(*pair).reshape(-1).tolist()]
        return values


class Dists(_PiqNetwork):
    """Deep image structure and texture similarity (Ding et al. 2020): 0 is the same image."""

    name, label = "dists-piq", "DISTS"
    conventions = "piq's code, VGG16 by torchvision, the authors' weights; RGB in [0, 1], images of up to 256 pixels as they are"
    source = "DISTS_pytorch by its authors (equal within 1e-6 on pseudo-random VGG16 weights)"
    needed = ("vgg16", "dists")

    def network(self) -> Any:
        return _dists(find_weight("vgg16"), find_weight("dists"))


class PieApp(_PiqNetwork):
    """PieAPP (Prashnani et al. 2018): perceptual error of 64-pixel patches, 27 pixels apart; 0 is the same image."""

    name, label, digits = "pieapp-piq", "PieAPP", 3
    conventions = "piq's code and the authors' weights v0.1; RGB, patches of 64 pixels every 27"
    source = "piq"
    needed = ("pieapp",)

    def skip(self, size: int) -> str | None:
        return f"PieAPP's patches have {PATCH} pixels a side, these images {size}" if size < PATCH else None

    def network(self) -> Any:
        return _pieapp(find_weight("pieapp"))


@cache
def _dists(trunk: Path, heads: Path) -> Any:
    import piq
    import torch
    from torchvision.models.vgg import cfgs, make_layers

    from facesr.bench.networks.lpips import load_features

    features = make_layers(cfgs["D"])  # VGG16 without its classifier, half a gigabyte that nothing here uses
    load_features(features, load_tensors(trunk), "vgg16 of torchvision")
    held = load_tensors(heads)
    both = [held.get("alpha"), held.get("beta")]
    if any(not isinstance(x, torch.Tensor) or x.numel() != sum(CHANNELS) or not bool(torch.isfinite(x).all()) for x in both):
        raise FaceSRError(f"{heads} are no weights of DISTS: alpha and beta of {sum(CHANNELS):,} numbers each are asked for")
    total = sum(x.float().sum() for x in both if x is not None)  # as the authors' code normalises them
    split = [p for x in both if x is not None for p in torch.split(x.float().reshape(1, -1, 1, 1) / total, list(CHANNELS), dim=1)]
    net = piq.DISTS.__new__(piq.DISTS)  # its constructor would download both files
    piq.ContentLoss.__init__(
        net, features, LAYERS, split, replace_pooling=True, reduction="none", allow_layers_weights_mismatch=True
    )
    return net.eval().requires_grad_(False).to(device())


@cache
def _pieapp(file: Path) -> Any:
    import piq
    import torch
    from piq.pieapp import PieAPPModel

    from facesr.bench.networks.checkpoints import find_state, load_strictly

    state = dict(find_state(load_tensors(file), ("conv1.",), file.name, "PieAPP network").tensors)
    last = state.get("ref_score_subtract.weight")
    if isinstance(last, torch.Tensor) and last.ndim == 1:
        state["ref_score_subtract.weight"] = last.unsqueeze(1)  # the published file's one bug, mended as piq does
    model = PieAPPModel()
    load_strictly(model, state, f"{file.name}, as PieAPP")
    net = piq.PieAPP.__new__(piq.PieAPP)  # its constructor would download the file
    torch.nn.Module.__init__(net)
    net.model = model.eval().requires_grad_(False).to(device())
    net.data_range, net.reduction, net.stride, net.enable_grad = 1.0, "none", 27, False
    return net
