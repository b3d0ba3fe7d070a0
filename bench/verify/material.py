"""What there is on this machine to compute a run again: its protocol, the faces, the metrics and the methods. Nothing of a stranger's is imported.

HR is taken from this machine's own data, found by name and sha256; only without such data is it the submission's own, and that is said.
A metric or method is one that is installed here, or one that the caller names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facesr.bench.config import from_table
from facesr.bench.data.dataset import Dataset, chosen, find_dataset, prepared_folder
from facesr.bench.errors import FaceSRError, some
from facesr.bench.faces import Face
from facesr.bench.protocol import NO_HR, Protocol
from facesr.bench.reading import file_sha256
from facesr.bench.registry import MethodSpec, installed, parse_value
from facesr.bench.results import FaceInfo, MethodInfo, Run
from facesr.bench.run.keys import is_path
from facesr.bench.run.plan import MetricPlan, make_metrics
from facesr.bench.weights import catalogue, where


@dataclass(frozen=True)
class Material:
    """``faces``: those that can be computed again, in order. ``whole``: names of this machine's data set, or none. ``findings``: what of the
    faces is not what is here. ``remarks``: what could not be had, and what had to be believed. ``metrics``: those that can be computed."""

    protocol: Protocol
    faces: tuple[Face, ...]
    whole: tuple[Face, ...]
    metrics: tuple[MetricPlan, ...]
    findings: tuple[str, ...]
    remarks: tuple[str, ...]


def gather_material(run: Run, data: str | None = None) -> Material:
    """See the module. ``data``: a folder of HR, or a prepared data set, in place of the one the protocol names."""
    protocol = protocol_of(run)
    findings: list[str] = []
    remarks: list[str] = []
    ours = _ours(protocol, data, remarks)
    faces = _faces(run, protocol, ours, findings, remarks)
    metrics = _metrics(run, protocol, remarks)
    return Material(protocol, faces, ours.faces if ours else (), metrics, tuple(findings), tuple(remarks))


def protocol_of(run: Run) -> Protocol:
    """The protocol that a run says it followed, validated."""
    return from_table(Protocol, run.info.protocol, f"{run.path / 'run.json'}: protocol")


def _ours(protocol: Protocol, data: str | None, remarks: list[str]) -> Dataset | None:
    """This machine's own copy of the data, or None. A folder that a stranger's file names is not looked for."""
    if data is not None:
        return chosen(data, protocol.data.size)
    named = protocol.data.dataset
    if named == NO_HR or named.startswith("folder:") or is_path(named):
        return None
    try:
        return find_dataset(named, protocol.data.split, protocol.data.size)
    except FaceSRError as error:
        if prepared_folder(named, protocol.data.size).is_dir():
            remarks.append(f"the copy of {named} that is here could not be used: {error}")
        return None


def _faces(run: Run, protocol: Protocol, ours: Dataset | None, findings: list[str], remarks: list[str]) -> tuple[Face, ...]:
    mine = {f.name: f for f in ours.faces} if ours else {}
    found, foreign, absent, other = [], [], [], []
    for info in run.faces:
        own = mine.get(info.name)
        if own is not None and own.sha256 == info.sha256:
            found.append(_with_lr(run, replace(own, attributes=info.attributes), info, protocol))
        elif ours is not None:
            other.append(info.name)
        elif info.sha256 and (path := _theirs(run, info)) is not None:
            foreign.append(info.name)
            found.append(_with_lr(run, Face(info.name, path, info.sha256, info.attributes, info.landmarks), info, protocol))
        elif not run.has_hr and not info.sha256:
            found.append(_with_lr(run, Face(info.name, Path(), "", info.attributes, info.landmarks), info, protocol))
        else:
            absent.append(info.name)
    if other:
        findings.append(f"{len(other):,} HR images are not those of {ours.name if ours else 'the data'} here ({some(other, 3)})")
    if foreign:
        remarks.append(
            f"HR of {len(foreign):,} faces is the submission's own: name yours with --data, or nothing is known of where it came from"
        )
    if absent:
        remarks.append(
            f"HR of {len(absent):,} faces is not at hand ({some(absent, 3)}): name a folder with --data; their cells were not computed"
        )
    if protocol.lr is not None:
        remarks.append("LR images are the submission's own: the protocol leaves them to whoever runs it")
    return tuple(found)


def _theirs(run: Run, info: FaceInfo) -> Path | None:
    try:
        path = run.hr_path(info.name)
        return path if path.is_file() and file_sha256(path) == info.sha256 else None
    except (FaceSRError, OSError):
        return None


def _with_lr(run: Run, face: Face, info: FaceInfo, protocol: Protocol) -> Face:
    if protocol.lr is None:
        return face
    return replace(face, lr=run.lr_path(info.name, run.scales[0]), lr_sha256=info.lr_sha256)


def _metrics(run: Run, protocol: Protocol, remarks: list[str]) -> tuple[MetricPlan, ...]:
    """The installed ones; a metric that is somebody's file, or takes files, is not loaded from a stranger's word."""
    known = installed("facesr.metrics")
    foreign = [m.name for m in protocol.metrics if m.name not in known or any(is_path(str(v)) for v in m.conventions.values())]
    if foreign:
        remarks.append(f"metrics that are not installed here were not computed: {', '.join(foreign)}")
    made = make_metrics(protocol, [m for m in protocol.metrics if m.name not in foreign])
    if without := [m.name for m in made if m.missing]:
        remarks.append(f"metrics whose weights are not here were not computed: {', '.join(without)}")
    return tuple(m for m in made if not m.missing and m.name in run.metrics)


def runnable_methods(run: Run, asked: Sequence[MethodSpec] = ()) -> tuple[dict[str, MethodSpec], dict[str, str]]:
    """How each method can be run here, by label; and of the others why not. ``asked``: specifications of the caller's, by label."""
    given = {spec.label: spec for spec in asked}
    if unknown := [label for label in given if label not in run.methods]:
        raise FaceSRError(f"{run.path} has no method {unknown[0]!r}: it has {', '.join(run.methods)}")
    here = set(installed("facesr.methods").values())
    made: dict[str, MethodSpec] = {}
    why: dict[str, str] = {}
    for info in run.info.methods:
        if info.label in given:
            made[info.label] = given[info.label]
        elif info.target not in here:
            why[info.label] = f"{info.target or 'it'} is not installed here: name it, as in --methods {info.label}=my_file.py:Mine"
        else:
            params, problem = _params(info)
            if problem:
                why[info.label] = problem
            else:
                made[info.label] = MethodSpec(info.label, info.target, params)
    values = protocol_of(run).values
    return {label: spec.under(values) for label, spec in made.items()}, why


