"""What a run is asked to do: checked as a whole before any work starts."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from facesr.bench.code import code_digest
from facesr.bench.data.attributes import with_attributes
from facesr.bench.data.dataset import Dataset, chosen, find_dataset
from facesr.bench.data.own import kernel_problem, own_faces, scale_of, side_of
from facesr.bench.data.pairing import rule_of
from facesr.bench.errors import FaceSRError, Problems, WeightsMissing, some
from facesr.bench.faces import Face
from facesr.bench.imaging.lowres import NPY, lr_suffix
from facesr.bench.metrics.base import Metric, SetMetric
from facesr.bench.protocol import MetricSpec, Protocol
from facesr.bench.registry import MethodSpec, build_metric, metric_target, parse_metric
from facesr.bench.results import FaceInfo, MethodInfo, MetricInfo, face_problem
from facesr.bench.run.device import gpus
from facesr.bench.run.keys import content, contents, digest
from facesr.bench.run.place import check_place, checked_method
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
    as_asked: str = ""
    """Its name with its conventions (``psnr?border=4``), where the run has another metric of its plain name."""

    @property
    def name(self) -> str:
        """Its name in tables."""
        return self.as_asked or self.metric.name

    @property
    def label(self) -> str:
        """How tables print it."""
        plain, own = self.metric.label or self.metric.name, self.as_asked.partition("?")[2]
        return f"{plain} ({own.replace('&', ', ')})" if own else plain

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
            label=self.label, higher_is_better=metric.higher_is_better, unit=metric.unit, digits=metric.digits,
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
        return self.whole or run_digest(self.protocol, [identity_of(f) for f in self.data.faces])

    @property
    def scales(self) -> tuple[float, ...]:
        """The protocol's downscaling factors."""
        return self.protocol.degradation.scale

    @property
    def size(self) -> int:
        """Side of HR and SR in pixels."""
        return self.protocol.data.size

    @property
    def leftovers(self) -> list[str]:
        """What of the data folder is not used."""
        unused = self.data.unused
        files = [f"{len(unused)} files of the data folder are no faces: {some(unused)}"] if unused else []
        return [*files, *self.data.said]

    def folder(self, kind: str, scale: float) -> Path:
        """``lr`` or ``sr/<label>``, with a sub-folder per scale where the protocol has several."""
        return self.out / kind / f"x{scale}" if len(self.scales) > 1 else self.out / kind

    def lr_file(self, face: str, scale: float) -> Path:
        """Where the LR image of a face lies."""
        return self.folder("lr", scale) / f"{face}{lr_suffix(self.protocol.degradation.quantize)}"

    def degradation_key(self, face: Face, scale: float) -> str:
        """What an LR image depends on."""
        d, data = self.protocol.degradation, self.protocol.data
        if face.lr is not None:
            return digest("own lr", face.lr_sha256, scale, data.size)
        return digest("lr", face.sha256, d.kernel, d.quantize, scale, data.size, data.reduce)


def identity_of(face: Face | FaceInfo) -> tuple[str, ...]:
    """What of a face enters a run's digest: its name and the sha256 of its files."""
    return (face.name, face.sha256, face.lr_sha256) if face.lr_sha256 else (face.name, face.sha256)


def run_digest(protocol: Protocol, faces: Sequence[tuple[str, ...]]) -> str:
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
    attributes: str | None = None,
    elsewhere: bool = False,
) -> Plan:
    """Check a request as a whole before any work starts: faces, metrics, device, the run folder and the disk it lies on, in one sentence.

    ``data``: a folder, or the name of a prepared data set, in place of the protocol's. ``metrics``: names in place of the protocol's.
    ``limit``: the first faces only.
    ``shard``: ``3/16`` takes the third of sixteen parts of the faces; ``merge_shards`` puts the parts together.
    ``attributes``: a CSV of the faces' attributes, see ``facesr.bench.data.attributes``.
    ``elsewhere``: a cluster computes, so that this machine need not have ``device``.
    """
    problems = Problems()
    found = problems.step(lambda: _asked_faces(protocol, data, attributes, limit))
    protocol = found[0] if found else protocol
    specs = tuple(protocol.metrics) if not metrics else tuple(_metric_spec(text, protocol) for text in metrics)
    if metrics:
        protocol = replace(protocol, metrics=specs)
    made = problems.step(lambda: make_metrics(protocol, specs))
    problems.step(lambda: check_place(Path(out), protocol.data.size, len(found[1].faces) * len(methods) if found else 0))
    problems.step(lambda: _some_methods(methods))
    if problems.found:
        if not elsewhere:
            problems.step(lambda: gpus(device))
        _check_methods(problems, methods, protocol, found[1] if found else None, seed, device)
        problems.besides(f"metric {m.name}: {m.missing}" for m in made or () if m.missing)
    problems.report()
    assert found is not None
    assert made is not None
    values = protocol.values
    plan = Plan(
        protocol,
        found[1],
        tuple(m.under(values) for m in methods),
        made,
        Path(out),
        seed,
        device,
        labels=tuple(m.label for m in methods),
    )
    return _part(plan, shard) if shard else plan


