"""A protocol: what is measured, on what, how. A frozen, versioned, hashed description read from TOML.

All problems of a file are reported together. Its digest covers what can change a number: data, degradation, ε and metrics, but not the
description, the study section or comments; results of two digests never meet in one table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Interval

from facesr.bench.config import BadValue, OneOf, Probability, Text, from_table
from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.numbers import whole
from facesr.bench.reading import MAX_TOML, parse_toml, read_text

FOLDER = Path(__file__).parent.parent / "protocols"


def _kernels() -> Iterable[str]:
    from facesr.bench.imaging.resample import KERNELS

    return KERNELS


Kernel = Annotated[str, OneOf(_kernels)]


@dataclass(frozen=True)
class Data:
    """Which faces, and how they were brought to size."""

    dataset: Text
    split: Text
    size: Annotated[int, Interval(ge=8, le=4096)]
    reduce: Kernel = "box"


@dataclass(frozen=True)
class Degradation:
    """HR -> LR: a named kernel (``facesr.bench.imaging.KERNELS``), one scale or several, rounding to 8 bits.

    Where LR is the user's own, the kernel is what ε takes for the operator behind it, and the scale follows from the LR files.
    """

    kernel: Kernel
    scale: tuple[Annotated[float, Interval(ge=1, le=4096)], ...] = ()
    quantize: bool = True
    """LR is rounded to 8 bits, as a camera's is. False: float32, clipped to [0, 1], given to methods and kept on disk unrounded (``.npy``)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", tuple(whole(s) if type(s) is float else s for s in self.scale))
        if len(set(self.scale)) < len(self.scale):
            raise BadValue(f"'degradation.scale' is {list(self.scale)}: name each scale once")


@dataclass(frozen=True)
class OwnLr:
    """LR images of one's own in place of degraded HR: a folder, as seen from the protocol's file; HR has the same names.

    ``references``: a folder of photos of the same people, for identity, where there is no HR (``data.dataset = "none"``).
    """

    folder: Text
    references: str = ""
    names: str = ""
    """How the LR files are named, where not as HR: a suffix (``x8`` for ``0801x8.png``), a pattern with ``{name}``, a CSV of face and file."""


MAX_SCALE = 64
NO_HR = "none"
"""``data.dataset`` where there is no HR at all."""


@dataclass(frozen=True)
class ConsistencyRule:
    """The limit of MSE(D(SR), LR), and what a MOS study does with images outside it."""

    epsilon: Probability = 1e-3
    study: Literal["refuse", "flag"] = "refuse"


@dataclass(frozen=True)
class MetricSpec:
    """A metric by name, with the conventions the protocol sets."""

    name: str
    conventions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StudySpec:
    """Defaults of a MOS study under this protocol."""

    raters: Annotated[int, Interval(ge=1, le=100_000)] = 40
    images: Annotated[int, Interval(ge=1, le=100_000)] = 40
    anchors: Annotated[int, Interval(ge=0, le=1000)] = 20
    scale: tuple[int, int] = (1, 5)
    conditions: tuple[Text, ...] = ()

    def __post_init__(self) -> None:
        if not self.scale[0] < self.scale[1]:
            raise BadValue(f"'study.scale' is {list(self.scale)}: give two rising whole numbers, such as [1, 5]")


@dataclass(frozen=True)
class Protocol:
    """A validated protocol; make one with ``load`` or ``parse``."""

    name: Text
    version: Annotated[int, Interval(ge=1, le=10_000)]
    description: str
    data: Data
    degradation: Degradation
    metrics: tuple[MetricSpec, ...]
    consistency: ConsistencyRule = ConsistencyRule()
    study: StudySpec = StudySpec()
    lr: OwnLr | None = None

    def __post_init__(self) -> None:
        if self.lr is None:
            self._of_degraded_hr()
        elif self.lr.references and self.data.dataset != NO_HR:
            raise BadValue(f"'lr.references' is for LR without HR: leave it out, or set data.dataset = {NO_HR!r}")

    def _of_degraded_hr(self) -> None:
        if self.data.dataset == NO_HR:
            raise BadValue(f"'data.dataset' is {NO_HR!r}: without HR there must be LR, in [lr] folder")
        if not self.degradation.scale:
            raise BadValue("'degradation.scale' is missing")
        if wrong := [s for s in self.degradation.scale if s != int(s) or s > MAX_SCALE]:
            raise BadValue(
                f"'degradation.scale' is {wrong[0]}: must be a whole number of at most {MAX_SCALE} where LR is made from HR"
            )

    @property
    def against(self) -> Literal["hr", "person", "nothing"]:
        """What SR can be compared with: HR, another photo of the person, or nothing."""
        if self.data.dataset != NO_HR:
            return "hr"
        return "person" if self.lr and self.lr.references else "nothing"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for ``run.json``."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=dict))
        if self.lr is None:
            del plain["lr"]
        return plain

    @property
    def values(self) -> dict[str, Any]:
        """What metrics and methods may take of it (``from_protocol``), by place: ``{"degradation.kernel": "bicubic-matlab", …}``."""
        plain = self.as_dict()
        return {f"{room}.{key}": value for room in ("data", "degradation", "consistency") for key, value in plain[room].items()}

    @property
    def digest(self) -> str:
        """sha256 over what can change a number."""
        matters = {k: v for k, v in self.as_dict().items() if k not in ("description", "study")}
        matters["consistency"] = {"epsilon": self.consistency.epsilon}
        if self.data.dataset.startswith("folder:"):  # its faces count (a run's digest holds their sha256), its name does not
            matters["data"]["dataset"] = "folder:"
        if self.lr is not None:  # the files count, with the faces
            matters["lr"] = self.against
        return hashlib.sha256(json.dumps(matters, sort_keys=True).encode()).hexdigest()

    def with_data(self, dataset: str) -> Protocol:
        """The same conventions on other faces (``--data FOLDER``); another digest, and the table says so."""
        return replace(self, data=replace(self.data, dataset=dataset, split="all"))