def _params(info: MethodInfo) -> tuple[Mapping[str, Any], str]:
    """Parameters, a weight file among them found by its sha256; or why one cannot be had."""
    made = dict(info.params)
    by_name = {Path(name).name: known for name, known in info.weights.items()}
    for key, value in info.params.items():
        if not (isinstance(value, str) and is_path(value)):
            continue
        known = by_name.get(Path(value).name, "")
        entry = next((w for w in catalogue().values() if known and w.sha256 == known), None)
        path = where(entry.name) if entry else None
        if path is None:
            digest = f" (sha256 {known[:12]})" if known else ""
            return made, f"its {key} {Path(value).name}{digest} is not here: give it with --set {info.label}.{key}=FILE"
        made[key] = str(path)
    return made, ""


def asked_methods(run: Run, named: Sequence[MethodSpec], settings: Sequence[str]) -> list[MethodSpec]:
    """The caller's methods with the caller's ``label.name=value`` settings; a setting alone is for the installed method of that label."""
    found = {spec.label: spec for spec in named}
    here = set(installed("facesr.methods").values())
    for setting in settings:
        place, equals, value = setting.partition("=")
        label, dot, name = place.rpartition(".")
        info = next((m for m in run.info.methods if m.label == label), None)
        spec = found.get(label) or (MethodSpec(label, info.target, info.params) if info and info.target in here else None)
        if not (equals and dot and name) or spec is None:
            raise FaceSRError(
                f"--set {setting}: write it as method.parameter=value, of a method of the run that is installed here or named"
            )
        found[label] = MethodSpec(label, spec.target, {**spec.params, name: parse_value(value)})
    return list(found.values())