def _check_methods(
    problems: Problems, methods: Sequence[MethodSpec], protocol: Protocol, data: Dataset | None, seed: int, device: str
) -> None:
    """What is wrong with methods, and which weights are missing; where nothing else is wrong, ``start`` reports it, and the device."""
    for spec in methods:
        problems.besides(problems.step(partial(checked_method, spec, protocol, data, seed, device)) or ())


def _some_methods(methods: Sequence[MethodSpec]) -> None:
    if not methods:
        raise FaceSRError("no methods: name some with --methods, as in --methods bicubic,nearest")


def _asked_faces(protocol: Protocol, data: str | None, attributes: str | None, limit: int | None) -> tuple[Protocol, Dataset]:
    if limit is not None and limit < 1:
        raise FaceSRError(f"--limit {limit}: give at least one face")
    protocol, found = _faces(protocol, data)
    if attributes is not None:
        found = with_attributes(found, Path(attributes))
    if wrong := [problem for face in found.faces if (problem := face_problem(face.name))]:
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        raise FaceSRError(f"{'; '.join(wrong[:3])}{more}: rename the files, or let 'facesr data prepare' name them")
    return protocol, found if limit is None else found.only(found.faces[:limit])


def _faces(protocol: Protocol, data: str | None) -> tuple[Protocol, Dataset]:
    """The protocol with the data that is meant, and its faces; where LR is the user's own, the scale is read off its files."""
    hr = None
    if data is not None:
        hr = chosen(data, protocol.data.size)
        protocol = protocol.with_data(f"folder:{hr.name}")
    elif protocol.against == "hr":
        hr = find_dataset(protocol.data.dataset, protocol.data.split, protocol.data.size)
    if protocol.lr is None:
        assert hr is not None
        return protocol, hr
    photos = Path(protocol.lr.references) if protocol.lr.references else None
    found = own_faces(Path(protocol.lr.folder), hr, photos, rule_of(protocol.lr.names))
    side = side_of(found.faces)
    scale = scale_of(protocol.data.size, side)
    if problem := kernel_problem(protocol.degradation.kernel, protocol.data.size, side):
        raise FaceSRError(f"degradation.kernel: {problem}")
    quantize = not any(f.lr is not None and f.lr.suffix == NPY for f in found.faces)
    return replace(protocol, degradation=replace(protocol.degradation, scale=(scale,), quantize=quantize)), found


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
            problems += _not_offered(plans[-1].metric, protocol.against)
        except FaceSRError as error:
            problems.append(str(error))
    if problems:
        raise FaceSRError("; ".join(problems))
    return _told_apart(plans, specs)


def _told_apart(plans: Sequence[MetricPlan], specs: Sequence[MetricSpec]) -> tuple[MetricPlan, ...]:
    """A metric is its name and its conventions: of several with one name, those with conventions of their own carry them in it."""
    count = Counter(p.metric.name for p in plans)
    found = []
    for plan, spec in zip(plans, specs, strict=True):
        own = "&".join(f"{key}={_shown(spec.conventions[key])}" for key in sorted(spec.conventions))
        several = count[plan.metric.name] > 1 and own
        found.append(replace(plan, as_asked=f"{plan.metric.name}?{own}") if several else plan)
    if twice := [name for name, n in Counter(p.name for p in found).items() if n > 1]:
        raise FaceSRError(f"metric {twice[0]!r} is named twice with the same conventions: name it once")
    return tuple(found)


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).replace(" ", "")


def _not_offered(metric: Metric, against: str) -> list[str]:
    """Why a metric cannot be had without HR, or nothing."""
    offered = {"hr": ("hr", "person", "nothing"), "person": ("person", "nothing"), "nothing": ("nothing",)}[against]
    if metric.compares_with in offered:
        return []
    what = "HR" if metric.compares_with == "hr" else "HR or a photo of the person (--references)"
    why = ": another photo serves it only where each face is found in its own image (-detected)" if against == "person" else ""
    return [f"metric {metric.name} compares SR with {what}, and there is none{why}"]


def _metric_plan(protocol: Protocol, spec: MetricSpec) -> MetricPlan:
    values = protocol.values
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
