"""What a run is asked to do, and the keys that say whether a cell is still good."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facesr.bench.data.dataset import Dataset
from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.faces import Face
from facesr.bench.metrics.base import Metric, SetMetric
from facesr.bench.protocol import MetricSpec, Protocol
from facesr.bench.registry import MethodSpec, build_metric, code_digest
from facesr.bench.weights import with_fetch

WHOLE_SET = "*"
"""The image name of a score of the whole set."""


def digest(*parts: Any) -> str:
    """sha256 of values, as a short key (128 bits)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class MetricPlan:
    """A metric of the run, or the reason why it cannot score."""

    metric: Metric
    key: str
    missing: str = ""

    @property
    def name(self) -> str:
        """Its name in tables."""
        return self.metric.name

    @property
    def of_set(self) -> bool:
        """Whether it scores the set as a whole."""
        return isinstance(self.metric, SetMetric)


@dataclass(frozen=True)
class Plan:
    """Everything a run needs to know; made before any work starts."""

    protocol: Protocol
    data: Dataset
    methods: tuple[MethodSpec, ...]
    metrics: tuple[MetricPlan, ...]
    out: Path
    seed: int = 0
    device: str = "cpu"
    note: str = ""
    stamps: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """sha256 over protocol and faces."""
        faces = [(f.name, f.sha256) for f in self.data.faces]
        return hashlib.sha256(json.dumps([self.protocol.digest, faces]).encode()).hexdigest()

    def folder(self, kind: str, scale: int) -> Path:
        """``lr`` or ``sr/<label>``, with a sub-folder a scale where the protocol has several."""
        several = len(self.protocol.degradation.scale) > 1
        return self.out / kind / f"x{scale}" if several else self.out / kind

    def degradation_key(self, face: Face, scale: int) -> str:
        """What an LR image depends on."""
        d, data = self.protocol.degradation, self.protocol.data
        return digest("lr", face.sha256, d.kernel, d.quantize, scale, data.size, data.reduce)


def stamp(spec: MethodSpec) -> str:
    """What a method's identity depends on, found without importing it: code, parameters, and the weight files that lie about."""
    files = []
    for value in spec.params.values():
        path = Path(value) if isinstance(value, str) and value else None
        if path is not None and path.is_file():
            files.append((value, path.stat().st_size, path.stat().st_mtime_ns))
    return digest(
        spec.target, code_digest(spec.target), sorted(spec.params.items(), key=str), files, list(_weight_files(spec.target))
    )


def _weight_files(target: str) -> Iterator[tuple[str, int, int]]:
    root = Path(__file__).parents[2]
    folders = [Path(p) for p in os.environ.get("FACESR_WEIGHTS", "").split(os.pathsep) if p]
    folders.append(Path(os.environ.get("FACESR_CACHE", Path.home() / ".cache/facesr")) / "weights")
    module = target.rpartition(":")[0]
    if not module.endswith(".py"):
        folders.append(root.parent.joinpath(*module.split(".")[:3]) / "weights")
        folders.append(root / "methods/generators/weights")
    for folder in folders:
        for place, _, names in os.walk(folder):
            for name in sorted(names):
                facts = (Path(place) / name).stat()
                yield str(Path(place) / name), facts.st_size, facts.st_mtime_ns


def make_metrics(protocol: Protocol, specs: Sequence[MetricSpec]) -> tuple[MetricPlan, ...]:
    """Build the metrics with the protocol's conventions; missing weights are kept as the reason of their cells."""
    plans, problems = [], []
    for spec in specs:
        conventions = dict(spec.conventions)
        if spec.name.startswith("consistency"):
            conventions = {"kernel": protocol.degradation.kernel, "epsilon": protocol.consistency.epsilon, **conventions}
        try:
            metric = build_metric(spec.name, conventions)
        except FaceSRError as error:
            problems.append(str(error))
            continue
        try:
            weights, missing = with_fetch(lambda metric=metric: metric.weights), ""  # type: ignore[misc]
        except WeightsMissing as error:
            weights, missing = {}, str(error)
        plans.append(
            MetricPlan(metric, digest("metric", metric.name, metric.version, metric.conventions, conventions, weights), missing)
        )
    if problems:
        raise FaceSRError("; ".join(problems))
    return tuple(plans)