def _metrics(found: Any, problems: list[str], known: Iterable[str] | None) -> list[dict[str, Any]]:
    """``[[metric]]`` tables as name and conventions."""
    if not isinstance(found, list) or not found or not all(isinstance(m, dict) for m in found):
        problems.append("'metric' must be one or more [[metric]] tables")
        return []
    specs: list[dict[str, Any]] = []
    for number, table in enumerate(found, 1):
        name = table.get("name")
        if not isinstance(name, str) or not name:
            problems.append(f"[[metric]] number {number} has no name")
        elif known is not None and name not in known:
            problems.append(f"no metric {name!r}: {suggest(name, known)}")
        elif (spec := {"name": name, "conventions": {k: v for k, v in table.items() if k != "name"}}) in specs:
            problems.append(f"metric {name!r} is named twice with the same conventions")
        else:
            specs.append(spec)
    return specs


def _sizes(data: Any, scales: list[Any]) -> Iterator[str]:
    """What is wrong with size and scales together, where each is a number."""
    size = data.get("size") if isinstance(data, dict) else None
    for scale in scales:
        if type(size) is int and type(scale) is int and 1 <= scale <= 64 and (size % scale or size // scale < 4):
            yield f"size {size} and scale {scale} do not go together: LR must be a whole number of at least 4 pixels a side"


def parse_protocol(text: str, source: str = "protocol", metrics: Iterable[str] | None = None) -> Protocol:
    """Validate TOML text; ``metrics`` are the names that exist (unchecked when None). Raises one error that lists every problem."""
    found = parse_toml(text, source)
    problems: list[str] = []
    if "metrics" in found:
        problems.append("unknown key 'metrics': did you mean [[metric]] tables?")
    table = {"description": "", **found, "metrics": _metrics(found.get("metric"), problems, metrics)}
    table.pop("metric", None)
    degradation = found.get("degradation")
    if "lr" in found and isinstance(degradation, dict):
        given = [key for key in ("scale", "quantize") if key in degradation]
        problems += [f"'degradation.{key}' is given beside [lr]: the LR files say what it is; leave it out" for key in given]
    elif isinstance(degradation, dict) and "scale" in degradation:
        scales = degradation["scale"] if isinstance(degradation["scale"], list) else [degradation["scale"]]
        table["degradation"] = {**degradation, "scale": scales}
        problems += _sizes(found.get("data"), scales)
    return from_table(Protocol, table, source, problems)


def protocol_names() -> list[str]:
    """The protocols that come with the project."""
    return sorted(file.stem for file in FOLDER.glob("*.toml"))


def load_protocol(name: str, metrics: Iterable[str] | None = None) -> Protocol:
    """A protocol by name, or from a TOML file of the user's."""
    file = FOLDER / f"{name}.toml"
    if name.endswith(".toml"):
        file = Path(name)
        if not file.is_file():
            raise FaceSRError(f"no protocol file {name}")
    elif name not in protocol_names():
        raise FaceSRError(f"no protocol {name!r}: {suggest(name, protocol_names())}")
    found = parse_protocol(read_text(file, MAX_TOML), str(file.name), metrics)
    if found.lr is None or file.parent == FOLDER:  # one that comes along names a folder where the user is
        return found
    places = {"folder", "references"} | ({"names"} if found.lr.names.lower().endswith(".csv") else set())
    beside = {key: str(file.parent / value) if value and key in places else value for key, value in asdict(found.lr).items()}
    return replace(found, lr=OwnLr(**beside))
