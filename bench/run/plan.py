"""What a run is asked to do: checked as a whole before any work starts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facesr.bench.code import code_digest
from facesr.bench.data.dataset import Dataset, chosen, find
from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.faces import Face
from facesr.bench.metrics.base import Metric, SetMetric
from facesr.bench.protocol import MetricSpec, Protocol
from facesr.bench.registry import MethodSpec, build_metric, metric_target, parse_metric
from facesr.bench.results import MethodInfo, MetricInfo
from facesr.bench.run.keys import content, contents, digest
from facesr.bench.weights import with_fetch


@dataclass(frozen=True)
class MetricPlan:
    """A metric of the run: how a worker makes it (name and conventions), the key of its code, conventions and weights.

    ``missing``: the reason where it cannot score because a weight file is not here.
    """

    metric: Metric
    spec: MetricSpec
    key: str
    weights: Mapping[str, str]
    missing: str = ""

    @property
    def name(self) -> str:
        """Its name in tables."""
        return self.metric.name

    @property
    def of_set(self) -> bool:
        """Whether it scores the set as a whole."""
        return isinstance(self.metric, SetMetric)

    @property
    def info(self) -> MetricInfo:
        """What ``run.json`` says of it."""
        metric = self.metric
        low, high = metric.range
        return MetricInfo(
            label=metric.label or metric.name, higher_is_better=metric.higher_is_better, unit=metric.unit, digits=metric.digits,
            range=(_finite(low), _finite(high)), conventions=metric.conventions, source=metric.source, weights=dict(self.weights),
            of_set=self.of_set, share=metric.share,
        )  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """Everything a run needs to know. ``kept``: methods of an earlier call whose images stay as they are (see ``start``).

    ``labels``: of all methods whose images are scored, in the order of the tables. ``shard``: which part of the faces this is, as in
    ``3/16`` ('' for all of them), and ``whole`` then the digest of the whole.
    """

    protocol: Protocol
    data: Dataset
    methods: tuple[MethodSpec, ...]
    metrics: tuple[MetricPlan, ...]
    out: Path
    seed: int = 0
    device: str = "cpu"
    kept: tuple[MethodInfo, ...] = ()
    labels: tuple[str, ...] = ()
    shard: str = ""
    whole: str = ""

    @property
    def digest(self) -> str:
        """sha256 over protocol and faces (all of the set's, where this is a shard of it)."""
        return self.whole or run_digest(self.protocol, [(f.name, f.sha256) for f in self.data.faces])

    @property
    def scales(self) -> tuple[int, ...]:
        """The protocol's downscaling factors."""
        return self.protocol.degradation.scale

    @property
    def size(self) -> int:
        """Side of HR and SR in pixels."""
        return self.protocol.data.size

    def folder(self, kind: str, scale: int) -> Path:
        """``lr`` or ``sr/<label>``, with a sub-folder per scale where the protocol has several."""
        return self.out / kind / f"x{scale}" if len(self.scales) > 1 else self.out / kind

    def degradation_key(self, face: Face, scale: int) -> str:
        """What an LR image depends on."""
        d, data = self.protocol.degradation, self.protocol.data
        return digest("lr", face.sha256, d.kernel, d.quantize, scale, data.size, data.reduce)


def run_digest(protocol: Protocol, faces: Sequence[tuple[str, str]]) -> str:
    """sha256 over a protocol and the names and sha256 of the faces, in order of name."""
    return hashlib.sha256(json.dumps([protocol.digest, sorted(faces)]).encode()).hexdigest()


def make_plan(
    protocol: Protocol,
    methods: Sequence[MethodSpec],
    out: Path | str,
    *,
    data: str | None = None,
    metrics: Sequence[str] = (),
    limit: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    shard: str = "",
) -> Plan:
    """Check a request as a whole before any work starts.

    ``data``: a folder, or the name of a prepared data set, in place of the protocol's. ``metrics``: names in place of the protocol's.
    ``limit``: the first faces only.
    ``shard``: ``3/16`` takes the third of sixteen parts of the faces; ``facesr.bench.run.merge`` puts the parts together.
    """
    found = (
        chosen(data, protocol.data.size)
        if data is not None
        else find(protocol.data.dataset, protocol.data.split, protocol.data.size)
    )
    if data is not None:
        protocol = protocol.with_data(f"folder:{found.name}")
    if limit is not None:
        if limit < 1:
            raise FaceSRError(f"--limit {limit}: give at least one face")
        found = found.only(found.faces[:limit])
    if not methods:
        raise FaceSRError("no methods: name some with --methods, as in --methods bicubic,nearest")
    specs = tuple(protocol.metrics) if not metrics else tuple(_metric_spec(text, protocol) for text in metrics)
    if metrics:
        protocol = replace(protocol, metrics=specs)
    labels = tuple(m.label for m in methods)
    plan = Plan(protocol, found, tuple(methods), make_metrics(protocol, specs), Path(out), seed, device, labels=labels)
    return _part(plan, shard) if shard else plan


def _part(plan: Plan, shard: str) -> Plan:
    first, slash, count = shard.partition("/")
    if not (slash and first.isdigit() and count.isdigit() and 1 <= int(first) <= int(count)):
        raise FaceSRError(f"--shard {shard}: write it as 3/16, the third of sixteen parts")
    faces = plan.data.faces[int(first) - 1 :: int(count)]
    if not faces:
        raise FaceSRError(f"--shard {shard}: there are only {len(plan.data.faces)} faces; use at most as many shards")
    name = f"{int(first)}/{int(count)}"
    return replace(plan, data=plan.data.only(faces), shard=name, whole=plan.digest)


def _metric_spec(text: str, protocol: Protocol) -> MetricSpec:
    """``psnr`` (with the protocol's conventions, if it names it) or ``psnr?border=4``."""
    name, given = parse_metric(text)
    known: dict[str, Any] = next((dict(m.conventions) for m in protocol.metrics if m.name == name), {})
    return MetricSpec(name, known | given)


def make_metrics(protocol: Protocol, specs: Sequence[MetricSpec]) -> tuple[MetricPlan, ...]:
    """Build the metrics with the protocol's conventions; missing weights are kept as the reason of their cells."""
    plans, problems = [], []
    for spec in specs:
        try:
            plans.append(_metric_plan(protocol, spec))
        except FaceSRError as error:
            problems.append(str(error))
    if problems:
        raise FaceSRError("; ".join(problems))
    return tuple(plans)


def _metric_plan(protocol: Protocol, spec: MetricSpec) -> MetricPlan:
    plain = protocol.as_dict()
    values = {f"{room}.{key}": value for room in ("data", "degradation", "consistency") for key, value in plain[room].items()}
    metric = build_metric(spec.name, spec.conventions, values)
    from_protocol = {name: values[place] for name, place in metric.from_protocol.items()}
    spec = MetricSpec(spec.name, {**from_protocol, **spec.conventions})
    try:
        weights, missing = with_fetch(lambda: metric.weights), ""
    except WeightsMissing as error:
        weights, missing = {}, str(error)
    code = code_digest(metric_target(spec.name))
    key = digest("metric", code, metric.name, metric.version, metric.conventions, content(spec.conventions), contents(weights))
    return MetricPlan(metric, spec, key, weights, missing)


def _finite(value: float) -> float | None:
    return value if abs(value) != float("inf") else None
