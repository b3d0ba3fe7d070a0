"""A protocol: what is measured, on what, how. A frozen, versioned, hashed description read from TOML.

All problems of a file are reported together. Its digest covers what can change a number: data, degradation, ε and metrics, but not the
description, the study section or comments; results of two digests never meet in one table.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from facesr.bench.errors import FaceSRError, suggest

FOLDER = Path(__file__).parent.parent / "protocols"


@dataclass(frozen=True)
class Data:
    """Which faces, and how they were brought to size."""

    dataset: str = "folder"
    split: str = "all"
    size: int = 128
    reduce: str = "box"


@dataclass(frozen=True)
class Degradation:
    """HR -> LR: a named kernel (``facesr.bench.imaging.KERNELS``), one scale or several, rounding to 8 bits."""

    kernel: str = "bicubic-matlab"
    scale: tuple[int, ...] = (8,)
    quantize: bool = True


@dataclass(frozen=True)
class ConsistencyRule:
    """The limit of MSE(D(SR), LR), and what a MOS study does with images outside it."""

    epsilon: float = 1e-3
    study: str = "refuse"


@dataclass(frozen=True)
class MetricSpec:
    """A metric by name, with the conventions the protocol sets."""

    name: str
    conventions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StudySpec:
    """Defaults of a MOS study under this protocol."""

    raters: int = 40
    images: int = 40
    anchors: int = 20
    scale: tuple[int, int] = (1, 5)
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Protocol:
    """A validated protocol; make one with ``load`` or ``parse``."""

    name: str
    version: int
    description: str
    data: Data
    degradation: Degradation
    consistency: ConsistencyRule
    metrics: tuple[MetricSpec, ...]
    study: StudySpec

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for ``run.json``."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=dict))
        return plain

    @property
    def digest(self) -> str:
        """sha256 over what can change a number."""
        matters = {k: v for k, v in self.as_dict().items() if k not in ("description", "study")}
        matters["consistency"] = {"epsilon": self.consistency.epsilon}
        return hashlib.sha256(json.dumps(matters, sort_keys=True).encode()).hexdigest()

    def with_data(self, dataset: str) -> Protocol:
        """The same conventions on other faces (``--data FOLDER``); another digest, and the table says so."""
        return replace(self, data=replace(self.data, dataset=dataset, split="all"))


Check = Callable[[Any], str]


def _whole(low: int, high: int) -> Check:
    def check(value: Any) -> str:
        good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return "" if good else f"must be a whole number from {low} to {high}"

    return check


def _text(value: Any) -> str:
    return "" if isinstance(value, str) and value else "must be a text in quotes"


def _yes(value: Any) -> str:
    return "" if isinstance(value, bool) else "must be true or false"


def _one_of(*choices: str) -> Check:
    def check(value: Any) -> str:
        return "" if value in choices else f"must be a known name: {suggest(str(value), choices)}"

    return check


def _kernel(value: Any) -> str:
    from facesr.bench.imaging.resample import KERNELS

    return _one_of(*KERNELS)(value)


def _scales(value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    good = values and all(not _whole(1, 64)(v) for v in values) and len(set(values)) == len(values)
    return "" if good else "must be a whole number from 1 to 64, or a list of different ones"


def _epsilon(value: Any) -> str:
    return (
        ""
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1
        else "must be a number between 0 and 1"
    )


def _range(value: Any) -> str:
    good = isinstance(value, list) and len(value) == 2 and all(isinstance(v, int) for v in value) and value[0] < value[1]
    return "" if good else "must be two rising whole numbers, such as [1, 5]"


def _names(value: Any) -> str:
    return "" if isinstance(value, list) and all(isinstance(v, str) and v for v in value) else "must be a list of texts"


TOP: dict[str, Check] = {"name": _text, "version": _whole(1, 10_000), "description": _text}
TABLES: dict[str, dict[str, Check]] = {
    "data": {"dataset": _text, "split": _text, "size": _whole(8, 4096), "reduce": _kernel},
    "degradation": {"kernel": _kernel, "scale": _scales, "quantize": _yes},
    "consistency": {"epsilon": _epsilon, "study": _one_of("refuse", "flag")},
    "study": {
        "raters": _whole(1, 100_000),
        "images": _whole(1, 100_000),
        "anchors": _whole(0, 1000),
        "scale": _range,
        "conditions": _names,
    },
}
REQUIRED = ("name", "version", "data.dataset", "data.split", "data.size", "degradation.kernel", "degradation.scale")


def _check_keys(found: Mapping[str, Any], known: Mapping[str, Check], prefix: str, problems: list[str]) -> dict[str, Any]:
    good = {}
    for key, value in found.items():
        if key not in known:
            problems.append(f"unknown key '{prefix}{key}': {suggest(key, known)}")
        elif wrong := known[key](value):
            problems.append(f"'{prefix}{key}' is {value!r}: {wrong}")
        else:
            good[key] = tuple(value) if isinstance(value, list) else value
    return good


def _check_metrics(found: Any, problems: list[str], known: Iterable[str] | None) -> tuple[MetricSpec, ...]:
    if not isinstance(found, list) or not found or not all(isinstance(m, dict) for m in found):
        problems.append("'metric' must be one or more [[metric]] tables")
        return ()
    specs: list[MetricSpec] = []
    for number, table in enumerate(found, 1):
        name = table.get("name")
        if not isinstance(name, str) or not name:
            problems.append(f"[[metric]] number {number} has no name")
        elif known is not None and name not in known:
            problems.append(f"no metric {name!r}: {suggest(name, known)}")
        elif name in {s.name for s in specs}:
            problems.append(f"metric {name!r} is named twice")
        else:
            specs.append(MetricSpec(name, {k: v for k, v in table.items() if k != "name"}))
    return tuple(specs)


def _check_together(tables: Mapping[str, Mapping[str, Any]], problems: list[str]) -> None:
    size, scale = tables["data"].get("size"), tables["degradation"].get("scale")
    if size and scale:
        for s in scale if isinstance(scale, tuple) else (scale,):
            if size % s or size // s < 4:
                problems.append(
                    f"size {size} and scale {s} do not go together: LR must be a whole number of at least 4 pixels a side"
                )
    study = tables.get("study", {})
    if study.get("anchors") and len(study.get("scale", (1, 5))) != 2:
        problems.append("a study with anchors needs a scale of two ends")


def parse(text: str, source: str = "protocol", metrics: Iterable[str] | None = None) -> Protocol:
    """Validate TOML text; ``metrics`` are the names that exist (unchecked when None). Raises one error that lists every problem."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FaceSRError(f"{source}: not valid TOML: {error}") from None
    problems: list[str] = []
    top = {k: v for k, v in found.items() if k not in TABLES and k != "metric"}
    values = _check_keys(top, {**TOP, **dict.fromkeys((*TABLES, "metric"), _text)}, "", problems)
    tables: dict[str, dict[str, Any]] = {}
    for name, known in TABLES.items():
        table = found.get(name, {})
        if not isinstance(table, dict):
            problems.append(f"'{name}' must be a [{name}] table")
            table = {}
        tables[name] = _check_keys(table, known, f"{name}.", problems)
    present = {*found, *(f"{t}.{k}" for t in TABLES if isinstance(found.get(t), dict) for k in found[t])}
    problems += [f"'{key}' is missing" for key in REQUIRED if key not in present]
    specs = _check_metrics(found.get("metric"), problems, metrics)
    _check_together(tables, problems)
    if problems:
        listing = "".join(f"\n  - {p}" for p in problems)
        raise FaceSRError(f"{source}: {len(problems)} problem{'s' if len(problems) > 1 else ''}:{listing}")
    scale = tables["degradation"]["scale"]
    tables["degradation"]["scale"] = scale if isinstance(scale, tuple) else (scale,)
    return Protocol(
        name=values["name"],
        version=values["version"],
        description=values.get("description", ""),
        data=Data(**tables["data"]),
        degradation=Degradation(**tables["degradation"]),
        consistency=ConsistencyRule(**tables["consistency"]),
        metrics=specs,
        study=StudySpec(**tables["study"]),
    )


def names() -> list[str]:
    """The protocols that come with the project."""
    return sorted(file.stem for file in FOLDER.glob("*.toml"))


def load(name: str, metrics: Iterable[str] | None = None) -> Protocol:
    """A protocol by name, or from a TOML file of the user's."""
    file = FOLDER / f"{name}.toml"
    if name.endswith(".toml"):
        file = Path(name)
        if not file.is_file():
            raise FaceSRError(f"no protocol file {name}")
    elif name not in names():
        raise FaceSRError(f"no protocol {name!r}: {suggest(name, names())}")
    return parse(file.read_text(encoding="utf-8"), str(file.name), metrics)
