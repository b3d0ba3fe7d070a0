"""What a run says beside its scores: what came up about files as they were read, and why a method's images score far below bicubic's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from facesr.bench.diagnosis import counted, diagnose, examined, suspicious
from facesr.bench.errors import FaceSRError
from facesr.bench.faces import U8, Face
from facesr.bench.imaging.files import read_rgb
from facesr.bench.results import SERVED, MethodInfo, Run, RunInfo, Status
from facesr.bench.results.cells import Cells, SrCell
from facesr.bench.run.lr import fit_hr
from facesr.bench.run.plan import Plan
from facesr.bench.run.restorer import Restorer

CANDIDATES = 64
"""HR images among which another face's file is looked for."""


def as_before(info: RunInfo, previous: Run | None) -> RunInfo:
    """``info`` with what the earlier call noted of the same faces and methods: what a run says of itself until it is done."""
    if previous is None:
        return info
    notes, old = {(f.name, f.sha256): f.note for f in previous.faces}, {m.label: m for m in previous.info.methods}
    return replace(
        info,
        faces=tuple(replace(f, note=notes.get((f.name, f.sha256), "")) for f in info.faces),
        methods=tuple(replace(m, remarks=o.remarks, diagnosis=o.diagnosis) if (o := old.get(m.label)) else m for m in info.methods),
    )


def with_findings(
    info: RunInfo, plan: Plan, cells: Cells, restorers: Sequence[Restorer], previous: Run | None, decoded: Mapping[str, str]
) -> RunInfo:
    """``info`` (of ``as_before``) with the notes of faces that were ``decoded``, and remarks and diagnosis of the methods of this call."""
    faces = tuple(replace(f, note=decoded.get(f.name, f.note)) for f in info.faces)
    old = {m.label: m for m in previous.info.methods} if previous and not previous.running else {}
    hr = _Faces(plan)
    methods = []
    for method in info.methods:
        mine = [r for r in restorers if r.spec.label == method.label]
        methods.append(_said(method, mine, plan, cells, old.get(method.label), hr) if mine else method)
    return replace(info, faces=faces, methods=tuple(methods))


def _said(method: MethodInfo, mine: Sequence[Restorer], plan: Plan, cells: Cells, old: MethodInfo | None, hr: _Faces) -> MethodInfo:
    rows = [c for c in cells.rows(SrCell, method=method.label) if c.image in hr.faces]
    remarks = [*dict.fromkeys(line for r in mine for line in r.remarks), *counted(c.reason for c in rows if c.status == Status.OK)]
    if old and not any(r.wrote for r in mine):
        diagnosis = old.diagnosis  # nothing is different
    else:
        found = (
            (r.scale, _diagnosis(plan, r, [c.image for c in rows if c.scale == r.scale and c.status in SERVED], hr)) for r in mine
        )
        diagnosis = tuple(f"x{scale:g} {line}" if len(mine) > 1 else line for scale, line in found if line)
    return replace(method, remarks=tuple(remarks), diagnosis=diagnosis)


class _Faces:
    """HR images of the plan, read when asked for and kept."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.faces: dict[str, Face] = {f.name: f for f in plan.data.faces}
        self._read: dict[str, U8 | None] = {}

    def get(self, name: str) -> U8 | None:
        if name not in self._read:
            whole = self.plan.protocol.against == "hr"  # a photo of the person is no reference for pixels
            self._read[name] = _image(self.faces[name].path, self.plan) if whole else None
        return self._read[name]

    def others(self) -> dict[str, U8]:
        """Further faces: some beside each other, since files are often off by one, and some spread over all."""
        names = list(self.faces)
        near = [n for name in examined(names) for n in _around(names, name)]
        chosen = list(dict.fromkeys([*near, *names[:: max(1, len(names) // CANDIDATES)]]))[:CANDIDATES]
        return {name: image for name in chosen if (image := self.get(name)) is not None}


def _around(names: Sequence[str], name: str) -> Sequence[str]:
    at = names.index(name)
    return [n for n in names[max(0, at - 2) : at + 3] if n != name]


def _diagnosis(plan: Plan, restorer: Restorer, served: Sequence[str], hr: _Faces) -> str:
    known = set(served)
    names, sr, want = [], [], []
    for name in examined([n for n in hr.faces if n in known]):
        image, reference = _image(restorer.folder / f"{name}.png", plan), hr.get(name)
        if image is not None and reference is not None:
            names.append(name)
            sr.append(image)
            want.append(reference)
    if not names or not suspicious(np.stack(sr), np.stack(want), restorer.scale):
        return ""
    found = diagnose(np.stack(sr), np.stack(want), restorer.scale, names, hr.others())
    return str(found) if found else ""


def _image(path: Path, plan: Plan) -> U8 | None:
    try:
        return fit_hr(read_rgb(path), plan.size, plan.protocol.data.reduce, path.name)
    except FaceSRError:
        return None  # its cells say why
