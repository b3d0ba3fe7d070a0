"""``run.json`` as a type: what was measured, on which faces, by what. Checked when it is read, since a run folder may come from anyone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from facesr.bench.config import from_table
from facesr.bench.errors import FaceSRError
from facesr.bench.reading import read_json
from facesr.bench.results.names import WHOLE_SET, face_problem

FORMAT = 2
"""Version of the run folder's layout."""
REMEDY = "call the run again to rewrite it"


@dataclass(frozen=True, kw_only=True)
class FaceInfo:
    """A face of the run. ``path``: its HR file (without HR: a photo of the person) as seen from the run folder when it was measured, a hint
    only. ``lr_sha256``: of its LR file, where LR is the user's own.

    ``note``: what was done to it as it was read (turned upright, colours converted), or ''.
    """

    name: str
    path: str = ""
    sha256: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    landmarks: tuple[tuple[float, float], ...] | None = None
    note: str = ""
    lr_sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class MethodInfo:
    """A method of the run: where its class was, its parameters, digests of code and weights, and what it says of itself.

    ``notes``, ``training_losses``: as ``facesr.bench.method.Method`` declares them. ``remarks``: what came up about its files (left over,
    changed as they were read). ``diagnosis``: why its images score far below bicubic's, where that could be measured
    (``facesr.bench.diagnosis``).
    """

    label: str
    target: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    weights: Mapping[str, str] = field(default_factory=dict)
    terms: str = ""
    cite: str = ""
    notes: tuple[str, ...] = ()
    training_losses: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    diagnosis: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MetricInfo:
    """A metric of the run, as its class declares itself (see ``facesr.bench.metrics.base``)."""

    label: str
    higher_is_better: bool = True
    unit: str = ""
    digits: int = 3
    range: tuple[float | None, float | None] = (0.0, None)
    conventions: str = ""
    source: str = ""
    weights: Mapping[str, str] = field(default_factory=dict)
    of_set: bool = False
    share: bool = False


@dataclass(frozen=True, kw_only=True)
class DataInfo:
    """The data set: its name, how many faces were measured and how many it has, what a table must say of it."""

    name: str = ""
    faces: int = 0
    total: int = 0
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class CallInfo:
    """When a call into the run folder started and finished (ISO 8601, UTC)."""

    started: str
    finished: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """All of ``run.json``. ``shard``: '' for a whole run, else which part of the faces it measured, as in ``3/16``. ``command`` makes it
    again (``facesr.bench.results.again``); readers of a stranger's folder print their own instead.
    """

    format: int
    digest: str
    title: str = ""
    state: Literal["running", "finished"] = "finished"
    protocol: Mapping[str, Any] = field(default_factory=dict)
    data: DataInfo = field(default_factory=DataInfo)
    scales: tuple[int | float, ...]
    seed: int = 0
    methods: tuple[MethodInfo, ...]
    metrics: Mapping[str, MetricInfo]
    environment: Mapping[str, str] = field(default_factory=dict)
    faces: tuple[FaceInfo, ...]
    calls: tuple[CallInfo, ...] = ()
    shard: str = ""
    command: str = ""

    def as_json(self) -> str:
        """The text of ``run.json``."""
        return json.dumps(asdict(self), indent=1, default=dict)

    def problems(self) -> list[str]:
        """What makes these names unsafe as file names, or unfit to tell cells apart."""
        labels, names = [m.label for m in self.methods], [f.name for f in self.faces]
        found = [p for label in labels if (p := face_problem(label, "label"))] + [p for name in names if (p := face_problem(name))]
        found += [
            f"two {what} have one name" for what, all_ in (("methods", labels), ("faces", names)) if len(set(all_)) < len(all_)
        ]
        found += [
            f"a face has an attribute with the name {key!r}"
            for key in {k for f in self.faces for k in f.attributes}
            if not key.strip()
        ]
        found += [f"a metric has the name {name!r}" for name in self.metrics if not name.strip() or name == WHOLE_SET]
        return found + [f"scale {scale} is not positive" for scale in self.scales if scale < 1]


def read_info(folder: Path) -> RunInfo:
    """Read and check ``run.json`` of a run folder; anything wrong with it is one ``FaceSRError`` with what to do."""
    file = folder / "run.json"
    if not file.is_file():
        raise FaceSRError(f"{folder} is not a run: it has no run.json")
    try:
        plain = read_json(file)
        if (version := plain.get("format")) != FORMAT:
            raise FaceSRError(f"{folder} has layout version {version}, this facesr reads {FORMAT}: run it again into another --out")
        info = from_table(RunInfo, plain, str(file))
    except FaceSRError as error:
        again = "" if "run it again" in str(error) else f"; {REMEDY}"
        raise FaceSRError(f"{error}{again}") from None
    if problems := info.problems():
        raise FaceSRError(f"{file} is refused: {'; '.join(problems[:3])}")
    return info
