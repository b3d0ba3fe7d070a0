"""Any metric of ``pyiqa``, where the user has installed it: it is large, and its licence is non-commercial, so it is no dependency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from facesr.bench.errors import FaceSRError, WeightsMissing, suggest
from facesr.bench.faces import U8, Batch
from facesr.bench.metrics.base import Metric, NoScore
from facesr.bench.metrics.network import batch_slices, device

REFUSED = ("fid", "inception_score")
"""Scores of whole folders, which pyiqa reads itself."""


class PyIQA(Metric):
    """A metric of pyiqa by its own name: ``[[metric]] name = "pyiqa"``, ``metric = "musiq"``. Its conventions and weights are pyiqa's."""

    digits, range = 3, (float("-inf"), float("inf"))
    source = "pyiqa"

    def __init__(self, *, metric: str = "") -> None:
        self.metric = metric
        self.name = f"pyiqa-{metric}" if metric else "pyiqa"
        self.label = f"{metric or 'a metric'} (pyiqa)"
        named = metric or "metric of the name given as metric"
        self.conventions = f"pyiqa's {named}, RGB in [0, 1], its own defaults and weights; non-commercial licence"
        self.better: bool | None = None
        if metric and (known := _configurations()) is not None:
            if metric not in known or metric.startswith(REFUSED):
                raise FaceSRError(f"pyiqa has no metric {metric!r} of single images: {suggest(metric, known)}")
            if known[metric].get("metric_mode") == "NR":
                self.compares_with = "nothing"
            self.better = not known[metric].get("lower_better", False)

    @property
    def higher_is_better(self) -> bool:  # type: ignore[override]
        """As pyiqa says of the metric."""
        return True if self.better is None else self.better

    @property
    def weights(self) -> dict[str, str]:
        if not self.metric:
            raise WeightsMissing("pyiqa needs the name of one of its metrics: set metric, as in metric = 'musiq'")
        if _configurations() is None:
            raise WeightsMissing(
                f"pyiqa is not installed, so {self.metric} cannot be had: pip install pyiqa (non-commercial licence)"
            )
        return {"pyiqa": _version()}

    def score(self, sr: U8, batch: Batch, reference: Any) -> Sequence[float | NoScore]:
        import torch

        net = _made(self.metric)
        values: list[float] = []
        with torch.inference_mode():
            for part in batch_slices(len(sr)):
                pair = [_unit(sr[part]), _unit(batch.hr[part])] if net.metric_mode == "FR" else [_unit(sr[part])]
                found = net(*pair)
                values += [float(v) for v in found.reshape(-1).tolist()]
        if len(values) != len(sr):
            raise FaceSRError(
                f"pyiqa's {self.metric} gave {len(values)} values for {len(sr)} images: it is no metric of single images"
            )
        return values


@dataclass(frozen=True)
class Named:
    """One line of the panel: pyiqa's name, how tables print it, and what network it is, fitted to what."""

    metric: str
    label: str
    backbone: str


PANEL = {
    "dists": Named("dists", "DISTS", "VGG16, fitted to KADID-10k (Ding et al. 2020)"),
    "pieapp": Named("pieapp", "PieAPP", "its own network (Prashnani et al. 2018)"),
    "topiq-fr": Named("topiq_fr", "TOPIQ-FR", "ResNet-50, fitted to KADID-10k (Chen et al. 2024)"),
    "topiq-nr": Named("topiq_nr", "TOPIQ-NR", "ResNet-50, fitted to KonIQ-10k (Chen et al. 2024)"),
    "topiq-nr-face": Named("topiq_nr-face", "TOPIQ-NR (faces)", "ResNet-50, fitted to CGFIQA, faces (Chen et al. 2024)"),
    "musiq": Named("musiq", "MUSIQ", "multi-scale transformer, fitted to KonIQ-10k (Ke et al. 2021)"),
    "clip-iqa": Named("clipiqa", "CLIP-IQA", "CLIP ResNet-50, not fitted to ratings (Wang et al. 2023)"),
    "clip-iqa-plus": Named("clipiqa+", "CLIP-IQA+", "CLIP ResNet-50, prompts fitted to KonIQ-10k (Wang et al. 2023)"),
    "maniqa": Named("maniqa", "MANIQA", "ViT-B/8, fitted to KonIQ-10k (Yang et al. 2022)"),
    "q-align": Named("qalign", "Q-Align", "mPLUG-Owl2, a language model of 8 billion parameters (Wu et al. 2023)"),
    "niqe-pyiqa": Named("niqe", "NIQE (pyiqa)", "no network; pyiqa's own port, other numbers than MATLAB's"),
    "niqe-matlab-pyiqa": Named("niqe_matlab", "NIQE (pyiqa, MATLAB)", "no network; pyiqa's port of MATLAB's"),
}
"""The metrics of pyiqa that have a name of their own here; any other is ``pyiqa`` with its name as a convention."""


def panel(name: str) -> PyIQA:
    """The metric ``name`` of ``PANEL``."""
    made = PyIQA(metric=PANEL[name].metric)
    made.name, made.label = name, PANEL[name].label
    made.conventions = f"{PANEL[name].backbone}; pyiqa {_version()}, its own defaults and weights; non-commercial licence"
    return made


dists = partial(panel, "dists")
pieapp = partial(panel, "pieapp")
topiq_fr = partial(panel, "topiq-fr")
topiq_nr = partial(panel, "topiq-nr")
topiq_nr_face = partial(panel, "topiq-nr-face")
musiq = partial(panel, "musiq")
clip_iqa = partial(panel, "clip-iqa")
clip_iqa_plus = partial(panel, "clip-iqa-plus")
maniqa = partial(panel, "maniqa")
q_align = partial(panel, "q-align")
niqe_pyiqa = partial(panel, "niqe-pyiqa")
niqe_matlab_pyiqa = partial(panel, "niqe-matlab-pyiqa")


def _unit(images: U8) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(images)).to(device()).permute(0, 3, 1, 2).float() / 255


@cache
def _configurations() -> dict[str, Any] | None:
    """What pyiqa knows of its metrics; None where it is not installed."""
    try:
        from pyiqa.default_model_configs import DEFAULT_CONFIGS
    except ImportError:
        return None
    return dict(DEFAULT_CONFIGS)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pyiqa")
    except PackageNotFoundError:
        return "unknown version"


def _made(metric: str) -> Any:
    """pyiqa's metric. Raises ``WeightsMissing`` where it cannot be made here; that is tried once per process, since pyiqa waits for a network."""
    found = _tried(metric)
    if isinstance(found, str):
        raise WeightsMissing(found)
    return found


@cache
def _tried(metric: str) -> Any:
    import pyiqa

    try:
        return pyiqa.create_metric(metric, device=device())
    except ImportError as error:
        return f"pyiqa's {metric} needs another package ({error}): install it beside pyiqa"
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return f"pyiqa cannot make {metric} here ({first}): its weights must be where it looks for them"
